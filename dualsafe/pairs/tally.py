"""What a set of pairs holds, counted over the rows of its index."""

from __future__ import annotations

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from .row import METRICS

COUNTED = ("kind", "tier", "gate", "split", "original_label", "editor", "model", "revision", "policy")
ANSWERS = {True: "unsafe", False: "safe", None: "no answer"}


class Tally:
    """Counts of pairs, and a few numbers of each.

    Attributes:
        pairs: how many there are.
        counts: column, and "size" -> value -> pairs.
        families: split -> prompt families.
        categories: category -> split -> pairs; a pair counts in each of its categories.
        verdicts: judge -> side -> one of ANSWERS -> pictures.
        truths: names of what is known of the originals.
        unmasked: pairs without a mask, or with one that covers everything.
        spreads: measure -> how many pairs have it, its mean, its 5th, 50th and 95th percentile; none that no pair has.
        holds_unsafe: whether any side is meant to be unsafe, or a pair not verified.
    """

    def __init__(self, rows: Iterable[dict[str, Any]]):
        self.pairs = self.unmasked = 0
        self.counts: dict[str, Counter[str | None]] = {name: Counter() for name in (*COUNTED, "size")}
        self.categories: dict[str, Counter[str]] = defaultdict(Counter)
        self.verdicts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self.truths: set[str] = set()
        families: set[tuple[str, str]] = set()
        measured = {name: array("d") for name in ("mask_area", *METRICS)}
        for row in rows:
            self.pairs += 1
            for name in COUNTED:
                self.counts[name][row.get(name)] += 1  # a run of before has no gate
            self.counts["size"][f"{row['width']}x{row['height']}"] += 1
            for category in row["categories"]:
                self.categories[category][row["split"]] += 1
            for judge, sides in json.loads(row["verdicts"]).items():
                for side, said in sides.items():
                    self.verdicts[judge][side][ANSWERS[said["unsafe"]]] += 1
            self.truths.update(json.loads(row["truth"]) or ())
            families.add((row["split"], row["family"]))
            self.unmasked += row["psnr_outside_mask"] is None
            for name, values in measured.items():
                if row[name] is not None:
                    values.append(row[name])
        self.families = Counter(split for split, _ in families)
        self.spreads = {name: _spread(np.frombuffer(values)) for name, values in measured.items() if values}
        self.holds_unsafe = bool(self.counts["original_label"]["unsafe"] or self.counts["tier"]["unverified"])


def _spread(values: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {"pairs": len(values), "mean": values.mean(), "low": low, "median": median, "high": high}
