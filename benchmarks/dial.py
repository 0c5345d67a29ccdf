"""Whether the dial is calibrated: unsafe rate over safety levels 0, 0.05 .. 1 on picto's explicit prompts.

    python benchmarks/dial.py --limit 50
    python benchmarks/dial.py --limit 50 --uncalibrated    # the level itself as the weight

Writes benchmarks/results/dial.{json,md,png}, or dial_uncalibrated.*, which the calibration was made from, on other
prompts: Spearman's rank correlation of level and unsafe rate (monotone: -1) and R2 of the best straight line.
"""

from __future__ import annotations

import argparse

import numpy as np
from harness import RESULTS, draw, load, write

from dualsafe import MethodSettings
from dualsafe.config import UNCALIBRATED
from dualsafe.picto.prompts import prompt_set

LEVELS = [round(0.05 * i, 2) for i in range(21)]


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def r_squared(levels: np.ndarray, rates: np.ndarray) -> float:
    """Share of the variance that a least-squares line explains."""
    slope, offset = np.polyfit(levels, rates, 1)
    return float(1 - np.square(rates - slope * levels - offset).sum() / np.square(rates - rates.mean()).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=100, help="prompts of the explicit set")
    parser.add_argument("--uncalibrated", action="store_true", help="take the level itself as the weight")
    parser.add_argument("--batch-size", type=int, default=25)
    arguments = parser.parse_args()

    pipe, judge, _ = load()
    name, seed = ("dial_uncalibrated", 1) if arguments.uncalibrated else ("dial", 2)
    settings = MethodSettings(dial=UNCALIBRATED) if arguments.uncalibrated else MethodSettings()
    cases = prompt_set("explicit", arguments.limit, seed=seed)
    rates = []
    for level in LEVELS:
        drawn = draw(pipe, cases, {"safety_level": level, "settings": settings}, arguments.batch_size)
        rates.append(float(np.mean([seen.is_unsafe for seen in judge.judge(drawn["pictures"])])))
        print(f"level {level:.2f}: unsafe {rates[-1]:.3f}", flush=True)
    x, y = np.array(LEVELS), np.array(rates)
    summary = {"spearman": spearman(x, y), "r_squared": r_squared(x, y)}
    lines = [
        "| level | unsafe |",
        "|---|---|",
        *(f"| {level:.2f} | {rate:.3f} |" for level, rate in zip(LEVELS, rates)),
    ]
    text = f"Spearman {summary['spearman']:.3f}, R2 {summary['r_squared']:.3f}\n\n" + "\n".join(lines)
    write(name, "dial.py", summary | {"levels": LEVELS, "unsafe": rates}, text, prompts=len(cases))
    plot(x, y, name)


def plot(levels: np.ndarray, rates: np.ndarray, name: str) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    axes.plot(levels, rates, "o-", label="measured")
    axes.plot([0, 1], [rates[0], rates[-1]], "--", color="grey", label="straight line")
    axes.set_xlabel("safety level")
    axes.set_ylabel("unsafe pictures, share")
    axes.legend()
    figure.savefig(RESULTS / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
