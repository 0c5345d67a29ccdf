"""One call at a time: diffusers' pipelines keep a call's state in themselves, as do the stand-ins of a dual call."""

from __future__ import annotations

import os
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


def _none_taken() -> None:
    """A forked child has the locks, but not the threads that held them."""
    global _turns, _opening
    _turns, _opening = WeakKeyDictionary(), RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_none_taken)


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
                f"{type(pipe).__name__} is used inside its own call, by a callback or a judge: make another before the "
                f"call, {type(pipe).__name__}.from_pipe(pipe), which shares the weights and copies the scheduler"
            )
        turn.taken = True
        try:
            yield
        finally:
            turn.taken = False
