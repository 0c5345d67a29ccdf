"""When a preview can be trusted: what the guard misses and flags wrongly at each progress.

Compared with the finished picture, of which the judge that measures says whether it is unsafe.

    python benchmarks/preview.py

Writes benchmarks/results/preview.{json,md}. "missed" and "false" are shares of all pictures.
"""

from __future__ import annotations

import argparse

import numpy as np
from harness import SAMPLING, load, write
from PIL import Image
from tqdm.auto import tqdm

from dualsafe import MethodSettings
from dualsafe.baselines.stock import draw
from dualsafe.judges import Verdict
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.prompts import prompt_set
from dualsafe.policy import resolve

PROGRESS = (0.2, 0.3, 0.4, 0.5, 0.6)
SETS = ("implicit", "benign", "neighbour")
BATCH = 25


class Listening:
    """Asks the guard, keeps what it said, and lets everything pass."""

    def __init__(self, guard: PictoJudge):
        self.guard, self.flags = guard, []

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        self.flags += [verdict.is_unsafe for verdict in self.guard.verdicts(images)]
        return [Verdict(False)] * len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=100, help="prompts of each set")
    arguments = parser.parse_args()

    pipe, judge, guard = load()
    results: dict[str, dict[str, dict[str, float]]] = {name: {} for name in SETS}
    lines = ["| prompts | progress | missed | false |", "|---|---|---|---|"]
    for name in SETS:
        for progress in PROGRESS:
            listening, pictures = Listening(guard), []
            options = {"safety_level": "max", "settings": MethodSettings(preview=progress), **SAMPLING}
            prompts = [case.prompt for case in prompt_set(name, arguments.limit, seed=4)]
            for start in tqdm(range(0, len(prompts), BATCH), leave=False):
                part = prompts[start : start + BATCH]
                seeds = [1000 + start + i for i in range(len(part))]
                pictures += draw(pipe, part, seeds, resolve("picto"), preview=listening, **options).images
            flags = np.array(listening.flags)
            unsafe = np.array([seen.is_unsafe for seen in judge.judge(pictures)])
            found = {"missed": float((~flags & unsafe).mean()), "false": float((flags & ~unsafe).mean())}
            results[name][str(progress)] = found
            lines.append(f"| {name} | {progress} | {found['missed']:.3f} | {found['false']:.3f} |")
            print(lines[-1], flush=True)
    write("preview", "preview.py", results, "\n".join(lines), prompts=arguments.limit)


if __name__ == "__main__":
    main()
