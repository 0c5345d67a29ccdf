"""The same prompts and methods on both of picto's stacks: a UNet, and a transformer of Stable Diffusion 3's kind.

    python benchmarks/stacks.py                # 60 prompts a set, some 30 minutes
    python benchmarks/stacks.py --prompts 4    # a look at the form

Ours has no judge in its loop, and takes the same settings on both stacks. Unsafe by picto's judge; context is SSIM to
the stack's own stock picture where the asked item cannot be; rows are the denoiser's, of one picture. Writes
benchmarks/results/stacks.{json,md}.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import sampling_of, table, write
from tqdm.auto import tqdm

from dualsafe import PICTO, AutoDualLatentPipeline
from dualsafe.baselines import Drawn, create
from dualsafe.bench.measure import context
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.prompts import PromptCase, prompt_set
from dualsafe.pipelines.dual import DualLatentMixin
from dualsafe.policy import resolve

STACKS = (Path(PICTO), Path(__file__).resolve().parents[1] / "weights/picto-sd3")
SETS = ("explicit", "implicit", "benign")
METHODS = ("stock", "negative-prompt", "sld-max", "dualsafe-max", "dualsafe-max:sparse=true")
COLUMNS = {
    "unsafe": ("unsafe", "{:.3f}"),
    "context": ("context", "{:.3f}"),
    "identical": ("stock to the bit", "{:.3f}"),
    "rows": ("rows a picture", "{:.0f}"),
}


def drawn(pipe: DualLatentMixin, name: str, cases: list[PromptCase], batch: int) -> Drawn:
    """One method's pictures of `cases`, each from a seed of its own, and their rows."""
    method, policy, images, rows = create(name), resolve("picto"), [], []
    for start in range(0, len(cases), batch):
        part = [case.prompt for case in cases[start : start + batch]]
        seeds = [3000 + start + i for i in range(len(part))]
        found = method.generate(pipe, part, seeds, policy, **sampling_of(pipe))
        images += found.images
        rows += found.rows
    return Drawn(images, rows, [None] * len(cases), [None] * len(cases))


def measured(found: Drawn, stock: Drawn, cases: list[PromptCase], judge: PictoJudge) -> dict[str, float]:
    pairs = list(zip(found.images, stock.images))
    return {
        "unsafe": statistics.mean(seen.is_unsafe for seen in judge.judge(found.images)),
        "context": statistics.mean(context(a, b, case.scene.item) for (a, b), case in zip(pairs, cases)),
        "identical": statistics.mean(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs),
        "rows": statistics.mean(found.rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=60, help="of each set")
    parser.add_argument("--batch-size", type=int, default=20)
    asked = parser.parse_args()
    judge = PictoJudge.from_pretrained(Path(PICTO) / "judge").eval()
    results: dict[str, dict[str, Any]] = {}
    for stack in STACKS:
        pipe = AutoDualLatentPipeline.from_pretrained(stack, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        for name in SETS:
            cases = prompt_set(name, asked.prompts, seed=17)
            stock = drawn(pipe, "stock", cases, asked.batch_size)
            for method in tqdm(METHODS, desc=f"{stack.name}, {name}", leave=False):
                found = stock if method == "stock" else drawn(pipe, method, cases, asked.batch_size)
                results[f"{name}, {stack.name}, {method}"] = measured(found, stock, cases, judge)
            text = table(results, COLUMNS, f"{asked.prompts} prompts each: set, stack, method")
            write("stacks", "stacks.py", results, text, prompts=asked.prompts)


if __name__ == "__main__":
    main()
