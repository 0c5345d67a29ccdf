"""How long calls of the pipeline take, learned from those that were made."""

from __future__ import annotations

FIRST_GUESS = 0.5
"""Seconds of a step, before any call was seen."""


class Pace:
    """Seconds of a step by the number of pictures drawn together."""

    def __init__(self) -> None:
        self._step: dict[int, float] = {}

    def learn(self, pictures: int, steps: int, seconds: float) -> None:
        """A call of so many pictures and steps took so long."""
        self._step[pictures] = seconds / steps

    def seconds(self, pictures: int, steps: int) -> float:
        """What a call takes: as the last one of its size, else of the nearest one, a larger one taking longer."""
        if not self._step:
            return FIRST_GUESS * steps
        near = min(self._step, key=lambda size: abs(size - pictures))
        return steps * self._step[near] * max(1.0, pictures / near)
