"""A pair run that is killed, or whose disk is full, loses nothing and makes nothing twice."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
from pair_runs import exact_run, pair_files, spec_of

from dualsafe.pairs.check import check
from dualsafe.pairs.run import run


def _run(folder: str, most_bytes: int | None = None) -> None:
    import torch

    torch.set_num_threads(1)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    run(spec_of(limit=40), Path(folder), resume=True)


@pytest.fixture(scope="module")
def processes():
    """Processes that start with everything imported, so that a kill meets the run and not its imports."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["test_pairs_faults", "dualsafe.pairs.worker", "dualsafe.picto", "webdataset"])
    return context


def _started(processes, *arguments):
    process = processes.Process(target=_run, args=arguments)
    process.start()
    return process


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of a run that nobody killed."""
    return pair_files(exact_run(tmp_path_factory.mktemp("whole") / "run", limit=40))


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_points_ends_as_if_it_had_never_been(kills, processes, whole, tmp_path):
    began = time.perf_counter()
    _started(processes, str(tmp_path / "timed")).join()
    takes = time.perf_counter() - began
    folder, rng, killed, finished = tmp_path / "killed", random.Random(0), 0, 0
    while killed < kills:
        process = _started(processes, str(folder))
        process.join(rng.uniform(0, 0.7 * takes))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if (folder / "stats.json").is_file():  # it got to its end: begin with another, so that kills go on meeting work
            assert pair_files(folder) == whole and list(check(folder)) == []
            finished += 1
            folder = tmp_path / f"killed-{finished}"
    run(spec_of(limit=40), folder, resume=True)
    assert pair_files(folder) == whole
    assert list(check(folder)) == []
    assert not list((folder / "shards").glob(".*"))


@pytest.mark.parametrize("most", [200, 5_000, 15_000])
def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(processes, most, tmp_path):
    process = _started(processes, str(tmp_path / "run"), most)
    process.join()
    assert process.exitcode == 1
    for left in (tmp_path / "run").rglob("*"):
        assert "partial" not in left.name
    run(spec_of(limit=40), tmp_path / "run", resume=True)
    assert list(check(tmp_path / "run")) == []
