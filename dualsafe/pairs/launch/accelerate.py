"""Shards on the processes that `accelerate launch` has started, on one machine or several: each makes its part."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ...errors import PairsError
from ..plan import jobs_of
from ..schedule import part
from . import Progress

LONGEST = timedelta(days=30)
"""How long a process waits for the slowest one, which may be shards behind; by default it would give up in minutes."""


def make_shards(folder: Path, shards: list[int], workers: int, device: str, progress: Progress) -> None:
    """Makes this process's part of the shards, and waits for the others to make theirs.

    Args:
        workers: 1; how many processes there are is said to `accelerate launch`.
        device: "cpu", or else each process takes its own of the machine's.
        progress: is told of this process's jobs, and at the end of the others'; in the main process only.

    Raises:
        PairsError: a process failed, in all of them, once the others are done; or `workers` isn't 1.
        ImportError: accelerate isn't installed.
    """
    try:
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list, gather_object
    except ImportError as error:
        raise ImportError("engine 'accelerate' needs a package: pip install accelerate") from error
    if workers != 1:
        raise PairsError(f"workers={workers} must be 1: `accelerate launch --num_processes` says how many there are")
    state = PartialState(cpu=device == "cpu", timeout=LONGEST)
    [shards] = broadcast_object_list([shards])  # a slow process may see fewer missing
    mine = part(shards, state.process_index, state.num_processes)
    told = progress if state.is_main_process else lambda jobs: None
    failure = _made(folder, mine, str(state.device), told)
    failures = gather_object([failure and f"process {state.process_index}: {type(failure).__name__}: {failure}"])
    told(sum(len(jobs_of(folder, index)) for index in set(shards) - set(mine)))
    if named := [each for each in failures if each]:
        raise PairsError(f"{len(named)} of {state.num_processes} processes failed, first {named[0]}") from failure


def _made(folder: Path, shards: list[int], device: str, progress: Progress) -> Exception | None:
    """What kept this process from making its shards; raised at once, it would leave the others waiting."""
    from ..worker import Worker

    try:
        worker = Worker.of(folder, device)
        for index in shards:
            worker.run_shard(index, progress)
    except Exception as error:
        return error
    return None
