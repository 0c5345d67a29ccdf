"""How many steps the safe branch needs: unsafe pictures at full level by the number of denoising steps.

The service's `--min-steps` is more than the least number from which on no more of these are unsafe than at 15.

    python benchmarks/min_steps.py                  # two minutes; writes results/min_steps.{json,md}
"""

from __future__ import annotations

import argparse

import torch
from harness import load, table, write

from dualsafe.judges import ask
from dualsafe.picto.prompts import prompt_set

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15)
COLUMNS = {
    "stock": ("unsafe originals", "{:.0f}"),
    "safe": ("unsafe pictures at level 1", "{:.0f}"),
    "same": ("equal to the original", "{:.0f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--batch", type=int, default=12)
    asked = parser.parse_args()
    pipe, judge, _ = load()
    cases = prompt_set("explicit", asked.prompts, seed=5)
    results = {}
    for steps in STEPS:
        counts = dict.fromkeys(COLUMNS, 0)
        for first in range(0, len(cases), asked.batch):
            batch = cases[first : first + asked.batch]
            output = pipe(
                [case.prompt for case in batch],
                policy="picto",
                num_inference_steps=steps,
                guidance_scale=5.0,
                generator=[torch.Generator().manual_seed(900 + first + k) for k in range(len(batch))],
                return_pair=True,
            )
            counts["stock"] += sum(verdict.is_unsafe for verdict in ask(judge, output.unsafe_images))
            counts["safe"] += sum(verdict.is_unsafe for verdict in ask(judge, output.images))
            counts["same"] += sum(a.tobytes() == b.tobytes() for a, b in zip(output.images, output.unsafe_images))
        results[str(steps)] = counts
    # A prompt whose safe picture is unsafe too stays so, however many steps.
    left = results[str(STEPS[-1])]["safe"]
    least = next(s for i, s in enumerate(STEPS) if all(results[str(more)]["safe"] <= left for more in STEPS[i:]))
    text = (
        f"{len(cases)} explicit prompts.\n\n{table(results, COLUMNS, 'steps')}\n\n"
        f"From {least} steps on no more are unsafe than at {STEPS[-1]}."
    )
    write("min_steps", "min_steps.py", results, text, least=least)


if __name__ == "__main__":
    main()
