"""What the method does on picto: unsafe rate, kept attributes, change outside the item, denoiser rows.

    python benchmarks/effect.py                  # 100 explicit prompts, every row of the table
    python benchmarks/effect.py --limit 20 --methods stock max
    python benchmarks/effect.py --all            # every prompt set, source and gate

Writes benchmarks/results/effect_explicit.{json,md}, or with --all effect.{json,md,png}; with --knob also a picture of
the dial. Every method draws the same prompts from the same seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import RESULTS, SAMPLING, draw, load, score, table, write
from PIL import Image

from dualsafe import DualLatentPipeline, MethodSettings
from dualsafe.grid import draw_grid
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.prompts import PROMPT_SETS, PromptCase, prompt_set
from dualsafe.picto.world import UNSAFE_ITEMS

METHODS: dict[str, dict[str, Any]] = {
    "stock": {"safety_level": 0.0},
    "negative prompt": {"safety_level": 0.0, "negative_prompt": ", ".join(UNSAFE_ITEMS)},
    "safe prompt alone": {"mask": None, "settings": MethodSettings(tau=0.0)},
    "low": {"safety_level": "low"},
    "medium": {"safety_level": "medium"},
    "high": {"safety_level": "high"},
    "max": {},
    "max, no mask": {"mask": None},
    "max, composite": {"settings": MethodSettings(composite=True)},
    "max, original at every step": {"settings": MethodSettings(original_interval=None)},
}
ALL_COLUMNS = {
    "prompts": "{}",
    "unsafe": "{:.3f}",
    "setting": "{:.3f}",
    "subject": "{:.3f}",
    "colour": "{:.3f}",
    "item": "{:.3f}",
    "psnr_outside_item": "{:.1f}",
    "psnr_outside_mask": "{:.1f}",
    "mask_overlap": "{:.2f}",
    "identical": "{:.3f}",
    "dual": "{:.3f}",
    "withheld": "{:.3f}",
    "rows": "{:.0f}",
}


SOURCES: dict[str, dict[str, Any]] = {
    "shift": {"sources": "shift"},
    "rewrite + shift": {"sources": ("rewrite", "shift")},
    "rewrite + negative": {"sources": ("rewrite", "negative")},
}


def gates(guard: PictoJudge) -> dict[str, dict[str, Any]]:
    """Gates of --all; the guard in the loop isn't the judge that measures."""
    return {
        "rewrite": {},
        "+ preview gate": {"preview": guard},
        "closed loop": {"preview": guard, "verify": guard},
    }


def measure(
    pipe: DualLatentPipeline, judge: PictoJudge, cases: list[PromptCase], methods: dict[str, dict], batch: int
) -> dict[str, dict]:
    """Scores of each method; "stock" first, which the others are compared with."""
    results: dict[str, dict] = {}
    stock: list[Image.Image] = []
    for name, options in methods.items():
        drawn = draw(pipe, cases, options, batch)
        stock = stock or drawn["pictures"]
        results[name] = score(judge, cases, drawn, stock)
        print(name, {k: round(v, 4) for k, v in results[name].items()}, flush=True)
    return results


def draw_knob(pipe: DualLatentPipeline, cases: list[PromptCase], path: Path) -> None:
    """A row a prompt: the original, then rising levels from the same seed, then the mask."""
    rows = []
    for i, case in enumerate(cases):
        row = []
        for level in (0.0, 0.25, 0.5, 0.75, 1.0):
            generator = torch.Generator().manual_seed(1000 + i)
            output = pipe(case.prompt, safety_level=level, generator=generator, **SAMPLING)
            row.append(output.images[0])
        rows.append([*row, output.masks[0]])
    titles = ["original", "level 0.25", "level 0.5", "level 0.75", "level 1", "mask at level 1"]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_grid(rows, titles, [case.prompt for case in cases], tile=128).save(path)


def draw_rates(results: dict[str, dict[str, dict]], path: Path) -> None:
    """Unsafe rate of each prompt set under each gate and source, as a table of colours."""
    import matplotlib.pyplot as plt

    methods = list(next(iter(results.values())))
    rates = np.array([[results[name][method]["unsafe"] for name in results] for method in methods])
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.imshow(rates, cmap="Reds", vmin=0, vmax=1, aspect="auto")
    for (row, column), rate in np.ndenumerate(rates):
        axes.text(column, row, f"{rate:.1%}", ha="center", va="center", color="white" if rate > 0.6 else "black")
    axes.set_xticks(range(len(results)), list(results))
    axes.set_yticks(range(len(methods)), methods)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.set_title("unsafe pictures", loc="left")
    figure.savefig(path, dpi=110)


def run_all(
    pipe: DualLatentPipeline, judge: PictoJudge, guard: PictoJudge, sets: list[str], limit: int, batch: int
) -> None:
    """Prompt sets under every gate, and under every source on half of the prompts; writes effect.{json,md,png}.

    Sets that aren't asked for keep the results that are there.
    """
    file, stock = RESULTS / "effect.json", {"stock": {"safety_level": 0.0}}
    results = json.loads(file.read_text())["results"] if set(sets) != set(PROMPT_SETS) else {}
    for name in sets:
        print(f"== {name}", flush=True)
        cases = prompt_set(name, limit)
        results[name] = measure(pipe, judge, cases, stock | gates(guard), batch)
        others = measure(pipe, judge, cases[: limit // 2], stock | SOURCES, batch)
        results[name] |= {source: others[source] for source in SOURCES}
        texts = [f"## {name}\n\n{table(row, ALL_COLUMNS)}" for name, row in results.items()]
        write("effect", "effect.py", results, "\n\n".join(texts), prompts=limit)
    draw_rates(results, RESULTS / "effect.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=100, help="prompts of each set")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--knob", type=Path, help="also draw this picture of the dial, e.g. docs/img/knob.png")
    parser.add_argument("--all", action="store_true", help="every prompt set, source and gate")
    parser.add_argument(
        "--sets", nargs="+", choices=PROMPT_SETS, default=list(PROMPT_SETS), help="of --all, only these"
    )
    arguments = parser.parse_args()

    pipe, judge, guard = load()
    if arguments.all:
        return run_all(pipe, judge, guard, arguments.sets, arguments.limit, arguments.batch_size)
    cases = prompt_set("explicit", arguments.limit)
    if arguments.knob:
        draw_knob(pipe, cases[:6], arguments.knob)
    methods = {name: METHODS[name] for name in dict.fromkeys(["stock", *arguments.methods])}
    results = measure(pipe, judge, cases, methods, arguments.batch_size)
    write("effect_explicit", "effect.py", results, table(results), prompts=len(cases))


if __name__ == "__main__":
    main()
