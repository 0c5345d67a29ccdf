"""What the benchmarks compute: ranks, lines, regions, tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import dial
import effect
import harness
import pairs
import settings
import speed
import unedited
import verifier


def test_rank_correlation_shares_ranks_and_knows_direction():
    x = np.arange(5.0)
    assert dial.spearman(x, -x) == pytest.approx(-1) and dial.spearman(x, x**3) == pytest.approx(1)
    assert dial.ranks(np.array([3.0, 1.0, 3.0])).tolist() == [1.5, 0.0, 1.5]


def test_r_squared_is_one_for_a_line_and_less_for_a_step():
    x = np.linspace(0, 1, 11)
    assert dial.r_squared(x, 0.9 - 0.8 * x) == pytest.approx(1)
    assert dial.r_squared(x, (x < 0.5).astype(float)) < 0.85


def test_psnr_counts_only_the_region():
    black, white = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "white")
    half = np.zeros((64, 64), bool)
    assert harness.psnr(black, white, ~half) == pytest.approx(0)
    white.paste(black.crop((0, 0, 32, 64)), (0, 0))
    half[:, :32] = True
    assert harness.psnr(black, white, half) == float("inf")


def test_overlap_of_a_mask_with_the_items_region():
    region = harness.item_region("knife")
    exact = Image.fromarray(region.astype(np.uint8) * 255)
    assert harness.overlap(exact, region) == 1 and harness.overlap(None, region) == 0
    assert harness.overlap(None, np.zeros_like(region)) == 1


def test_a_table_has_a_row_a_method():
    row = dict.fromkeys(harness.COLUMNS, 0.5) | {"psnr_outside_item": float("inf")}
    text = harness.table({"stock": row})
    assert text.splitlines()[0].startswith("| method | unsafe |") and "| same |" in text.splitlines()[2]


def test_every_method_can_be_asked_for():
    assert "stock" in effect.METHODS and "rewrite + negative" in effect.SOURCES and "defaults" in settings.SWEEPS


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
