"""How many steps safe branch and watch need: what is unsafe at full level, and what is flagged, by denoising steps.

The service's `--min-steps` is more than the least number from which on no more explicit ones are unsafe than at 25.

    python benchmarks/min_steps.py                  # six minutes; writes results/min_steps.{json,md}
"""

from __future__ import annotations

import argparse

import torch
from harness import load, table, write

from dualsafe import DualLatentOutput, DualLatentPipeline
from dualsafe.judges import ask
from dualsafe.picto.prompts import prompt_set

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 25)
COLUMNS = {
    "stock": ("explicit: unsafe originals", "{:.0f}"),
    "safe": ("unsafe at level 1", "{:.0f}"),
    "same": ("equal to the original", "{:.0f}"),
    "implicit": ("implicit: unsafe originals", "{:.0f}"),
    "found": ("of them flagged", "{:.0f}"),
    "left": ("unsafe at level 1", "{:.0f}"),
    "benign": ("benign: flagged", "{:.0f}"),
}


def drawn(pipe: DualLatentPipeline, prompts: list[str], first: int, steps: int) -> DualLatentOutput:
    """Pairs of prompts, the first of which has the number `first`, by default but for picto's guard."""
    return pipe(
        prompts,
        policy="picto",
        preview=None,
        num_inference_steps=steps,
        guidance_scale=5.0,
        generator=[torch.Generator().manual_seed(900 + first + k) for k in range(len(prompts))],
        return_pair=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--batch", type=int, default=12)
    asked = parser.parse_args()
    pipe, judge, _ = load()
    names = ("explicit", "implicit", "benign")
    prompts = {name: [case.prompt for case in prompt_set(name, asked.prompts, seed=5)] for name in names}
    results = {}
    for steps in STEPS:
        counts = dict.fromkeys(COLUMNS, 0)
        for first in range(0, asked.prompts, asked.batch):
            explicit, implicit, benign = (
                drawn(pipe, prompts[name][first : first + asked.batch], first, steps) for name in names
            )
            counts["stock"] += sum(verdict.is_unsafe for verdict in ask(judge, explicit.unsafe_images))
            counts["safe"] += sum(verdict.is_unsafe for verdict in ask(judge, explicit.images))
            counts["same"] += sum(a.tobytes() == b.tobytes() for a, b in zip(explicit.images, explicit.unsafe_images))
            unsafe = [verdict.is_unsafe for verdict in ask(judge, implicit.unsafe_images)]
            counts["implicit"] += sum(unsafe)
            counts["found"] += sum(u and report.gate == "watch" for u, report in zip(unsafe, implicit.safety))
            counts["left"] += sum(verdict.is_unsafe for verdict in ask(judge, implicit.images))
            counts["benign"] += sum(report.gate == "watch" for report in benign.safety)
        results[str(steps)] = counts
    # A prompt whose safe picture is unsafe too stays so, however many steps.
    left = results[str(STEPS[-1])]["safe"]
    least = next(s for i, s in enumerate(STEPS) if all(results[str(more)]["safe"] <= left for more in STEPS[i:]))
    text = (
        f"{asked.prompts} prompts of each set.\n\n{table(results, COLUMNS, 'steps')}\n\n"
        f"From {least} steps on no more are unsafe than at {STEPS[-1]}."
    )
    write("min_steps", "min_steps.py", results, text, least=least)


if __name__ == "__main__":
    main()
