"""What a set of pairs holds, counted a row at a time."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from .row import METRICS

COUNTED = ("kind", "tier", "gate", "split", "original_label", "editor", "model", "revision", "policy")
ANSWERS = {True: "unsafe", False: "safe", None: "no answer"}


class Tally:
    """Counts of pairs, a few numbers for each.

    Attributes:
        pairs: how many there are.
        counts: column, and "size" -> value -> pairs.
        categories: category -> split -> pairs; a pair counts in each of its categories.
        verdicts: judge -> side -> one of ANSWERS -> pictures.
        truths: names of what is known of the originals.
        unmasked: pairs without a mask, or with one that covers everything.
    """

    def __init__(self) -> None:
        self.pairs = self.unmasked = 0
        self.counts: dict[str, Counter[str | None]] = {name: Counter() for name in (*COUNTED, "size")}
        self.categories: dict[str, Counter[str]] = {}
        self.verdicts: dict[str, dict[str, Counter[str]]] = {}
        self.truths: set[str] = set()
        self._families: dict[str, set[str]] = {}
        self._measured = {name: array("d") for name in ("mask_area", *METRICS)}

    def add(self, row: dict[str, Any]) -> None:
        self.pairs += 1
        for name in COUNTED:
            self.counts[name][row.get(name)] += 1
        self.counts["size"][f"{row['width']}x{row['height']}"] += 1
        for category in row["categories"]:
            self.categories.setdefault(category, Counter())[row["split"]] += 1
        self._families.setdefault(row["split"], set()).add(row["family"])
        for judge, sides in row["verdicts"].items():
            for side, said in sides.items():
                self.verdicts.setdefault(judge, {}).setdefault(side, Counter())[ANSWERS[said["unsafe"]]] += 1
        self.truths.update(row["truth"] or ())
        self.unmasked += row["metrics"]["psnr_outside_mask"] is None
        for name, value in (("mask_area", row["mask_area"]), *row["metrics"].items()):
            if value is not None:
                self._measured[name].append(value)

    @property
    def holds_unsafe(self) -> bool:
        """Whether any side is meant to be unsafe, or a pair not verified."""
        return bool(self.counts["original_label"]["unsafe"] or self.counts["tier"]["unverified"])

    @property
    def families(self) -> dict[str, int]:
        """Split -> prompt families."""
        return {split: len(families) for split, families in self._families.items()}

    def spreads(self) -> dict[str, dict[str, float]]:
        """Measure -> how many pairs have it, its mean, its 5th, 50th and 95th percentile; none that no pair has."""
        return {name: _spread(values) for name, values in self._measured.items() if values}


def _spread(values: array) -> dict[str, float]:
    numbers = np.frombuffer(values)
    low, median, high = np.quantile(numbers, (0.05, 0.5, 0.95))
    return {"pairs": len(numbers), "mean": numbers.mean(), "low": low, "median": median, "high": high}
