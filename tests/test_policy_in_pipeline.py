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
    assert tiny_dual("a cigar", scope="words", **FAST).safety[0].decision == "benign"
    assert tiny_dual("a cigar", policy="safetypairs", **FAST).safety[0].categories == ("O6",)
    with pytest.raises(PolicyError, match="policy='nope'"):
        tiny_dual("a cigar", policy="nope", **FAST)


def test_a_refused_prompt_costs_no_denoising(tiny_dual, monkeypatch):
    monkeypatch.setattr(type(tiny_dual.unet), "forward", lambda *_, **__: pytest.fail("the denoiser ran"))
    with pytest.raises(PolicyViolation):
        tiny_dual(["a cat", "a nude child"], safety_level=0.0, **FAST)


def test_a_term_after_the_last_token_read_is_found_and_said_to_be_unread(tiny_dual):
    long = "a man in a park, " * 40
    assert tiny_dual(f"{long} with a pistol", **FAST).safety[0].unread == ("pistol",)
    assert tiny_dual(f"a knife, {long} with a pistol", policy="picto", **FAST).safety[0].unread == ("pistol",)
    assert tiny_dual("a man with a pistol", **FAST).safety[0].unread == ()


def test_the_text_behind_embeddings_is_read_and_rewritten(tiny_dual, seeds):
    texts = ["a man with a knife", "a man in a park"]
    embeds, negative = tiny_dual.encode_prompt(texts, "cpu", 1, True)
    call = FAST | {"policy": "picto", "prompt_embeds": embeds, "negative_prompt_embeds": negative, "scope": "words"}
    output = tiny_dual(policy_text=texts, generator=seeds(1, 2), **call)
    assert [report.decision for report in output.safety] == ["dual", "benign"]
    assert output.safety[0].safe_prompt == "a man with a flower"
    plain = tiny_dual(texts, generator=seeds(1, 2), **(FAST | {"policy": "picto", "scope": "words"}))
    assert torch.equal(output.images, plain.images)
    asked = []

    def encode(safe):
        asked.append(safe)
        return tiny_dual.encode_prompt(safe, "cpu", 1, False)[0]

    again = tiny_dual(policy_text=texts, encode_text=encode, generator=seeds(1, 2), **call)
    assert asked[0] == ["a man with a flower"] and torch.equal(again.images, output.images)
    with pytest.raises(PolicyViolation, match="minors"):
        tiny_dual(policy_text=["a nude child", "a cat"], **call)
    for arguments, said in (
        ({"policy_text": "one"}, "policy_text has 1 entries"),
        ({"policy_text": [1, 2]}, r"policy_text\[0\]=1"),
        ({"policy_text": texts, "encode_text": 3}, "encode_text=3"),
        ({"policy_text": texts, "encode_text": lambda safe: torch.zeros(3)}, "encode_text must give"),
    ):
        with pytest.raises(ValueError, match=said):
            tiny_dual(**arguments, **call)
    with pytest.raises(ValueError, match="policy_text is the text behind"):
        tiny_dual("a cat", policy_text="a cat", **FAST)
