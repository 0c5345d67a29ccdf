"""Judges beside each other: tests of each two on the same pairs."""

from __future__ import annotations

from dataclasses import asdict
from itertools import combinations
from typing import Any

from ..bench.metrics import mcnemar
from .answers import Answers
from .metrics import difference_over_pairs


def pairwise_tests(answers: Answers, judges: list[str]) -> list[dict[str, Any]]:
    """For each two judges McNemar's exact test of getting both sides of a pair right, and the difference `a - b`."""
    if not answers.twins.any():
        return []
    right = {name: answers.both_right(name)[answers.twins] for name in judges}
    return [
        {
            "a": a,
            "b": b,
            "difference": asdict(difference_over_pairs(right[a], right[b])),
            **asdict(mcnemar(right[a], right[b])),
        }
        for a, b in combinations(judges, 2)
    ]
