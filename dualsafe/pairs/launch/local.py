"""Shards on this machine: in this process, or in several of its own."""

from __future__ import annotations

import multiprocessing as mp
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from ...errors import PairsError
from ..worker import Worker
from . import Progress

_worker: Worker  # of this process, if it is a worker's


def make_shards(folder: Path, shards: list[int], workers: int, device: str, progress: Progress) -> None:
    """Makes shards with `workers` processes; device "cuda" gives each a GPU of its own, as far as there are any.

    Raises:
        PairsError: a worker died, or all jobs of a shard failed.
    """
    if workers == 1:
        worker = Worker(folder, device)
        for index in shards:
            worker.run_shard(index, progress)
        return
    context = mp.get_context("spawn")
    setup = (str(folder), device, context.Value("i", 0), max(1, (os.cpu_count() or 1) // workers))
    pool = ProcessPoolExecutor(workers, context, initializer=_load, initargs=setup)
    try:
        for done in as_completed([pool.submit(_make, index) for index in shards]):
            progress(done.result()["jobs"])
    except BrokenProcessPool as error:
        raise PairsError(f"a worker died; what is done is in {folder}: go on with resume") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _load(folder: str, device: str, counter: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    with counter.get_lock():
        rank, counter.value = counter.value, counter.value + 1
    if device == "cuda":
        device = f"cuda:{rank % torch.cuda.device_count()}"
    global _worker
    _worker = Worker(Path(folder), device)


def _make(index: int) -> dict[str, Any]:
    return _worker.run_shard(index)
