"""What each way of drawing costs against the stock pipeline: denoiser rows, seconds, pictures a second.

    python benchmarks/speed.py
    python benchmarks/speed.py --rounds 1 --steps 4 --batches 1      # a look at the form

Writes benchmarks/results/speed.{json,md}. All methods take turns in every round, on the same prompts from the same
seeds; a ratio is the median over rounds of a method's seconds by the stock pipeline's of that round. A pair is two
pictures, and is compared with one stock picture. Leave the machine alone while it runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import load, write
from tqdm.auto import tqdm

from dualsafe import DualLatentPipeline, MethodSettings
from dualsafe.baselines import create
from dualsafe.conditions import calibrate
from dualsafe.picto.prompts import prompt_set
from dualsafe.policy import resolve

Draw = Callable[[list[int]], float]
"""Draws one picture for each seed; gives the denoiser rows of a picture."""


def of_method(pipe: DualLatentPipeline, name: str, prompts: list[str], steps: int, seeds: list[int]) -> float:
    drawn = create(name).generate(pipe, prompts, seeds, resolve("picto"), num_inference_steps=steps, guidance_scale=5.0)
    return statistics.mean(drawn.rows)


def of_ours(pipe: DualLatentPipeline, prompts: list[str], steps: int, options: dict, seeds: list[int]) -> float:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    call = {"num_inference_steps": steps, "guidance_scale": 5.0, "generator": generators, "policy": "picto"}
    output = pipe(prompts, **call, **options)
    return statistics.mean(report.denoiser_rows for report in output.safety)


def methods(steps: int, batch: int) -> dict[str, Draw]:
    """Every way of drawing a batch, on unsafe prompts and on benign ones."""
    pipe, _, guard = load()
    bare = [case.prompt for case in prompt_set("benign", 1500, seed=5) if case.scene.item == "none"]
    gate, _ = calibrate(pipe._pooled, resolve("picto"), bare)
    cleared = [p for p in (case.prompt for case in prompt_set("benign", 200, seed=4)) if gate_clears(pipe, gate, p)]
    unsafe = [case.prompt for case in prompt_set("explicit", batch, seed=4)]
    benign = [case.prompt for case in prompt_set("benign", batch, seed=4)]
    ours: dict[str, tuple[list[str], dict[str, Any]]] = {
        "safe only": (unsafe, {}),
        "safe only, released at 0.5": (unsafe, {"settings": MethodSettings(release=0.5)}),
        "safe only, stacked": (unsafe, {"settings": MethodSettings(stacked=True)}),
        "pair": (unsafe, {"return_pair": True}),
        "benign, words": (benign, {}),
        "benign, preview": (benign, {"preview": guard, "prompt_gate": None}),
        "benign, cleared by the prompt gate": (cleared[:batch], {"preview": guard, "prompt_gate": gate}),
    }
    others = {name: partial(of_method, pipe, name, unsafe, steps) for name in ("stock", "sld-medium", "safree", "sega")}
    return others | {name: partial(of_ours, pipe, prompts, steps, more) for name, (prompts, more) in ours.items()}


def gate_clears(pipe: DualLatentPipeline, gate: Any, prompt: str) -> bool:
    return gate.clears(gate.score(pipe._pooled([prompt]))[0])


def measured(draws: dict[str, Draw], batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Rows, seconds a picture, and both by the stock pipeline's, for each method."""
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    rows = {name: draw(list(range(batch))) for name, draw in draws.items()}  # the first calls allocate
    for k in tqdm(range(rounds), leave=False):
        for name, draw in draws.items():
            begin = time.perf_counter()
            draw([1000 + k * batch + i for i in range(batch)])
            seconds[name].append(time.perf_counter() - begin)
    return {
        name: {
            "rows": rows[name],
            "rows_by_stock": rows[name] / rows["stock"],
            "seconds": statistics.median(seconds[name]) / batch,
            "seconds_by_stock": statistics.median(a / b for a, b in zip(seconds[name], seconds["stock"])),
            "pictures_a_second": batch / statistics.median(seconds[name]),
        }
        for name in draws
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    asked = parser.parse_args()
    results = {f"batch {batch}": measured(methods(asked.steps, batch), batch, asked.rounds) for batch in asked.batches}
    lines = ["| batch | method | rows | by stock | seconds a picture | by stock |", "|---|---|---|---|---|---|"]
    for batch, found in results.items():
        for name, row in found.items():
            ratios = (
                f"{row['rows']:.0f} | {row['rows_by_stock']:.2f} | {row['seconds']:.3f} | {row['seconds_by_stock']:.2f}"
            )
            lines.append(f"| {batch.split()[1]} | {name} | {ratios} |")
    write("speed", "speed.py", results, "\n".join(lines), steps=asked.steps, rounds=asked.rounds)


if __name__ == "__main__":
    main()
