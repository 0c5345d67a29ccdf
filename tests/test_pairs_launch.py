"""Every way to launch a pair run makes the same pairs, and a worker that fails is heard of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from exact_runs import exact_run, spec_of

from dualsafe.errors import PairsError
from dualsafe.pairs.check import check
from dualsafe.pairs.launch import engine
from dualsafe.pairs.plan import plan
from dualsafe.pairs.read import read_rows
from dualsafe.pairs.run import run
from dualsafe.pairs.schedule import part, span

ROOT = Path(__file__).resolve().parent.parent
DUALSAFE = Path(sys.executable).with_name("dualsafe")
OPTIONS = ["--prompts=picto:explicit", "--limit=12", "--pairs-per-prompt=2", "--shard-size=4", "--device=cpu"]
SETTINGS = {"guidance_scale": 5.0}  # as the command line's for picto


def rows(folder: Path) -> dict[str, dict]:
    """Pair id -> row, of a run in which nothing is wrong."""
    assert list(check(folder)) == []
    return {row["pair_id"]: row for row in read_rows(folder)}


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{DUALSAFE.parent}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run([*map(str, arguments)], env=given, capture_output=True, text=True, timeout=300)


def accelerate(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What it starts for several GPUs; `accelerate launch --cpu` has one process, unless there is MPI."""
    options = ["--multi_gpu", "--num_processes=2", "--num_machines=1", "--main_process_port=0", "--mixed_precision=no"]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *options, "--dynamo_backend=no"]
    return command(*launcher, DUALSAFE, "pairs", "run", *OPTIONS, "--engine", "accelerate", *arguments)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, dict]:
    """What one worker makes: 24 pairs in six shards."""
    return rows(exact_run(tmp_path_factory.mktemp("pairs") / "run", **SETTINGS))


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


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_parts_and_spans_leave_no_shard_out_and_give_none_twice(ranks):
    shards = [0, 1, 3, 4, 7]
    parts = [part(shards, rank, ranks) for rank in range(ranks)]
    assert (
        sorted(index for each in parts for index in each) == shards and max(map(len, parts)) - min(map(len, parts)) <= 1
    )
    spans = [span(5, task, ranks) for task in range(ranks)]
    assert [index for each in spans for index in each] == list(range(5))
    assert max(map(len, spans)) - min(map(len, spans)) <= 1


def test_an_unknown_engine_is_refused():
    with pytest.raises(PairsError, match="local, accelerate, ray"):
        engine("spark")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_local_workers(workers, alone, tmp_path):
    run(spec_of(**SETTINGS), tmp_path / "run", workers=workers)
    assert rows(tmp_path / "run") == alone


def test_shard_ranges(alone, tmp_path):
    told = []
    for shards in (range(0), range(4, 6), range(0, 3)):
        assert run(spec_of(**SETTINGS), tmp_path / "run", shards=shards) is None
    run(spec_of(**SETTINGS), tmp_path / "run", shards=range(3, 4), progress=lambda *at: told.append(at))
    assert rows(tmp_path / "run") == alone
    assert told[-1] == (4, 4)


@pytest.mark.slow
def test_accelerate(alone, tmp_path):
    done = accelerate("--editor", "exact", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "24/24" in done.stderr
    assert rows(tmp_path / "run") == alone


@pytest.mark.slow
def test_a_process_that_fails_under_accelerate_fails_the_run_and_not_the_others_work(tmp_path):
    folder = tmp_path / "run"
    plan(spec_of(editor="null", **SETTINGS), folder)
    (folder / "plan" / "00003.jsonl").unlink()
    done = accelerate("--editor", "null", "--out", folder)
    assert done.returncode != 0
    assert "1 of 2 processes failed, first process 1: PairsError" in done.stderr and "00003.jsonl" in done.stderr
    assert {path.name[:5] for path in (folder / "shards").glob("*_stats.json")} == {f"{i:05d}" for i in (0, 1, 2, 4)}


def test_accelerate_takes_its_number_of_workers_from_its_own_launcher(tmp_path):
    with pytest.raises(PairsError, match="workers=4 must be 1: `accelerate launch"):
        run(spec_of(editor="null"), tmp_path / "run", engine="accelerate", workers=4)


@pytest.mark.slow
def test_ray_survives_a_lost_actor(cluster, alone, tmp_path):
    lost = []

    def lose(done: int, total: int) -> None:
        if not lost:
            lost.extend(
                each for each in psutil.Process().children(recursive=True) if "MapWorker" in "".join(each.cmdline())
            )
            lost[0].kill()

    run(spec_of(**SETTINGS), tmp_path / "run", engine="ray", workers=2, progress=lose)
    assert lost and rows(tmp_path / "run") == alone


@pytest.mark.slow
def test_a_shard_that_fails_on_ray_is_named(cluster, tmp_path):
    folder = tmp_path / "run"
    spec = spec_of(editor="null", limit=4, pairs_per_prompt=1, shard_size=2)
    plan(spec, folder)
    (folder / "plan" / "00001.jsonl").unlink()
    with pytest.raises(PairsError, match=r"00001.jsonl can't be read"):
        run(spec, folder, engine="ray", resume=True)
    planned = folder / "run.json"
    planned.write_text(planned.read_text().replace("picto@", "picto@0"))
    with pytest.raises(PairsError, match="was planned under picto@0"):
        run(spec, folder, engine="ray", resume=True)


@pytest.mark.slow
def test_the_slurm_script_runs_without_slurm(alone, tmp_path):
    script, folder = ROOT / "examples" / "slurm_pairs.sh", tmp_path / "run"
    for task in range(2):
        task_of = {"SLURM_ARRAY_TASK_ID": str(task), "TASKS": "2"}
        done = command("bash", script, folder, "--editor", "exact", *OPTIONS, **task_of)
        assert done.returncode == 0, done.stderr
    assert rows(folder) == alone
