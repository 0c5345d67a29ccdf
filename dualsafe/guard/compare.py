"""Judges beside each other: tests of each two on the same pairs, and how they do as the sides get more alike."""

from __future__ import annotations

from dataclasses import asdict
from itertools import combinations
from typing import Any

from ..bench.metrics import mcnemar
from .answers import Answers
from .metrics import bins_of, difference_over_pairs, interval_over_pairs


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


def by_similarity(answers: Answers, measure: str, judges: list[str]) -> list[dict[str, Any]]:
    """Bins of pairs by rising similarity: their range and mean, and each judge's paired accuracy there."""
    similarity = answers.similarity[measure][answers.twins]
    right = {name: answers.both_right(name)[answers.twins] for name in judges}
    return [
        {
            "low": float(similarity[rows].min()),
            "high": float(similarity[rows].max()),
            "mean": float(similarity[rows].mean()),
            "n": len(rows),
            "judges": {name: asdict(interval_over_pairs(right[name][rows])) for name in judges},
        }
        for rows in bins_of(similarity)
    ]
