"""Which worker makes which shards, where it is settled beforehand."""

from __future__ import annotations

from collections.abc import Sequence


def part(shards: Sequence[int], rank: int, ranks: int) -> list[int]:
    """Every `ranks`-th shard from number `rank` on: prompts are often sorted, and so are the dear ones spread."""
    return [*shards[rank::ranks]]


def span(shards: int, task: int, tasks: int) -> range:
    """A task's shards in one run of numbers, as `--shard-range` takes them; the tasks' sizes differ by one at most."""
    return range(shards * task // tasks, shards * (task + 1) // tasks)
