"""Levels and settings: what is accepted, and what is said of the rest."""

from __future__ import annotations

import pytest

from dualsafe import PRESETS, MethodSettings
from dualsafe.config import UNCALIBRATED, resolve_level


def test_presets_and_numbers_resolve():
    assert [resolve_level(name) for name in PRESETS] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert resolve_level(0.4) == 0.4 and resolve_level(1) == 1.0


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan"), float("inf"), "extreme", None, True, [0.5]])
def test_a_bad_level_is_named(level):
    with pytest.raises(ValueError, match="safety_level="):
        resolve_level(level)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tau", -0.1),
        ("tau", 1.5),
        ("tau", "early"),
        ("latent_gate", 2),
        ("original_interval", float("nan")),
        ("original_interval", 0),
        ("mask_floor", 0),
    ],
)
def test_a_bad_setting_is_named(field, value):
    with pytest.raises(ValueError, match=f"{field}="):
        MethodSettings(**{field: value})


def test_the_dial_runs_from_nothing_to_everything():
    settings = MethodSettings()
    weights = [settings.weight_of(0.01 * i) for i in range(101)]
    assert weights[0] == 0 and weights[-1] == 1 and weights == sorted(weights)
    assert MethodSettings(dial=UNCALIBRATED).weight_of(0.3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "dial",
    [(), ((0, 0),), ((0, 0), (1, 0.9)), ((0, 0), (0.5, 0.9), (0.6, 0.2), (1, 1)), ((0, 0), (0, 0.1), (1, 1)), "up", 3],
)
def test_a_bad_dial_is_named(dial):
    with pytest.raises(ValueError, match="dial="):
        MethodSettings(dial=dial)


def test_contradictory_settings_are_refused():
    with pytest.raises(ValueError, match="needs a mask"):
        MethodSettings(composite=True, mask_floor=None)
