"""The simulation of launchers: nothing is lost or made twice, and its queue is the real one."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import get_ident

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import scale_sim
from scale_sim import ENGINES, Scenario, Simulation

CALM = Scenario(pairs=950, shard_size=100, rows=1, row_seconds=1, workers=4, load=10, failures=0, stragglers=0)
ROUGH = replace(CALM, failures=2.0, restart=60, stragglers=0.25)


@pytest.mark.parametrize("name", ENGINES)
def test_every_shard_is_made_whatever_fails(name):
    outcome = Simulation(ROUGH, ENGINES[name], seed=3).run()
    assert outcome.ended and outcome.failures > 0 and outcome.lost > 0
    assert {shard for shard, _ in outcome.order} == set(range(10))
    booked = outcome.useful + outcome.lost + outcome.down + outcome.idle
    assert booked == pytest.approx(4 * outcome.makespan) and outcome.idle >= -1e-6


@pytest.mark.parametrize("name", ENGINES)
def test_without_failures_no_work_is_lost_or_done_twice(name):
    outcome = Simulation(CALM, ENGINES[name]).run()
    assert (outcome.failures, outcome.lost) == (0, 0)
    assert sorted(shard for shard, _ in outcome.order) == list(range(10))
    assert outcome.useful == 950


def test_a_run_is_the_same_again_from_the_same_seed():
    runs = [Simulation(ROUGH, ENGINES["ray"], seed).run() for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_one_worker_takes_as_long_as_the_work_and_the_loading():
    assert Simulation(replace(CALM, workers=1), ENGINES["ray"]).run().makespan == 960


def test_a_queue_waits_less_for_slow_workers_than_parts():
    slow = replace(CALM, pairs=4000, stragglers=0.25)
    spans = {name: Simulation(slow, ENGINES[name]).run().makespan for name in ("ray", "slurm, 1 task a worker")}
    assert spans["ray"] < spans["slurm, 1 task a worker"]


def test_the_queue_gives_shards_to_whom_a_real_pool_gives_them():
    """Two workers, and a first shard that takes longer than all others together."""
    began = []

    def make(shard: int) -> None:
        began.append((shard, get_ident()))
        time.sleep(0.5 if shard == 0 else 0.02)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, range(6)))
    real = [shard for shard, worker in began if worker == began[0][1]]

    class Uneven(Scenario):
        def work(self, shard: int) -> float:
            return 0.5 if shard == 0 else 0.02

    scenario = Uneven(pairs=6, shard_size=1, workers=2, load=0, failures=0, stragglers=0)
    order = Simulation(scenario, ENGINES["local"]).run().order
    assert [shard for shard, _ in order] == [shard for shard, _ in began] == list(range(6))
    assert [shard for shard, worker in order if worker == order[0][1]] == real == [0]


def test_it_writes_a_table_a_plot_and_what_it_assumes(tmp_path, monkeypatch):
    said = ["scale_sim.py", "--pairs", "2000", "--workers", "4", "--sizes", "100", "500", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", [*said, "--out", str(tmp_path)])
    scale_sim.main()
    assert {path.name for path in tmp_path.iterdir()} == {"scale_sim.json", "scale_sim.md", "scale_sim.png"}
    assert '"assumed"' in (tmp_path / "scale_sim.json").read_text()
    assert (tmp_path / "scale_sim.md").read_text().count("\n| ") == 2 * len(ENGINES)


def test_the_arithmetic_of_a_row_is_that_of_stable_diffusion():
    counted = scale_sim.flops()
    assert counted["million weights"] == pytest.approx(859.5, abs=0.1)  # as published
    assert counted["row"] == pytest.approx(0.803, abs=0.001)
