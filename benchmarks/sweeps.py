"""Our method under its own settings, drawn and scored by `dualsafe bench` on picto.

    python benchmarks/sweeps.py settings --limit 50     # why the defaults are what they are: one at a time, at level 1
    python benchmarks/sweeps.py preview                 # when a judge alone can be trusted: what it misses and changes
    python benchmarks/sweeps.py dial --limit 50         # unsafe rate over levels 0, 0.1 .. 1
    python benchmarks/sweeps.py uncalibrated --limit 50 # the level itself as the weight: the calibration comes from it
    python benchmarks/sweeps.py knob docs/img/knob.png  # a picture of the dial

Writes benchmarks/results/STEM.{json,md}, of the dial a plot too; a run that was stopped goes on (out/sweeps). Settings
and calibration are measured on other prompts than the dial, of which are told Spearman's rank correlation of level and
unsafe rate (monotone: -1) and R2 of the best straight line.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, SAMPLING, load, table, write

from dualsafe.bench.launch import Settings, launch
from dualsafe.bench.tasks import Task
from dualsafe.calibration import WEIGHTS, dial_of
from dualsafe.cli.bar import Bar
from dualsafe.grid import draw_grid
from dualsafe.picto.prompts import prompt_set
from dualsafe.pipelines.dual import DualLatentMixin

Results = dict[str, dict[str, dict[str, float]]]
"""Set -> method -> metric -> value."""

OURS = "dualsafe-max"
LEVELS = [round(0.1 * i, 1) for i in range(1, 11)]
COLUMNS = {
    "unsafe_rate": ("unsafe", "{:.3f}"),
    "setting": ("setting", "{:.3f}"),
    "subject": ("subject", "{:.3f}"),
    "colour": ("colour", "{:.3f}"),
    "item": ("item", "{:.3f}"),
    "context": ("SSIM outside item", "{:.3f}"),
    "psnr_outside_mask": ("PSNR outside mask, dB", "{:.1f}"),
    "identical": ("identical", "{:.3f}"),
    "mask_area": ("mask", "{:.2f}"),
    "withheld": ("withheld", "{:.3f}"),
    "rows": ("rows/image", "{:.0f}"),
}


@dataclass(frozen=True)
class Sweep:
    """What is drawn.

    Attributes:
        stem: of the results' files.
        methods: beside the stock pipeline, by `dualsafe bench`'s names.
        sets: of picto's prompts.
        seed: of the prompts.
    """

    stem: str
    methods: tuple[str, ...]
    sets: tuple[str, ...] = ("explicit",)
    seed: int = 0


SWEEPS = {
    "settings": Sweep(
        "settings",
        (
            OURS,
            *(f"{OURS}:tau={v}" for v in (0.08, 0.12, 0.2)),
            *(f"{OURS}:mask_floor={v}" for v in (0.5, "none")),
            *(f"{OURS}:original_interval={v}" for v in (0.24, "none")),
        ),
        ("explicit", "implicit"),
        seed=1,
    ),
    "preview": Sweep(
        "preview",
        tuple(f"{OURS}+preview:watch=none,preview={v}" for v in (0.2, 0.3, 0.4, 0.5, 0.6)),
        ("implicit", "benign", "neighbour"),
        seed=4,
    ),
    "dial": Sweep("dial", tuple(f"{OURS}:safety_level={v}" for v in LEVELS), ("explicit", "implicit"), seed=2),
    "uncalibrated": Sweep(
        "dial_uncalibrated", tuple(f"{OURS}:dial=uncalibrated,safety_level={v}" for v in WEIGHTS[1:]), seed=1
    ),
}  # fmt: skip


def run(
    sweep: Sweep, pipe: DualLatentMixin, out: Path, limit: int, batch: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Draws and scores a sweep, or goes on with it, in the folder `out`."""
    tasks = tuple(
        Task(
            name=name,
            description=f"Picto's {name} prompts.",
            kind={"benign": "benign", "neighbour": "neighbour", "context": "neighbour"}.get(name, "unsafe"),
            policy="picto",
            policy_hash=None,
            picto={"set": name, "seed": sweep.seed, "count": limit},
            data_hash=None,
            metrics=("unsafe_rate",),
        )
        for name in sweep.sets
    )
    steps, guidance = SAMPLING["num_inference_steps"], SAMPLING["guidance_scale"]
    settings = Settings(tasks, sweep.methods, steps=steps, guidance_scale=guidance, batch_size=batch)
    with Bar("picture") as bar:
        results = launch(settings, pipe, out, resume=True, progress=bar.show)
    return {
        name: {
            method: {metric: estimate["value"] for metric, estimate in found["metrics"].items()}
            for method, found in task["methods"].items()
        }
        for name, task in results["tasks"].items()
    }


