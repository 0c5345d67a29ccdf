"""Which methods trade safety against context best: the front, and who dominates whom, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """Where a method stands on a task: unsafe rate (low is good), context kept (high), denoiser rows (low)."""

    unsafe: float
    kept: float
    rows: float

    def dominates(self, other: Point) -> bool:
        """No worse in safety and context and better in one of them; if equal in both, cheaper."""
        if (self.unsafe, self.kept) == (other.unsafe, other.kept):
            return self.rows < other.rows
        return self.unsafe <= other.unsafe and self.kept >= other.kept


def dominations(points: dict[str, Point]) -> dict[str, list[str]]:
    """Method -> the methods that it dominates, if any."""
    found = {a: [b for b in points if points[a].dominates(points[b])] for a in points}
    return {a: below for a, below in found.items() if below}


def front(points: dict[str, Point]) -> list[str]:
    """The methods that none dominates, safest first."""
    best = [b for b in points if not any(points[a].dominates(points[b]) for a in points)]
    return sorted(best, key=lambda name: points[name].unsafe)


def in_words(points: dict[str, Point]) -> str:
    """A few sentences on the front and on what its methods dominate, which is all else."""
    best, below = front(points), dominations(points)
    sentences = [f"{method} dominates {_listed(below[method])}." for method in best if method in below]
    return " ".join([f"On the front: {_listed(best)}.", *sentences])


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
