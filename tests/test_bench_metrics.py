"""The statistics: what holds for any numbers, and values worked out by hand."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsafe.bench import metrics
from dualsafe.bench.features import Kept, frechet_distance, kernel_distance, packed
from dualsafe.bench.metrics import (
    attack_success,
    bootstrap_difference,
    bootstrap_interval,
    expected_maximum,
    inappropriate_probability,
    mcnemar,
    relative_loss,
)
from dualsafe.bench.pareto import Point, dominations, front, in_words

some = settings(max_examples=60, deadline=None)
numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)
flags = st.lists(st.booleans(), min_size=1, max_size=40)
points = st.dictionaries(
    st.sampled_from("abcdef"), st.builds(Point, *[st.sampled_from([0.0, 0.5, 1.0])] * 3), min_size=1
)


@some
@given(numbers, st.sampled_from(["mean", "median"]), st.integers(1, 5))
def test_an_interval_holds_its_value_whatever_the_order_of_pictures(values, statistic, prompts):
    names = [f"p{i % prompts}" for i in range(len(values))]
    estimate = bootstrap_interval(values, names, statistic, resamples=100)
    assert estimate.low <= estimate.value <= estimate.high and estimate.n == len(values)
    assert min(values) - 1e-6 <= estimate.low and estimate.high <= max(values) + 1e-6
    turned = bootstrap_interval(values[::-1], names[::-1], statistic, resamples=100)
    assert np.allclose([turned.value, turned.low, turned.high], [estimate.value, estimate.low, estimate.high])


@some
@given(flags, st.integers(1, 4), st.integers(1, 30))
def test_the_expected_maximum_is_no_less_than_the_inappropriate_probability(unsafe, seeds, size):
    prompts = np.repeat(np.arange(len(unsafe)), seeds)
    flagged = np.repeat(unsafe, seeds) & (np.arange(len(prompts)) % seeds != 1)
    most = expected_maximum(flagged, prompts, size=size, draws=4000, resamples=100)
    share = inappropriate_probability(flagged, prompts)
    assert most.value >= share.value - (0.03 if size == 1 else 0.01) and most.low <= most.value <= most.high


@some
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_symmetric_and_asks_only_where_they_differ(pairs):
    a, b = np.array(pairs).T
    here, there = mcnemar(a, b), mcnemar(b, a)
    assert (here.only_a, here.only_b, here.p_value) == (there.only_b, there.only_a, there.p_value)
    assert 0 < here.p_value <= 1 and mcnemar(a, a).p_value == 1
    assert mcnemar([*a, True], [*b, True]) == here


@some
@given(numbers)
def test_a_difference_turns_its_sign_with_its_sides(values):
    a, b, names = np.array(values), np.array(values[::-1]), np.arange(len(values))
    here, there = (bootstrap_difference(*pair, names, resamples=100) for pair in ((a, b), (b, a)))
    assert np.allclose([here.value, here.low, here.high], [-there.value, -there.high, -there.low], atol=1e-6)


@some
@given(points)
def test_what_is_on_the_front_is_dominated_by_none_and_all_else_by_one_on_it(methods):
    best, below = front(methods), dominations(methods)
    assert best and set(methods) - set(best) == {b for a in best for b in below.get(a, [])}
    assert all(a not in below.get(b, []) for a in below for b in below[a])


def test_a_bootstrap_resamples_prompts_not_pictures():
    unsafe = np.repeat([0.0, 1.0] * 10, 50)
    clustered = bootstrap_interval(unsafe, np.repeat(np.arange(20), 50))
    alone = bootstrap_interval(unsafe, np.arange(1000))
    assert clustered.high - clustered.low > 4 * (alone.high - alone.low)
    assert 0.2 < clustered.low < 0.35 and 0.65 < clustered.high < 0.8


def test_a_rate_of_zero_is_not_certain():
    none = bootstrap_interval(np.zeros(100), np.arange(100), share=True)
    assert (none.value, none.low) == (0, 0) and none.high == pytest.approx(1 - 0.025 ** (1 / 100))
    every = bootstrap_interval(np.ones(30), np.repeat(np.arange(10), 3), share=True)
    assert every.high == 1 and every.low == pytest.approx(0.025 ** (1 / 10))
    most = expected_maximum(np.zeros(100), np.arange(100))
    assert (most.value, most.low) == (0, 0) and most.high == pytest.approx(1 - (1 - none.high) ** 25)


def test_the_expected_maximum_follows_i2p():
    unsafe = np.zeros(1000)
    unsafe[:4] = 1  # of 100 prompts of ten pictures, one has four unsafe ones
    estimate = expected_maximum(unsafe, np.repeat(np.arange(100), 10))
    assert estimate.value == pytest.approx(0.4 * (1 - 0.99**25), abs=0.01)
    assert estimate == expected_maximum(unsafe, np.repeat(np.arange(100), 10))


def test_medians_leave_nan_out_and_weigh_prompts():
    estimate = bootstrap_interval([1.0, np.nan, 3.0, 100.0], list("abcd"), "median")
    assert (estimate.value, estimate.n) == (3.0, 3) and (estimate.low, estimate.high) == (1.0, 100.0)


def test_attack_success_counts_prompts_and_loss_counts_what_stock_had():
    assert attack_success([1, 0, 0, 0], ["a", "a", "b", "b"]).value == 0.5
    loss = relative_loss([1, 0, 0, 0], [1, 1, 0, 0], list("abcd"))
    assert loss.value == 0.5 and loss.low <= 0.5 <= loss.high
    with pytest.raises(ValueError, match="base is 0"):
        relative_loss([1], [0], ["a"])


def test_mcnemar_by_hand():
    a, b = np.array([1] * 9 + [0]), np.array([0] * 9 + [1])
    assert mcnemar(a, b).p_value == pytest.approx(2 * (1 + comb(10, 1)) / 2**10)
    many = mcnemar([1] * 3000 + [0] * 3000, [0] * 3000 + [1] * 3000)
    assert many.p_value == 1 and mcnemar([1] * 5000, [0] * 5000).p_value == 0


def test_frechet_distance_of_shifted_and_scaled_gaussians():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6))
    assert frechet_distance(features, features).value == frechet_distance(features, features).high == 0
    shifted = frechet_distance(features + 2, features)
    assert shifted.value == pytest.approx(6 * 4) and shifted.low <= shifted.value <= shifted.high
    scaled = 3 * (features - features.mean(0)) + features.mean(0)
    assert frechet_distance(scaled, features).value == pytest.approx(4 * np.trace(np.cov(features, rowvar=False)))
    other = rng.normal(size=(50, 6))
    assert frechet_distance(features, other).value == pytest.approx(frechet_distance(other, features).value)
    with pytest.raises(ValueError, match="same features"):
        frechet_distance(features, features[:, :2])


def test_kernel_distance_is_nothing_for_one_distribution_and_grows_with_a_shift():
    rng = np.random.default_rng(0)
    here, same, far = rng.normal(size=(400, 5)), rng.normal(size=(300, 5)), rng.normal(size=(300, 5)) + 1
    assert abs(kernel_distance(same, here).value) < 0.05 < kernel_distance(far, here).low


def test_features_survive_the_record():
    features = np.random.default_rng(0).normal(size=192)
    kept = Kept()
    kept.add(packed(features))
    assert np.allclose(kept.rows[0], features, rtol=1e-3) and len(packed(features)) == 512


def test_wrong_shapes_and_nothing_at_all_are_named():
    with pytest.raises(ValueError, match="prompts has length 1, values 2"):
        bootstrap_interval([1, 0], ["a"])
    with pytest.raises(ValueError, match="no number"):
        bootstrap_interval([np.nan], ["a"])
    with pytest.raises(ValueError, match="a has shape"):
        mcnemar([1], [1, 0])


def test_rows_break_a_tie_and_the_front_is_told_in_words():
    methods = {"stock": Point(1.0, 1.0, 50), "slow": Point(0.0, 1.0, 100), "fast": Point(0.0, 1.0, 75)}
    assert front(methods) == ["fast"]
    assert in_words(methods) == "On the front: fast. fast dominates stock and slow."


def test_resamples_are_the_same_however_few_are_held_at_a_time(monkeypatch):
    values, prompts = np.random.default_rng(1).random(300), np.arange(300) // 3
    estimates = []
    for cells in (10**9, 150):
        monkeypatch.setattr(metrics, "CELLS", cells)
        estimates.append(
            [
                metrics.bootstrap_interval(values, prompts),
                metrics.bootstrap_interval(values, prompts, "median"),
                metrics.expected_maximum(values > 0.9, prompts),
                metrics.relative_loss(values, values + 1, prompts),
            ]
        )
    for whole, blocks in zip(*estimates):
        assert (whole.low, whole.high) == pytest.approx((blocks.low, blocks.high), rel=1e-12)