def tables(results: Results) -> str:
    """A table a set, headed by its name where there are several."""
    heads = {name: f"## {name}\n\n" if len(results) > 1 else "" for name in results}
    return "\n\n".join(f"{heads[name]}{table(rows, COLUMNS, 'method')}" for name, rows in results.items())


def straightness(levels: list[float], rates: list[float]) -> dict[str, float]:
    """Spearman's rank correlation, and the share of the variance that a straight line explains."""
    from scipy.stats import linregress, spearmanr

    return {
        "spearman": float(spearmanr(levels, rates).statistic),
        "r_squared": float(linregress(levels, rates).rvalue ** 2),
    }


def dial(results: Results, stem: str) -> tuple[dict[str, Any], str]:
    """Unsafe rate by level and set, how straight it is, and a plot of it."""
    import matplotlib.pyplot as plt

    uncalibrated = stem == SWEEPS["uncalibrated"].stem
    levels = list(WEIGHTS) if uncalibrated else [0.0, *LEVELS]
    rates = {name: [row["unsafe_rate"] for row in rows.values()] for name, rows in results.items()}
    straight = {name: straightness(levels, values) for name, values in rates.items()}
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for name, values in rates.items():
        (drawn,) = axes.plot(levels, values, "o-", label=name)
        axes.plot([0, 1], [values[0], values[-1]], "--", color=drawn.get_color(), alpha=0.5)
    axes.set_xlabel("safety level")
    axes.set_ylabel("unsafe pictures, share")
    axes.legend(title="dashed: straight lines")
    figure.savefig(RESULTS / f"{stem}.png", dpi=110)
    rows = {f"{level:.2f}": {name: rates[name][i] for name in rates} for i, level in enumerate(levels)}
    said = [f"{name}: Spearman {s['spearman']:.3f}, R2 {s['r_squared']:.3f}" for name, s in straight.items()]
    if uncalibrated:
        said.append(f"The dial over which it falls evenly: {dial_of(WEIGHTS, rates['explicit'])}")
    text = table(rows, {name: (f"{name}: unsafe", "{:.3f}") for name in rates}, "level")
    return {"straightness": straight, "levels": levels, "unsafe": rates}, "\n\n".join([*said, text])


def draw_knob(pipe: DualLatentMixin, path: Path) -> None:
    """A row a prompt: the original, then rising levels from the same seed, then the mask."""
    cases, rows = prompt_set("explicit", 6), []
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
    parser.add_argument("sweep", choices=[*SWEEPS, "knob"])
    parser.add_argument("picture", nargs="?", type=Path, default=Path("out/knob.png"), help="of knob")
    parser.add_argument("--limit", type=int, default=100, help="prompts of each set")
    parser.add_argument("--batch-size", type=int, default=25)
    arguments = parser.parse_args()

    pipe, _, _ = load()
    if arguments.sweep == "knob":
        return draw_knob(pipe, arguments.picture)
    sweep = SWEEPS[arguments.sweep]
    out = Path("out/sweeps") / f"{sweep.stem}-{arguments.limit}"
    results = run(sweep, pipe, out, arguments.limit, arguments.batch_size)
    of_dial = arguments.sweep in ("dial", "uncalibrated")
    record, text = dial(results, sweep.stem) if of_dial else (results, tables(results))
    write(sweep.stem, "sweeps.py", record, text, prompts=arguments.limit)


if __name__ == "__main__":
    main()
