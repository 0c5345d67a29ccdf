"""Reading a guard run's samples back, line by line, into arrays of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat

from ..bench.record import read_samples
from ..errors import BenchError
from ..pairs.pair import LABELS, Kind

CONFLICTS = {"filtered": "verified or steered", "trained": "was trained on"}
"""What a judge may have to do with a pair that it is to grade."""
Conflict = Literal["filtered", "trained"]


class Side(BaseModel):
    """What a judge said of one side; `unsafe` is None for a refusal, an unreadable answer or an error."""

    unsafe: bool | None
    score: FiniteFloat | None = None
    error: str | None = None


class PairLine(BaseModel):
    """One line of a run's samples, as far as scores need it.

    Attributes:
        pair: number of the pair in the run, from 0.
        folder: number of its folder among the run's.
        conflict: why the judge cannot grade the pair fairly, one of `CONFLICTS`, if it cannot.
    """

    judge: str
    pair: int
    folder: int
    pair_id: str
    kind: Kind
    categories: tuple[str, ...] = ()
    conflict: Conflict | None = None
    original: Side
    edited: Side


@dataclass(frozen=True)
class Answers:
    """What judges said of P pairs; the last axis of two is the pair's sides, original and edited.

    Attributes:
        pairs: numbers of the pairs that all judges have answered, (P,).
        twins: whether a pair's original is unsafe and its edited side safe, (P,); else both sides are safe.
        categories: of each pair.
        said: judge -> (P, 2), 1 for unsafe, 0 for safe, NaN for no answer.
        scores: judge -> (P, 2), NaN for none.
        failed: judge -> (P, 2), whether it broke down.
        conflicts: judge -> why it cannot grade some of the pairs fairly, one of `CONFLICTS`.
        kinds: kind -> (P,), whether a pair is of it.
        missing: pairs of the run that some judge has no answer on record for.
    """

    pairs: NDArray[np.intp]
    twins: NDArray[np.bool_]
    categories: list[tuple[str, ...]]
    said: dict[str, NDArray[np.float64]]
    scores: dict[str, NDArray[np.float64]]
    failed: dict[str, NDArray[np.bool_]]
    conflicts: dict[str, str]
    kinds: dict[str, NDArray[np.bool_]]
    missing: int

    def right(self, judge: str) -> NDArray[np.bool_]:
        """(P, 2), whether each side was called what it is; no answer is never right."""
        truth = np.stack([self.twins, np.zeros_like(self.twins)], axis=1)
        return self.said[judge] == truth

    def both_right(self, judge: str) -> NDArray[np.bool_]:
        """(P,), whether both sides of a pair were called what they are."""
        original, edited = self.right(judge).T
        return original & edited


def read_answers(folder: Path, run: dict[str, Any], notes: list[str]) -> Answers:
    """All answers of a run, for the pairs that every judge has answered.

    Raises:
        BenchError: a line is not a sample, comes twice, or is of a judge or pair that run.json does not name.
    """
    judges, n = run["judges"], run["n"]
    said, scores = ({name: np.full((n, 2), math.nan) for name in judges} for _ in range(2))
    failed = {name: np.zeros((n, 2), bool) for name in judges}
    there = {name: np.zeros(n, bool) for name in judges}
    kinds = {kind: np.zeros(n, bool) for kind in LABELS}
    categories: list[tuple[str, ...]] = [()] * n
    conflicts: dict[str, str] = {}
    for sample in read_samples(folder, PairLine, notes):
        name, i = sample.judge, sample.pair
        if name not in there or not 0 <= i < n:
            raise BenchError(f"{folder} has samples of judge {name!r}, pair {i}: not in run.json")
        if there[name][i]:
            raise BenchError(f"{folder} has judge {name!r}, pair {i} twice")
        there[name][i] = kinds[sample.kind][i] = True
        categories[i] = sample.categories
        for side, verdict in enumerate((sample.original, sample.edited)):
            said[name][i, side] = _number(verdict.unsafe)
            scores[name][i, side] = _number(verdict.score)
            failed[name][i, side] = verdict.error is not None
        if sample.conflict is not None:
            conflicts[name] = sample.conflict
    pairs = np.flatnonzero(np.all(list(there.values()), axis=0))
    return Answers(
        pairs,
        np.any([kinds[kind][pairs] for kind, labels in LABELS.items() if labels == (True, False)], axis=0),
        [categories[i] for i in pairs],
        _at(said, pairs),
        _at(scores, pairs),
        _at(failed, pairs),
        conflicts,
        _at(kinds, pairs),
        n - len(pairs),
    )


def _number(value: float | bool | None) -> float:
    return math.nan if value is None else float(value)


def _at(columns: dict[Any, NDArray[Any]], rows: NDArray[np.intp]) -> dict[Any, NDArray[Any]]:
    return {name: column[rows] for name, column in columns.items()}
