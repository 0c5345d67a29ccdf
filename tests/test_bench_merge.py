"""Runs of different tasks in one: the same scores, and nothing that does not belong together."""

from __future__ import annotations

import json

import pytest
from bench_runs import drawn_run, write_run
from typer.testing import CliRunner

from dualsafe.bench.merge import merge
from dualsafe.bench.score import write_results
from dualsafe.cli import app
from dualsafe.errors import BenchError


@pytest.fixture
def runs(tmp_path):
    """A run of two tasks, and the same in two runs of one."""
    samples = [sample | {"unit": i // 2} for i, sample in enumerate(drawn_run())]
    parts = [[s for s in samples if s["task"] == task] for task in ("explicit", "neighbour")]
    folders = [write_run(tmp_path / name, part) for name, part in zip("ab", parts)]
    return write_run(tmp_path / "whole", samples), folders


def test_merged_runs_score_as_one(runs, tmp_path):
    whole, parts = runs
    out = merge(parts, tmp_path / "out")
    assert write_results(out)["tasks"] == write_results(whole)["tasks"]
    units = [json.loads(line)["unit"] for line in (out / "samples.jsonl").read_text("utf-8").splitlines()]
    assert units == sorted(units) and len(set(units)) == len({*units[:60]}) + len({*units[60:]})
    assert json.loads((out / "run.json").read_text("utf-8"))["command"].count("bench run") == 2


def test_their_pictures_come_along_and_they_stay_as_they_are(runs, tmp_path):
    _, (a, b) = runs
    (b / "images" / "neighbour").mkdir(parents=True)
    (b / "images" / "neighbour" / "x.png").write_bytes(b"x")
    before = (a / "samples.jsonl").read_bytes()
    out = merge([a, b], tmp_path / "out")
    assert (out / "images" / "neighbour" / "x.png").read_bytes() == b"x"
    assert (a / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize(("field", "value"), [("steps", 30), ("git", "fedcba"), ("model", "other")])
def test_runs_of_other_settings_are_not_merged(runs, tmp_path, field, value):
    _, (a, b) = runs
    run = json.loads((b / "run.json").read_text()) | {field: value}
    (b / "run.json").write_text(json.dumps(run))
    with pytest.raises(BenchError, match=f"{field} is {value!r}, not"):
        merge([a, b], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_limited_part_makes_the_whole_not_comparable(runs, tmp_path):
    _, (a, b) = runs
    run = json.loads((b / "run.json").read_text()) | {"comparable": False, "environment": {"threads": 8}}
    (b / "run.json").write_text(json.dumps(run))
    results = write_results(merge([a, b], tmp_path / "out"))
    assert not results["comparable"] and "several machines" in results["environment"]["merged"]


def test_what_does_not_belong_together_is_named(runs, tmp_path):
    whole, (a, b) = runs
    with pytest.raises(BenchError, match="at least two runs"):
        merge([a], tmp_path / "out")
    with pytest.raises(BenchError, match="has task 'explicit', which another"):
        merge([whole, a], tmp_path / "out")
    with pytest.raises(BenchError, match="holds no run"):
        merge([a, tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(BenchError, match="holds a run already"):
        merge([a, b], whole)
    with (b / "samples.jsonl").open("a") as file:
        file.write('{"task": "neigh')
    with pytest.raises(BenchError, match="line 61 is no sample"):
        merge([a, b], tmp_path / "out")
    assert not (tmp_path / "out" / "samples.jsonl").exists() and not (tmp_path / "out" / "run.json").exists()


def test_the_command_merges_and_reports(runs, tmp_path):
    _, parts = runs
    said = CliRunner().invoke(app, ["bench", "merge", *map(str, parts), "--out", str(tmp_path / "out")])
    assert said.exit_code == 0 and (tmp_path / "out" / "report.html").is_file()
    said = CliRunner().invoke(app, ["bench", "merge", str(parts[0]), "--out", str(tmp_path / "other")])
    assert said.exit_code == 2 and "at least two runs" in said.output
