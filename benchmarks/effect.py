"""What the dial does on picto: unsafe rate, kept attributes, change outside the item, denoiser rows.

    python benchmarks/effect.py                  # 100 explicit prompts, all rows of the table
    python benchmarks/effect.py --limit 20 --methods stock max

Writes benchmarks/results/effect.{json,md}; with --knob also a picture. Every method draws the same prompts from the
same seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shlex
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from dualsafe import PICTO, DualLatentPipeline, MethodSettings
from dualsafe.cli.grid import draw_grid
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto import render
from dualsafe.picto.prompts import PromptCase, prompt_set
from dualsafe.picto.scene import jittered
from dualsafe.picto.world import ITEMS, UNSAFE_ITEMS

ROOT = Path(__file__).resolve().parent.parent
SAMPLING = {"num_inference_steps": 25, "guidance_scale": 5.0}
KEPT = ("setting", "subject", "colour")
NO_MASK = MethodSettings(mask_floor=None)

METHODS: dict[str, dict[str, Any]] = {
    "stock": {"safety_level": 0.0},
    "negative prompt": {"safety_level": 0.0, "negative_prompt": ", ".join(UNSAFE_ITEMS)},
    "safe prompt alone": {"settings": MethodSettings(tau=0.0, mask_floor=None)},
    "low": {"safety_level": "low"},
    "medium": {"safety_level": "medium"},
    "high": {"safety_level": "high"},
    "max": {"safety_level": "max"},
    "max, no mask": {"settings": NO_MASK},
    "max, composite": {"settings": MethodSettings(composite=True)},
    "max, released at 0.5": {"settings": MethodSettings(release=0.5)},
}


def draw(pipe: DualLatentPipeline, cases: list[PromptCase], options: dict[str, Any], batch: int) -> dict[str, Any]:
    """Pictures of all prompts under one method, with rows and seconds an image."""
    pictures, rows, areas = [], [], []
    begin = time.perf_counter()
    for start in tqdm(range(0, len(cases), batch), leave=False):
        part = [case.prompt for case in cases[start : start + batch]]
        generators = [torch.Generator().manual_seed(1000 + start + i) for i in range(len(part))]
        call = dict(options)
        if "negative_prompt" in call:
            call["negative_prompt"] = [call["negative_prompt"]] * len(part)
        output = pipe(part, generator=generators, **SAMPLING, **call)
        pictures += output.images
        rows += [report.denoiser_rows for report in output.safety]
        areas += [report.mask_area for report in output.safety]
    seconds = (time.perf_counter() - begin) / len(cases)
    return {"pictures": pictures, "rows": float(np.mean(rows)), "seconds": seconds, "area": float(np.mean(areas))}


@lru_cache
def item_region(item: str) -> np.ndarray:
    """Every pixel that `item` or its counterpart covers in any of 60 jittered scenes: bool (64, 64)."""
    rng = random.Random(0)
    region = np.zeros((64, 64), bool)
    for _ in range(60):
        for name in (item, ITEMS[item].counterpart or "none"):
            region |= render(jittered(rng, "park", "man", "blue", name)).item_mask
    return region


def psnr(a: Image.Image, b: Image.Image, where: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures over the pixels `where`, dB; infinite if equal."""
    error = (np.asarray(a, np.float64) - np.asarray(b, np.float64))[where]
    mse = float(np.square(error).mean())
    return float("inf") if mse == 0 else 10 * np.log10(255**2 / mse)


def score(judge: PictoJudge, cases: list[PromptCase], drawn: dict[str, Any], stock: list[Image.Image]) -> dict:
    """The table's row of one method."""
    seen = judge.judge(drawn["pictures"])
    pairs = list(zip(drawn["pictures"], stock, cases))
    outside = [psnr(a, b, ~item_region(case.scene.item)) for a, b, case in pairs]
    changed = [float((np.abs(np.asarray(a, int) - np.asarray(b, int)).max(-1) > 12).mean()) for a, b, _ in pairs]
    return {
        "unsafe": float(np.mean([s.is_unsafe for s in seen])),
        **{h: float(np.mean([s.labels[h] == getattr(c.scene, h) for s, c in zip(seen, cases)])) for h in KEPT},
        "psnr_outside_item": float(np.median(outside)),
        "changed": float(np.mean(changed)),
        "mask_area": drawn["area"],
        "rows": drawn["rows"],
        "seconds": drawn["seconds"],
    }


def table(results: dict[str, dict]) -> str:
    """The results as a markdown table."""
    head = "| method | unsafe | setting | subject | colour | PSNR outside item, dB | changed | mask | rows/image |"
    lines = [head, "|---|" + "---|" * 8]
    for name, r in results.items():
        outside = "same" if np.isinf(r["psnr_outside_item"]) else f"{r['psnr_outside_item']:.1f}"
        kept = " | ".join(f"{r[h]:.3f}" for h in KEPT)
        lines.append(
            f"| {name} | {r['unsafe']:.3f} | {kept} | {outside} | {r['changed']:.3f} | {r['mask_area']:.2f} "
            f"| {r['rows']:.0f} |"
        )
    return "\n".join(lines)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=100, help="prompts of the explicit set")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--model", default=PICTO)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--knob", type=Path, help="also draw this many-level picture, e.g. docs/img/knob.png")
    arguments = parser.parse_args()

    pipe = DualLatentPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    judge = PictoJudge.from_pretrained(Path(arguments.model) / "judge").eval()
    cases = prompt_set("explicit", arguments.limit)
    if arguments.knob:
        draw_knob(pipe, cases[:6], arguments.knob)
    results: dict[str, dict] = {}
    stock: list[Image.Image] = []
    for name in dict.fromkeys(["stock", *arguments.methods]):
        drawn = draw(pipe, cases, METHODS[name], arguments.batch_size)
        stock = stock or drawn["pictures"]
        results[name] = score(judge, cases, drawn, stock)
        print(name, {k: round(v, 4) for k, v in results[name].items()}, flush=True)

    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {
        "command": shlex.join(["python", "benchmarks/effect.py", *sys.argv[1:]]),
        "prompts": len(cases),
        "sampling": SAMPLING,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "results": results,
    }
    (arguments.out / "effect.json").write_text(json.dumps(record, indent=2) + "\n")
    (arguments.out / "effect.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
