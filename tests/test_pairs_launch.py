"""Every way to launch a pair run makes the same pairs, and a worker that fails is heard of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pair_runs import pair_files, spec_of

from dualsafe.errors import PairsError
from dualsafe.pairs.check import check
from dualsafe.pairs.launch import span
from dualsafe.pairs.plan import plan
from dualsafe.pairs.run import run

ROOT = Path(__file__).resolve().parent.parent
DUALSAFE = Path(sys.executable).with_name("dualsafe")
OPTIONS = ["--prompts=picto:explicit", "--limit=12", "--pairs-per-prompt=2", "--shard-size=4", "--device=cpu"]


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{DUALSAFE.parent}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run([*map(str, arguments)], env=given, capture_output=True, text=True, timeout=300)


def assert_alike(folder: Path, other: Path) -> None:
    """A run in which nothing is wrong has the same files as another."""
    assert list(check(folder)) == [] and pair_files(folder) == pair_files(other)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, with nothing of it reachable from elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it writes a token to the home folder
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.mark.parametrize("tasks", [1, 2, 3, 7])
def test_spans_leave_no_shard_out_and_give_none_twice(tasks):
    spans = [span(5, task, tasks) for task in range(tasks)]
    assert [index for each in spans for index in each] == list(range(5))
    assert max(map(len, spans)) - min(map(len, spans)) <= 1


def test_two_workers(exact_pairs, tmp_path):
    run(spec_of(), tmp_path / "run", workers=2)
    assert_alike(tmp_path / "run", exact_pairs)


def test_shard_ranges(exact_pairs, tmp_path):
    told = []
    for shards in (range(0), range(4, 6), range(0, 3)):
        assert run(spec_of(), tmp_path / "run", shards=shards) is None
    run(spec_of(), tmp_path / "run", shards=range(3, 4), progress=lambda *at: told.append(at))
    assert told[-1] == (4, 4)
    assert_alike(tmp_path / "run", exact_pairs)


@pytest.mark.slow
def test_ray_survives_a_lost_actor(cluster, exact_pairs, tmp_path):
    lost = []

    def lose(done: int, total: int) -> None:
        if not lost:
            lost.extend(
                each for each in psutil.Process().children(recursive=True) if "MapWorker" in "".join(each.cmdline())
            )
            lost[0].kill()

    run(spec_of(), tmp_path / "run", engine="ray", workers=2, progress=lose)
    assert lost
    assert_alike(tmp_path / "run", exact_pairs)


@pytest.mark.slow
def test_a_shard_that_fails_on_ray_is_named(cluster, tmp_path):
    folder = tmp_path / "run"
    spec = spec_of(editor="null", limit=4, pairs_per_prompt=1, shard_size=2)
    plan(spec, folder)
    (folder / "plan" / "00001.jsonl").unlink()
    with pytest.raises(PairsError, match=r"00001.jsonl cannot be read"):
        run(spec, folder, engine="ray", resume=True)
    planned = folder / "run.json"
    planned.write_text(planned.read_text().replace("picto@", "picto@0"))
    with pytest.raises(PairsError, match="was planned under picto@0"):
        run(spec, folder, engine="ray", resume=True)


@pytest.mark.slow
def test_the_slurm_script_runs_without_slurm(exact_pairs, tmp_path):
    script, folder = ROOT / "examples" / "slurm_pairs.sh", tmp_path / "run"
    for task in range(2):
        task_of = {"SLURM_ARRAY_TASK_ID": str(task), "TASKS": "2"}
        done = command("bash", script, folder, "--editor", "exact", *OPTIONS, **task_of)
        assert done.returncode == 0, done.stderr
    assert_alike(folder, exact_pairs)
