"""One call at a time: diffusers' pipelines keep a call's state in themselves, as do the stand-ins of a dual call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from weakref import WeakKeyDictionary

from diffusers import DiffusionPipeline


class _Turn:
    def __init__(self) -> None:
        self.lock = RLock()
        self.taken = False


_turns: WeakKeyDictionary[DiffusionPipeline, _Turn] = WeakKeyDictionary()
_opening = RLock()


@contextmanager
def its_turn(pipe: DiffusionPipeline) -> Iterator[None]:
    """Holds `pipe` for one call; a call from another thread waits.

    Raises:
        RuntimeError: the call comes from inside another call of the same pipeline.
    """
    with _opening:
        turn = _turns.setdefault(pipe, _Turn())
    with turn.lock:
        if turn.taken:
            raise RuntimeError(
                f"{type(pipe).__name__} is called from inside its own call, by a callback or a judge: "
                "give that its own pipeline (from_pipe)"
            )
        turn.taken = True
        try:
            yield
        finally:
            turn.taken = False
