"""The policy's way into a call: defaults, names, files, reports, refusals before any denoising."""

from __future__ import annotations

import pytest
import torch

from dualsafe import PICTO, DualLatentPipeline, PolicyError, PolicyViolation
from dualsafe.policy import resolve

FAST = {"num_inference_steps": 2, "output_type": "latent"}


def test_the_default_is_i2p_and_for_picto_its_own(tiny_dual):
    report = tiny_dual("a man with a pistol", **FAST).safety[0]
    assert report.categories == ("violence",) and report.policy == f"i2p@{resolve('i2p').hash}"
    picto = DualLatentPipeline.from_pretrained(PICTO, dtype=torch.float32)
    picto.set_progress_bar_config(disable=True)
    assert picto("a man with a pistol", **FAST).safety[0].categories == ("weapons",)


def test_a_named_policy_decides(tiny_dual):
    assert tiny_dual("a cigar", **FAST).safety[0].decision == "benign"
    assert tiny_dual("a cigar", policy="safetypairs", **FAST).safety[0].categories == ("O6",)
    with pytest.raises(PolicyError, match="policy='nope'"):
        tiny_dual("a cigar", policy="nope", **FAST)


def test_a_refused_prompt_costs_no_denoising(tiny_dual, monkeypatch):
    monkeypatch.setattr(type(tiny_dual.unet), "forward", lambda *_, **__: pytest.fail("the denoiser ran"))
    with pytest.raises(PolicyViolation):
        tiny_dual(["a cat", "a nude child"], safety_level=0.0, **FAST)
