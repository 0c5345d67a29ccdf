"""The speed benchmark: every family at a tiny size through the code that measures the full ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import flops
import harness
import speed
import speed_meters
import speed_models
from speed_modes import OURS, load_random

PUBLISHED = {
    "sd15": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sdxl": {"unet": 2_567_463_684, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
    "sd3": {"transformer": 2_028_328_000, "text_encoder": 123_650_304, "text_encoder_3": 4_762_310_656},
    "flux-schnell": {"transformer": 11_891_178_560, "vae": 83_819_683, "text_encoder_2": 4_762_310_656},
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Where the benchmark writes."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def tiny(*asked: str) -> speed.Bench:
    quick = ["--scale", "tiny", "--batches", "1", "--steps", "2", "--rounds", "1"]
    bench = speed.Bench(speed.parsed([*quick, *asked]))
    bench.run()
    return bench


@pytest.mark.parametrize("name", speed_models.FAMILIES)
def test_every_mode_of_a_family_is_measured(name, results):
    bench = tiny("--families", name)
    cells = {cell["mode"]: cell for cell in bench.cells}
    assert [*cells] == ["stock", *OURS, *speed_models.FAMILIES[name].baselines]
    assert {cell["status"] for cell in cells.values()} == {"measured"}
    for cell in cells.values():
        assert all(cell[key] > 0 for key in speed.COLUMNS) and cell["batch"] == cell["rounds"] == 1
    by_stock = {mode: cell["rows_by_stock"] for mode, cell in cells.items()}
    benign = ("stock", "level-0", "benign-words", "benign-preview")
    assert {by_stock[mode] for mode in benign} == {1.0} and cells["stock"]["seconds_by_stock"] == 1
    assert 1 < by_stock["safe-only"] == by_stock["stacked"] <= by_stock["every-step"] == by_stock["pair"] <= 2
    assert by_stock.get("sld-medium", 1.5) == 1.5 and by_stock.get("safree", 1) == 1
    written = json.loads((results / "speed_tiny.json").read_text())["results"]
    assert written == {"families": bench.about, "cells": bench.cells}
    assert len((results / "speed_tiny.md").read_text().splitlines()) == 2 + len(cells)


@pytest.mark.parametrize("name", speed_models.FAMILIES)
def test_branches_of_random_weights_part_as_those_of_trained_ones_do(name):
    loaded = load_random(name, 1, "tiny", "cpu", torch.float32)
    rows = {mode: draw([1]) for mode, draw in loaded.draws(("safe-only", "every-step"), 1, steps=12).items()}
    assert rows["stock"] < rows["safe-only"] < rows["every-step"]


@pytest.mark.parametrize("name", speed_models.FAMILIES)
def test_the_full_size_is_the_published_one(name):
    _, dual = speed_models.FAMILIES[name].make("full", "meta", torch.bfloat16)
    found = speed_models.parameters(dual)
    assert {part: found[part] for part in PUBLISHED[name]} == PUBLISHED[name]
    assert getattr(dual, speed_models.FAMILIES[name].denoiser).dtype == torch.bfloat16


def test_without_a_gpu_the_full_sizes_are_skipped_with_a_word(results, no_gpu, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["speed.py", "--families", *speed_models.FAMILIES])
    speed.main()
    table = capsys.readouterr().out
    for name in speed_models.FAMILIES:
        assert f"| {name} | all | all | skipped: no CUDA device |" in table
    found = json.loads((results / "speed.json").read_text())["results"]
    assert {about["status"] for about in found["families"].values()} == {"skipped: no CUDA device"}


def test_what_fails_or_finds_no_memory_leaves_the_others_alone():
    def fails(seeds):
        raise ValueError("no such thing\nat all")

    def grows(seeds):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    found = speed.measured({"stock": lambda seeds: 2.0, "a": fails, "b": grows, "c": lambda seeds: 3.0}, 1, 2)
    assert found["a"] == {"status": "failed: ValueError: no such thing"} and found["b"] == {"status": "out of memory"}
    assert found["c"]["rows_by_stock"] == 1.5 and found["c"]["rounds"] == 2
    alone = speed.measured({"stock": fails, "c": lambda seeds: 3.0}, 1, 1)
    assert alone["c"]["rows"] == 3 and "seconds_by_stock" not in alone["c"]


def test_a_family_that_can_not_be_made_is_named(results, monkeypatch):
    broken = speed_models.Part(lambda: 1 / 0, {})
    monkeypatch.setitem(speed_models.FAMILIES["sd15"].parts, "vae", broken)
    bench = tiny("--families", "sd15")
    assert bench.about["sd15"]["status"].startswith("failed: ZeroDivisionError")


def test_options_reach_the_models(results, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: seen.append(module))
    bench = tiny("--families", "sd15", "--modes", "pair", "--dtype", "bfloat16", "--compile")
    assert [cell["mode"] for cell in bench.cells] == ["stock", "pair"]
    (denoiser,) = seen
    assert denoiser.dtype == torch.bfloat16 and bench.about["sd15"]["dtype"] == "bfloat16"


def test_operations_of_attention_are_counted_on_every_device():
    q = torch.randn(2, 3, 16, 8)
    counter = speed_meters.FlopCounter(lambda x: (F.scaled_dot_product_attention(x, x, x),))
    counter(q)
    assert counter.flops == 2 * (2 * 2 * 3 * 16 * 16 * 8) and counter.rows == 2


def test_the_arithmetic_of_a_row_is_that_of_stable_diffusion():
    found = flops.counted("sd15")
    assert (found["row"], found["picture"]) == pytest.approx((0.803, 2.515), abs=0.001)
    assert 0.9 < found["sparse"] < 1
