"""`dualsafe pairs` and `dualsafe guard`: what they say, and how they fail."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from dualsafe.cli import app

EXACT = ["--prompts", "picto:explicit", "--editor", "exact", "--limit", "6", "--shard-size", "4"]


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_run_says_its_yield_and_verify_that_it_is_whole(tmp_path):
    out = tmp_path / "run"
    made = run("pairs", "run", *EXACT, "--out", out)
    assert made.exit_code == 0, made.output
    assert "jobs 6, routed 6, generated 6, verified 6, written 6, errors 0" in made.output
    assert (out / "README.md").is_file() and (out / "previews/pairs.png").is_file()
    assert run("pairs", "verify", out).output.strip() == "every shard is whole"
    again = run("pairs", "run", *EXACT, "--out", out)
    assert again.exit_code == 2 and "resume it" in again.output
    assert run("pairs", "run", *EXACT, "--out", out, "--resume").exit_code == 0


def test_parts_of_a_run_are_finished_by_the_last(tmp_path):
    first = run("pairs", "run", *EXACT, "--out", tmp_path, "--shard-range", "0:1")
    assert first.exit_code == 0 and "this part is done" in first.output
    assert "written 6" in run("pairs", "run", *EXACT, "--out", tmp_path, "--shard-range", "1:2").output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--shard-range", "2"], "--shard-range 2 must be A:B"),
        (["--shard-range", "0:9"], "shards=0:9 is not within the run's 0:2"),
        (["--threshold", "least_votes"], "--threshold least_votes must be NAME=NUMBER"),
        (["--threshold", "luck=1"], "thresholds has 'luck', which is not one of least_votes"),
        (["--engine", "abacus"], "engine='abacus' is not one of local, ray"),
        (["--policy", "nobody"], "policy"),
        (["--guidance-scale", "nan"], "guidance_scale=nan must be a finite number"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(wrong, said, tmp_path):
    result = run("pairs", "run", *EXACT, "--out", tmp_path / "run", *wrong)
    assert result.exit_code == 2 and said in result.output
    assert "Traceback" not in result.output


def test_another_model_needs_judges(tmp_path):
    result = run("pairs", "run", *EXACT, "--out", tmp_path, "--model", "somewhere")
    assert result.exit_code == 2 and "--judge is needed" in result.output


def test_pairs_are_exported_and_guards_graded(exact_pairs, tmp_path):
    exported = run("pairs", "export", exact_pairs, "--format", "imagefolder", "--out", tmp_path / "images")
    assert exported.exit_code == 0 and (tmp_path / "images/README.md").is_file()
    board = run("guard", "eval", exact_pairs, "--judges", "picto", "--out", tmp_path / "board")
    assert board.exit_code == 0 and "paired accuracy" in board.output
    results = json.loads((tmp_path / "board/results.json").read_text())
    assert results["board"]["picto-judge"]["metrics"]["paired_accuracy"]["value"] == 1
