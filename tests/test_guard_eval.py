"""Judges graded on pairs: known numbers, refusals and breakdowns, resuming, and what follows from the record alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from bench_runs import Page
from guard_runs import BROKEN, REFUSED, SAFE, UNSAFE, Breaks, Says, write_pairs, write_record
from PIL import Image
from typer.testing import CliRunner

from dualsafe.cli.guard import guard
from dualsafe.errors import BenchError, PairsError
from dualsafe.guard import metrics
from dualsafe.guard.board import score
from dualsafe.guard.evaluate import evaluate
from dualsafe.guard.report import write_report
from dualsafe.judges import Verdict
from dualsafe.judges.trained import GuardJudge, Head
from dualsafe.judges.vision import load_tower

RIGHT, WRONG = (UNSAFE, SAFE), (SAFE, UNSAFE)


def scored(value: float) -> Verdict:
    return Verdict(value >= 0.5, value)


def all_unsafe() -> Says:
    return Says("all-unsafe", lambda image: UNSAFE)


def values(results, judge):
    return {name: estimate["value"] for name, estimate in results["board"][judge]["metrics"].items()}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """26 counterfactual pairs, two of them unverified, and 6 null edits."""
    folder = tmp_path_factory.mktemp("pairs")
    return [write_pairs(folder / "flips", 26, unverified=2), write_pairs(folder / "nulls", 6, "null_edit")]


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    """A run of judges that are right, that flag everything, that refuse and that break down."""
    out = tmp_path_factory.mktemp("guard") / "run"
    refuses = Says("refuses", lambda image: REFUSED)
    evaluate(pairs, ["picto", "picto-guard", all_unsafe(), refuses, Breaks(calls=1)], out, batch_size=12)
    return out


@pytest.fixture(scope="module")
def results(run):
    return json.loads((run / "results.json").read_text("utf-8"))


def test_pictos_judges_get_both_sides_right(results):
    assert results["kinds"] == {"counterfactual": 24, "null_edit": 6} and results["comparable"]
    for judge in ("picto-judge", "picto-guard"):
        found = values(results, judge)
        assert min(found[name] for name in ("paired_accuracy", "balanced_accuracy", "margin_auc", "auc")) > 0.95
        assert found["null_edit_consistency"] > 0.8 and found["refusal_rate"] == 0
        estimate = results["board"][judge]["metrics"]["paired_accuracy"]
        assert estimate["low"] < estimate["value"] <= estimate["high"] and estimate["n"] == 24


@pytest.mark.parametrize(("judge", "balanced", "recall", "refused"), [("all-unsafe", 0.5, 1, 0), ("refuses", 0, 0, 1)])
def test_who_flags_or_refuses_everything_is_right_on_no_pair(results, judge, balanced, recall, refused):
    assert values(results, judge) == {
        "paired_accuracy": 0, "balanced_accuracy": balanced, "unsafe_recall": recall, "false_positive_rate": 1,
        "null_edit_consistency": 0, "refusal_rate": refused, "error_rate": 0,
    }  # fmt: skip


def test_a_judge_that_breaks_down_is_recorded_and_the_others_go_on(run, results):
    found = values(results, "breaks")
    assert found["error_rate"] == pytest.approx(18 / 30) and found["refusal_rate"] == 0
    assert found["unsafe_recall"] == 0.5 and found["false_positive_rate"] == 1
    assert "breaks broke down on 36 of 60 sides, which count as wrong." in results["notes"]
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 5 * 30
    errors = [line["original"]["error"] for line in lines if line["judge"] == "breaks"]
    assert errors == [None] * 12 + ["RuntimeError: out of memory"] * 18


def test_a_line_a_judge_and_pair_says_what_was_said_of_both_sides(run):
    line = json.loads((run / "samples.jsonl").read_text("utf-8").splitlines()[0])
    assert (line["judge"], line["pair"], line["pair_id"], line["kind"]) == ("picto-judge", 0, "00000", "counterfactual")
    assert line["original"]["unsafe"] and line["original"]["score"] > 0.5 and line["original"]["concepts"]
    assert line["edited"] | {"score": 0} == {"unsafe": False, "score": 0, "concepts": [], "error": None}
    assert 0 < line["ssim"] < 1 and 0 < line["mask_area"] < 1 and line["conflict"] is None


def test_it_is_all_scored_again_without_a_judge(run, results, tmp_path):
    for name in ("samples.jsonl", "run.json"):
        shutil.copy(run / name, tmp_path)
    assert score(tmp_path) == results


def test_a_run_says_on_which_pairs_it_was(results, pairs):
    flips, nulls = results["pairs"]
    assert (flips["n"], flips["unverified_left_out"], flips["spec_hash"]) == (24, 2, "abcd")
    assert flips["folder"] == str(pairs[0]) and flips["data_hash"] != nulls["data_hash"]
    assert "Unverified pairs, left out: 2." in results["notes"] and results["versions"]["dualsafe"]


def test_known_answers_give_known_numbers(tmp_path):
    said = {
        "a": [*((scored(x), scored(y)) for x, y in ((0.9, 0.1), (0.4, 0.3), (0.6, 0.6))), (REFUSED, scored(0.2))],
        "b": [RIGHT, RIGHT, WRONG, (UNSAFE, BROKEN)],
    }
    results = score(write_record(tmp_path, said, categories=["hate"]))
    a = values(results, "a")
    assert a["paired_accuracy"] == 0.25 and a["unsafe_recall"] == 0.5 and a["false_positive_rate"] == 0.25
    assert a["balanced_accuracy"] == 0.625 and a["refusal_rate"] == 1 / 8
    assert a["margin_auc"] == 2.5 / 4  # higher, higher, equal, missing
    assert a["auc"] == pytest.approx((4 + 3 + 3.5 + 0) / 16)
    b = values(results, "b")
    assert b["paired_accuracy"] == 0.5 and b["error_rate"] == 1 / 8 and "auc" not in b
    assert list(results["board"]) == ["b", "a"] and results["board"]["b"]["categories"]["hate"]["value"] == 0.5
    (test,) = results["mcnemar"]
    assert (test["a"], test["b"], test["only_a"], test["only_b"], test["p_value"]) == ("b", "a", 1, 0, 1.0)
    assert test["difference"]["value"] == 0.25


def test_equal_judges_share_a_rank(tmp_path):
    said = {"worse": [RIGHT, WRONG], "one": [RIGHT, RIGHT], "two": [RIGHT, RIGHT]}
    board = score(write_record(tmp_path, said))["board"]
    assert {name: judge["rank"] for name, judge in board.items()} == {"one": 1, "two": 1, "worse": 3}


def test_the_placements_average_to_the_area_under_the_curve_that_is_drawn():
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal((0.7, 0), size=(200, 2)), 1)
    scores[:5, 0] = np.nan
    unsafe, safe = metrics.ranked(scores).T
    brute = np.mean((unsafe[:, None] > safe) + 0.5 * (unsafe[:, None] == safe))
    assert metrics.placements(unsafe, safe).mean() == pytest.approx(brute)
    false, true = metrics.roc_curve(scores)
    assert np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2) == pytest.approx(brute)


def test_intervals_of_many_pairs_need_no_more_memory_and_agree():
    right = np.random.default_rng(0).random(40_000) < 0.8
    estimate = metrics.interval_over_pairs(right)
    deviation = (0.8 * 0.2 / len(right)) ** 0.5
    assert estimate.n == len(right) and estimate.high - estimate.low == pytest.approx(3.92 * deviation, rel=0.1)


@pytest.mark.parametrize("run", [{"judges": ["picto"]}, {"guard": "picto"}])
def test_a_judge_that_filtered_the_pairs_isnt_ranked(tmp_path, run):
    folder = write_pairs(tmp_path / "pairs", 4, **run)
    results = evaluate([folder], ["picto", all_unsafe()], tmp_path / "out")
    assert {name: judge["rank"] for name, judge in results["board"].items()} == {"all-unsafe": 1, "picto-judge": None}
    assert results["board"]["picto-judge"]["conflict"] == "filtered"
    assert "picto-judge verified or steered some of these pairs" in (tmp_path / "out/leaderboard.md").read_text("utf-8")
    assert "verified or steered some of these pairs</small>" in write_report(tmp_path / "out").read_text("utf-8")


def test_a_guard_isnt_ranked_on_what_it_was_trained_on_but_on_the_rest(pairs, tmp_path):
    tower = load_tower("picto-clip")
    width = tower.features([Image.new("RGB", (64, 64))]).shape[1]
    trained = GuardJudge(tower, Head(torch.zeros(width), torch.zeros(())), {"data": "abcd"})
    for split, conflict in (("train", "trained"), ("test", None)):
        results = evaluate(pairs[:1], [trained], tmp_path / split, split=split)
        assert results["board"][trained.name]["conflict"] == conflict


def test_no_judge_sees_the_label_that_a_stored_picture_carries(pairs, tmp_path):
    seen = []
    evaluate(pairs[:1], [Says("looks", lambda image: seen.append(image.info) or SAFE)], tmp_path)
    assert len(seen) == 48 and not any(seen)


def test_a_run_goes_on_after_a_line_that_was_cut_off(pairs, tmp_path):
    def judges():
        return ["picto", all_unsafe()]

    whole = evaluate(pairs, judges(), tmp_path / "whole", batch_size=8)
    evaluate(pairs, judges(), tmp_path / "cut", batch_size=8)
    samples = tmp_path / "cut" / "samples.jsonl"
    samples.write_bytes(samples.read_bytes()[: samples.stat().st_size // 2])
    assert not score(tmp_path / "cut")["comparable"]
    told = []
    again = evaluate(pairs, judges(), tmp_path / "cut", resume=True, batch_size=8, progress=lambda *x: told.append(x))
    assert again["board"] == whole["board"] and told[-1] == (30, 30)
    assert samples.read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
    with pytest.raises(BenchError, match="its batch_size is 8, now 4"):
        evaluate(pairs, judges(), tmp_path / "cut", resume=True, batch_size=4)
    with pytest.raises(BenchError, match="holds a run already"):
        evaluate(pairs, judges(), tmp_path / "cut", batch_size=8)


def test_pairs_that_a_stopped_run_hasnt_judged_count_for_no_judge(tmp_path):
    folder = write_record(tmp_path, {"a": [RIGHT] * 4, "b": [RIGHT, WRONG, WRONG, WRONG]})
    path = folder / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-150])
    results = score(folder)
    assert values(results, "b")["paired_accuracy"] == pytest.approx(1 / 3) and results["board"]["a"]["n"] == 3
    assert not results["comparable"] and any("1 of 4 pairs are not judged" in note for note in results["notes"])


def test_a_limit_is_of_each_folder_and_not_comparable(pairs, tmp_path):
    results = evaluate(pairs, [all_unsafe()], tmp_path, limit=3)
    assert results["kinds"] == {"counterfactual": 3, "null_edit": 3} and not results["comparable"]
    assert "Not comparable" in (tmp_path / "leaderboard.md").read_text("utf-8")


def test_a_split_takes_its_pairs_only(pairs, tmp_path):
    parts = {
        split: evaluate(pairs[:1], [all_unsafe()], tmp_path / split, split=split)["n"] for split in ("train", "test")
    }
    assert 0 < parts["test"] < parts["train"] < 24


def test_what_cant_be_graded_is_refused(pairs, tmp_path):
    with pytest.raises(BenchError, match="different names"):
        evaluate(pairs, [all_unsafe(), all_unsafe()], tmp_path / "out")
    with pytest.raises(BenchError, match="twice"):
        evaluate([pairs[0], pairs[0]], [all_unsafe()], tmp_path / "out")
    with pytest.raises(BenchError, match="no verified pair, split=tests"):
        evaluate(pairs, [all_unsafe()], tmp_path / "out", split="tests")
    with pytest.raises(PairsError, match="holds no pair run"):
        evaluate([tmp_path], [all_unsafe()], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_sample_that_cant_be_is_named(tmp_path):
    path = write_record(tmp_path, {"a": [RIGHT, RIGHT]}) / "samples.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    for wrong, message in (
        ([lines[0], lines[0]], "judge 'a', pair 0 twice"),
        ([lines[0].replace('"a"', '"b"')], "judge 'b', pair 0: not in run.json"),
        ([lines[0].replace('"pair": 0', '"pair": 7')], "pair 7: not in run.json"),
        (["{}\n"], "line 1: judge"),
    ):
        path.write_text("".join(wrong))
        with pytest.raises(BenchError, match=message):
            score(tmp_path)


def test_the_report_stands_alone_with_plots_and_blurred_worst_pairs(run):
    text = write_report(run, worst=3).read_text("utf-8")
    page = Page(text)
    assert "script" not in page.tags and "http://" not in text and "https://" not in text
    assert all(link.startswith("data:image/") for link in page.links)
    assert sum(link.startswith("data:image/svg") for link in page.links) == 2
    assert text.count('type="checkbox"') == 3 * 2 and text.count('class="mask"') == 3 and "blur(" in text
    assert "no answer" in page.text and "breaks broke down" in page.text
    assert write_report(run, worst=3).read_text("utf-8") == text


def test_a_report_outlives_its_pairs_and_what_names_say_is_only_text(tmp_path):
    name = "<script>alert(1)</script>"
    text = write_report(write_record(tmp_path, {name: [RIGHT, WRONG]}, categories=[name])).read_text("utf-8")
    assert "<script" not in text and name in Page(text).text and "00001" in text and "data:image/jpeg" not in text


def test_pairs_without_a_flip_are_ranked_by_consistency(pairs, tmp_path):
    results = evaluate(pairs[1:], ["picto", all_unsafe()], tmp_path)
    assert list(results["board"]) == ["picto-judge", "all-unsafe"] and results["mcnemar"] == []
    assert set(values(results, "picto-judge")) == {"null_edit_consistency", "refusal_rate", "error_rate"}
    assert "Both sides right, by kind" in write_report(tmp_path).read_text("utf-8")


def test_the_command_grades_and_reports(pairs, tmp_path):
    asked = [str(pairs[0]), "--judges", "picto", "--judges", "picto-guard", "--limit", "4", "--device", "cpu"]
    done = CliRunner().invoke(guard, ["eval", *asked, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "| picto-judge |" in done.output and (tmp_path / "out" / "report.html").is_file()
    assert CliRunner().invoke(guard, ["report", str(tmp_path / "out")]).exit_code == 0
    wrong = CliRunner().invoke(guard, ["eval", *asked, "--judges", "nobody", "--out", str(tmp_path / "other")])
    assert wrong.exit_code == 2 and "judge 'nobody' must be one of" in wrong.output
