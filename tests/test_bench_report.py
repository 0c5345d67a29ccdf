"""From samples to results, leaderboard and report, without a model."""

from __future__ import annotations

import json

import pytest
from bench_runs import HACK, METHODS, Page, drawn_run, failed, sample, write_run
from PIL import Image

from dualsafe.bench.leaderboard import leaderboard
from dualsafe.bench.names import number
from dualsafe.bench.plots import heatmap, tradeoff_plot
from dualsafe.bench.report import write_report
from dualsafe.bench.score import score, write_results
from dualsafe.errors import BenchError

RIGHT = dict.fromkeys(("setting", "subject", "colour", "item"), 1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three methods and two tasks, with pictures of the first two prompts."""
    folder = tmp_path_factory.mktemp("bench") / "run"
    samples = drawn_run()
    (folder / "images").mkdir(parents=True)
    for i, line in enumerate(samples):
        if line["id"] in ("p0", "p1"):
            line["image"] = f"images/{i}.png"
            Image.new("RGB", (64, 64), (i, 0, 0)).save(folder / line["image"])
    return write_run(folder, samples)


def results(folder, samples, **more):
    return score(write_run(folder, samples, **more))


def method(scored, task, name):
    return scored["tasks"][task]["methods"][name]


def value(scored, task, name, metric):
    return method(scored, task, name)["metrics"][metric]["value"]


def test_a_run_scores_to_known_numbers(tmp_path):
    samples = [
        sample("explicit", "stock", "a", unsafe=True, metrics=RIGHT | {"psnr": 100.0, "psnr_outside_mask": None}),
        sample("explicit", "stock", "b", unsafe=True, metrics=RIGHT | {"psnr": 100.0}),
        sample("explicit", "stock", "c", unsafe=False, metrics=RIGHT | {"psnr": 100.0}, categories=["hate"]),
        sample("explicit", "dualsafe-max", "a", metrics=RIGHT | {"psnr": 20.0, "setting": 0.0}, rows=75),
        sample("explicit", "dualsafe-max", "b", unsafe=None, metrics=RIGHT | {"psnr": 30.0}, rows=100),
        failed("explicit", "dualsafe-max", "c"),
    ]
    scored = results(tmp_path, samples)
    stock, ours = (method(scored, "explicit", name) for name in ("stock", "dualsafe-max"))
    assert value(scored, "explicit", "stock", "unsafe_rate") == pytest.approx(2 / 3)
    assert value(scored, "explicit", "stock", "attack_success_rate") == pytest.approx(2 / 3)
    assert {name: found["value"] for name, found in stock["categories"].items()} == {"violence": 1.0, "hate": 0.0}
    assert value(scored, "explicit", "dualsafe-max", "unsafe_rate") == 0.5  # no answer is never safe
    assert value(scored, "explicit", "dualsafe-max", "refused") == 0.5
    assert value(scored, "explicit", "dualsafe-max", "kept") == pytest.approx(5 / 6)
    assert value(scored, "explicit", "dualsafe-max", "psnr") == 25.0
    assert value(scored, "explicit", "dualsafe-max", "rows") == 87.5
    assert "psnr_outside_mask" not in ours["metrics"]
    assert (ours["n_original"], ours["n_effective"], ours["missing"]) == (3, 2, 0)
    assert ours["failed"] == [{"id": "c", "seed": 0, "error": "RuntimeError: out of memory"}]
    assert ours["metrics"]["unsafe_rate"]["n"] == 2 and ours["judges"]["picto"]["value"] == 0.5


def test_a_withheld_picture_is_not_unsafe_and_keeps_nothing(tmp_path):
    samples = [
        sample("explicit", "stock", "a", unsafe=True, metrics=RIGHT),
        sample("explicit", "dualsafe-max+verify", "a", unsafe=True, withheld=True, metrics=RIGHT),
    ]
    found = method(results(tmp_path, samples), "explicit", "dualsafe-max+verify")["metrics"]
    assert [found[name]["value"] for name in ("unsafe_rate", "withheld", "kept", "item")] == [0, 1, 0, 0]
    assert "identical" not in found


def test_any_judge_can_flag_and_a_missing_one_does(tmp_path):
    safe, unsafe = ({"unsafe": flag, "score": None, "concepts": [], "error": None} for flag in (False, True))
    verdicts = [{"q16": safe, "nudenet": safe}, {"q16": safe, "nudenet": unsafe}, {"q16": safe}]
    samples = [sample("explicit", "stock", str(i), verdicts=found) for i, found in enumerate(verdicts)]
    scored = results(tmp_path, samples, judges=["q16", "nudenet"])
    assert value(scored, "explicit", "stock", "unsafe_rate") == pytest.approx(2 / 3)
    judges = method(scored, "explicit", "stock")["judges"]
    assert judges["q16"]["value"] == 0 and judges["nudenet"]["value"] == pytest.approx(2 / 3)


def test_a_run_without_judges_says_nothing_of_safety(tmp_path):
    scored = results(tmp_path, [sample("explicit", "stock", "a", verdicts={})], judges=[])
    assert "unsafe_rate" not in method(scored, "explicit", "stock")["metrics"]
    assert "front" not in scored["tasks"]["explicit"]


def test_benign_prompts_are_told_by_their_distance_to_the_nearest_concept(tmp_path):
    def line(name, i, **metrics):
        near = {"concept_distance": 0.1 * (i + 1)} if i < 6 else {}
        concept = ("knife" if i % 2 else "gun") if i < 6 else None
        return sample("neighbour", name, f"p{i}", concept=concept, metrics=RIGHT | near | metrics)

    stock = [line("stock", i, identical=1.0, ssim=1.0) for i in range(7)]
    ours = [line("uce", i, identical=float(i > 3), ssim=0.5, colour=float(i > 1)) for i in range(6)]
    scored = results(tmp_path, [*stock, *ours, failed("neighbour", "uce", "p6")])
    near = scored["tasks"]["neighbour"]["near_concepts"]
    assert near["groups"]["near"] == {"prompts": 2, "low": pytest.approx(0.1), "high": pytest.approx(0.2)}
    assert {name: each["prompts"] for name, each in near["groups"].items()} == {
        "near": 2, "middle": 2, "far": 2, "nearest to gun": 3, "nearest to knife": 3,
    }  # fmt: skip
    found = {name: {m: e["value"] for m, e in each.items()} for name, each in near["methods"]["uce"].items()}
    assert found["near"] == {"identical": 0.0, "ssim": 0.5, "attribute_drift": 0.25}
    assert found["far"] == {"identical": 1.0, "ssim": 0.5, "attribute_drift": 0.0}
    assert found["nearest to gun"]["attribute_drift"] == pytest.approx(1 / 12)
    text = leaderboard(scored)
    assert "| attribute drift | near (2) | middle (2) | far (2) | nearest to gun (3) | nearest to knife (3) |" in text
    assert "| uce | 0.250 | 0.000 | 0.000 | 0.083 | 0.083 |" in text and "| lpips |" not in text.lower()


def test_neighbours_are_scored_against_stock(tmp_path):
    wrong = RIGHT | {"item": 0.0}
    samples = [
        sample("neighbour", "stock", "a", metrics=RIGHT | {"similarity": 1.0}),
        sample("neighbour", "stock", "b", metrics=RIGHT | {"similarity": 1.0}),
        sample("neighbour", "sld-max", "a", metrics=wrong | {"similarity": 0.5}),
        sample("neighbour", "sld-max", "b", metrics=RIGHT | {"similarity": 0.9}),
    ]
    scored = results(tmp_path, samples)
    assert value(scored, "neighbour", "sld-max", "over_censorship") == 0.5
    assert value(scored, "neighbour", "sld-max", "neighbour_disruption_similarity") == pytest.approx(0.3)
    assert value(scored, "neighbour", "sld-max", "neighbour_disruption_attributes") == pytest.approx(1 / 8)
    assert value(scored, "neighbour", "stock", "over_censorship") == 0
    assert "expected_maximum" not in method(scored, "neighbour", "sld-max")["metrics"]


def test_every_metric_is_defined_and_has_an_interval_around_its_value(run):
    scored = score(run)
    found = [result for task in scored["tasks"].values() for result in task["methods"].values()]
    assert len(found) == 6
    for result in found:
        for name, estimate in result["metrics"].items():
            assert name in scored["definitions"] and set(estimate) == {"value", "low", "high", "n"}
            assert estimate["low"] <= estimate["value"] <= estimate["high"] and estimate["n"] == 20


def test_the_order_of_lines_means_nothing(run, tmp_path):
    samples = drawn_run()
    order = {"methods": list(METHODS), "tasks": json.loads((run / "run.json").read_text())["tasks"]}
    assert leaderboard(results(tmp_path, samples[::-1], **order)) == leaderboard(score(run))


def test_the_front_is_told(run):
    task = score(run)["tasks"]["explicit"]
    assert task["context"] == "kept" and "dualsafe-max" in task["front"]
    assert "sld-max" in task["dominates"]["dualsafe-max"] and "dualsafe-max dominates sld-max" in task["in_words"]


def test_equal_sums_of_unequal_parts_tie_in_context(tmp_path):
    samples = [
        sample("explicit", "stock", "a", metrics=RIGHT | {"setting": 0.0}, rows=60),
        sample("explicit", "stock", "b", metrics=RIGHT | {"setting": 0.0}, rows=60),
        sample("explicit", "sld-max", "a", metrics=RIGHT | {"setting": 0.0, "subject": 0.0}, rows=50),
        sample("explicit", "sld-max", "b", metrics=RIGHT, rows=50),
    ]
    assert results(tmp_path, samples)["tasks"]["explicit"]["dominates"] == {"sld-max": ["stock"]}


def test_a_line_cut_at_the_end_is_reported_and_one_cut_elsewhere_is_an_error(tmp_path):
    path = write_run(tmp_path, drawn_run(4)) / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines)[:-30])
    scored = score(tmp_path)
    assert "24, is cut off" in scored["notes"][0] and not scored["comparable"]
    assert method(scored, "neighbour", "dualsafe-max")["missing"] == 1
    path.write_bytes(b"".join([*lines[:2], lines[2][:40] + b"\n", *lines[3:]]))
    with pytest.raises(BenchError, match="line 3"):
        score(tmp_path)
    path.write_bytes(b"".join([*lines[:-1], b'{"task": "explicit"}\n']))
    with pytest.raises(BenchError, match="line 24: method"):
        score(tmp_path)


def test_a_picture_that_comes_twice_is_an_error_unless_the_first_failed(tmp_path):
    once = [sample("explicit", "stock", "a", unsafe=True)]
    scored = results(tmp_path, [failed("explicit", "stock", "a"), *once])
    assert (method(scored, "explicit", "stock")["n_effective"], method(scored, "explicit", "stock")["failed"]) == (
        1,
        [],
    )
    with pytest.raises(BenchError, match="'a', seed 0 twice"):
        results(tmp_path, once * 2)


def test_what_run_json_does_not_name_is_an_error(tmp_path):
    with pytest.raises(BenchError, match=r"method 'stock': not in run\.json"):
        results(tmp_path, [sample("explicit", "stock", "a")], methods=["sld-max"])
    with pytest.raises(BenchError, match="holds no run"):
        score(tmp_path / "elsewhere")


def test_the_leaderboard_has_a_row_a_method_and_the_safest_in_bold(run):
    write_results(run)
    text = (run / "leaderboard.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows if "---" not in row] == ["| method", *(f"| {m}" for m in METHODS)] * 2
    assert text.count("**") == 2 and "| dualsafe-max | **0." in text and "Not comparable" not in text


def test_a_run_that_is_not_comparable_says_so(tmp_path):
    write_report(write_run(tmp_path, drawn_run(3), comparable=False, limit=3))
    for name in ("leaderboard.md", "report.html"):
        assert "Not comparable" in (tmp_path / name).read_text("utf-8")


def test_the_report_stands_alone_and_what_prompts_say_is_only_text(run):
    text = write_report(run).read_text("utf-8")
    page = Page(text)
    assert "script" not in page.tags and HACK in page.text and "<script" not in text
    assert page.links and all(link.startswith("data:image/") for link in page.links)
    assert "http://" not in text and "https://" not in text
    assert text.count('type="checkbox"') == 2 * 2 * 3 and "blur(" in text
    assert '<label class="tile unsafe">' in text and "row 3 left out" in page.text and "0123456789ab" in page.text


def test_the_report_is_of_the_same_bytes_each_time(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_the_report_embeds_no_file_from_outside_its_run_and_survives_broken_pictures(tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "broken.png").write_bytes(secret.read_bytes()[:40])
    images = ["../secret.png", str(secret), "broken.png", "gone.png"]
    samples = [sample("explicit", "stock", str(i), image=name) for i, name in enumerate(images)]
    assert "data:image/jpeg" not in write_report(write_run(folder, samples)).read_text("utf-8")


def test_plots_are_drawn_where_there_is_something_to_draw(run):
    scored = score(run)
    explicit, neighbour = scored["tasks"].values()
    for plot in (tradeoff_plot, heatmap):
        assert plot(explicit).startswith(b"<?xml")
    assert tradeoff_plot(neighbour) is None


def test_a_run_in_which_everything_failed_still_has_a_report(tmp_path):
    text = write_report(write_run(tmp_path, [failed("explicit", name, "a") for name in METHODS])).read_text("utf-8")
    assert text.count("1 failed under") == 3 and "out of memory" in text


@pytest.mark.parametrize(
    ("metric", "value", "said"), [("kept", -1e-8, "0.000"), ("kept", -0.25, "-0.250"), ("memory", 2**20, "1")]
)
def test_a_number_is_in_its_unit_and_never_a_negative_zero(metric, value, said):
    assert number(metric, value) == said
