"""Launchers: thin ways to have a run's shards made; each calls `Worker.run_shard` and nothing else of the core."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ...errors import PairsError

Progress = Callable[[int], None]
"""Is told how many more jobs are done."""
Engine = Callable[[Path, list[int], int, str, Progress], None]
"""Makes the given shards of the planned run in a folder, with so many workers, on a torch device."""

ENGINES: tuple[str, ...] = ("local", "ray")


def engine(name: str) -> Engine:
    """
    Raises:
        PairsError: no such engine.
        ImportError: its package is not installed.
    """
    if name not in ENGINES:
        raise PairsError(f"engine={name!r} is not one of {', '.join(ENGINES)}")
    return import_module(f".{name}", __name__).make_shards


def span(shards: int, task: int, tasks: int) -> range:
    """A task's shards in one run of numbers, as `--shard-range` takes them; the tasks' sizes differ by one at most."""
    return range(shards * task // tasks, shards * (task + 1) // tasks)
