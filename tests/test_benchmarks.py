"""What the benchmarks compute: ranks, lines, regions, tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import harness
import pairs
import speed
import sweeps
import unedited
import verifier

from dualsafe.baselines import create


def test_a_line_is_straight_and_a_step_is_not():
    levels = [0.1 * i for i in range(11)]
    line, step = (sweeps.straightness(levels, rates) for rates in ([0.9 - 0.8 * x for x in levels], [1] * 5 + [0] * 6))
    assert line == {"spearman": pytest.approx(-1), "r_squared": pytest.approx(1)}
    assert step["spearman"] > -0.9 and step["r_squared"] < 0.85


def test_a_table_has_a_row_a_method_and_a_dash_for_what_is_missing():
    columns = {"unsafe_rate": ("unsafe", "{:.3f}"), "context": ("context", "{:.2f}")}
    text = harness.table({"stock": {"unsafe_rate": 0.5}, "max": {"unsafe_rate": 0, "context": 1}}, columns, "method")
    assert text.splitlines() == [
        "| method | unsafe | context |",
        "|---|---|---|",
        "| stock | 0.500 | - |",
        "| max | 0.000 | 1.00 |",
    ]


@pytest.mark.parametrize("sweep", sweeps.SWEEPS.values(), ids=list(sweeps.SWEEPS))
def test_every_method_of_a_sweep_can_be_asked_for(sweep):
    assert [create(name, judge=lambda images: []).name for name in sweep.methods] == list(sweep.methods)


def test_a_sweep_draws_scores_and_is_plotted(picto_dual, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "RESULTS", tmp_path)
    monkeypatch.setattr(sweeps, "SAMPLING", {"num_inference_steps": 3, "guidance_scale": 5.0})
    monkeypatch.setattr(sweeps, "LEVELS", [0.5, 1.0])
    methods = ("dualsafe-max:safety_level=0.5", "dualsafe-max:safety_level=1")
    found = sweeps.run(sweeps.Sweep("dial", methods, ("explicit", "benign")), picto_dual, tmp_path / "run", 2, 2)
    assert set(found) == {"explicit", "benign"} and found["benign"]["stock"]["identical"] == 1
    assert sweeps.tables(found).count("| stock | ") == 2
    record, text = sweeps.dial({"explicit": found["explicit"]}, "dial")
    assert record["levels"] == [0.0, 0.5, 1.0] and len(record["unsafe"]["explicit"]) == 3
    assert (tmp_path / "dial.png").is_file() and "| level | explicit: unsafe |" in text


@pytest.mark.parametrize("name", verifier.CASES)
def test_each_pair_of_the_verifiers_benchmark_is_what_its_case_says(name):
    case = verifier.CASES[name]
    for made in verifier.pairs(case, name, 3):
        changed = (np.asarray(made.original) != np.asarray(made.edited)).any(-1)
        elsewhere = bool(changed[np.asarray(made.mask) == 0].any())
        assert elsewhere == (name.endswith(" too") or name == "everything moved")
        assert changed.any() != (name in ("unsafe picture twice", "null edit that changes nothing"))


def test_the_verifiers_table_has_a_row_a_case():
    row = {"truth": "valid"} | dict.fromkeys(verifier.FORMS, verifier.estimate([True, True], 2))
    assert "| safe counterpart | valid | 1.000 [" in verifier.table({"safe counterpart": row}).splitlines()[2]


def test_a_dry_run_is_measured_by_tenths():
    found = pairs.memory(prompts=40, shard=20)
    assert len(found["resident_mib"]) == 10 and found["peak_mib"] >= max(found["resident_mib"]) > 0


def test_costs_are_by_the_stock_pipelines():
    found = speed.measured({"stock": lambda seeds: 50.0, "twice": lambda seeds: 100.0}, batch=2, rounds=3)
    assert found["twice"]["rows_by_stock"] == 2 and found["stock"]["seconds_by_stock"] == 1


def test_unedited_pictures_lie_by_label(tmp_path, monkeypatch):
    monkeypatch.setattr(unedited, "SETS", {"unsafe": {"explicit": 2}, "safe": {"benign": 1}})
    unedited.write_pictures(tmp_path)
    assert len(list((tmp_path / "unsafe").glob("*.png"))) == 2 and len(list((tmp_path / "safe").glob("*.png"))) == 1
