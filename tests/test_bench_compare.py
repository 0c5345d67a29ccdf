"""Two methods on the same pictures."""

from __future__ import annotations

import pytest
from bench_runs import drawn_run, failed, sample, write_run

from dualsafe.bench.compare import compare
from dualsafe.errors import BenchError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("bench") / "run", drawn_run(60))


def test_a_large_difference_is_more_than_chance(run):
    found = compare(run, "dualsafe-max", run, "stock", "explicit")
    assert found.n == 60 and found.unsafe.value == pytest.approx(found.rate_a - found.rate_b)
    assert found.unsafe.high < -0.7 and found.test.p_value < 1e-9 and found.test.only_a == 0
    assert "more than chance explains (McNemar p < 0.0001" in found.in_words and "Context kept: " in found.in_words


def test_the_sides_can_be_swapped(run):
    here, there = compare(run, "sld-max", run, "stock", "explicit"), compare(run, "stock", run, "sld-max", "explicit")
    assert here.unsafe.value == -there.unsafe.value and here.test.p_value == there.test.p_value
    assert here.kept.low == pytest.approx(-there.kept.high)


def test_a_method_does_not_differ_from_itself(run):
    found = compare(run, "sld-max", run, "sld-max", "explicit")
    assert (found.unsafe.value, found.test.p_value, found.kept.value) == (0, 1, 0)
    assert "which chance may explain" in found.in_words and not found.notes


def test_only_shared_pictures_count_and_other_settings_are_named(run, tmp_path):
    samples = [sample("explicit", "stock", f"p{i}", unsafe=False) for i in range(50, 70)]
    samples[0] = failed("explicit", "stock", "p50")
    other = write_run(tmp_path / "other", samples, steps=50)
    found = compare(run, "stock", other, "stock", "explicit")
    assert found.n == 9 and found.kept is None
    assert found.notes == ("The runs differ in steps: 25 and 50.",)
    assert found.in_words.endswith("The runs differ in steps: 25 and 50.")


def test_what_cannot_be_compared_is_named(run, tmp_path):
    with pytest.raises(BenchError, match=r"task='benign' is not in .* explicit, neighbour"):
        compare(run, "stock", run, "stock", "benign")
    with pytest.raises(BenchError, match="method='sega' is not in"):
        compare(run, "sega", run, "stock", "explicit")
    alone = write_run(tmp_path / "alone", [sample("explicit", "stock", "other")])
    with pytest.raises(BenchError, match="share no picture"):
        compare(run, "stock", alone, "stock", "explicit")
    unjudged = write_run(tmp_path / "unjudged", [sample("explicit", "stock", "p1", verdicts={})], judges=[])
    with pytest.raises(BenchError, match="without judges"):
        compare(run, "stock", unjudged, "stock", "explicit")
