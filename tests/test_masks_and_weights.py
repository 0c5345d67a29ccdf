"""The caller's mask, the latent gate, and the weight's schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dualsafe import MethodSettings

PROMPT, SAFE = ["a man with a knife"], ["a cat on a beach"]
FAST = {"num_inference_steps": 6, "output_type": "np"}
LEFT = torch.zeros(16, 16)
LEFT[:, :8] = 1.0


@pytest.mark.parametrize(
    "mask", [LEFT, LEFT[None], LEFT[None, None], Image.fromarray((LEFT.numpy() * 255).astype(np.uint8)), [LEFT]]
)
def test_a_given_mask_bounds_the_change(tiny_dual, seeds, mask):
    settings = MethodSettings(composite=True)
    output = tiny_dual(
        PROMPT, safe_prompt=SAFE, mask=mask, settings=settings, return_pair=True, generator=seeds(1), **FAST
    )
    assert np.array_equal(output.images[:, :, 8:], output.unsafe_images[:, :, 8:])
    assert not np.array_equal(output.images[:, :, :8], output.unsafe_images[:, :, :8])
    assert output.safety[0].mask_area == 0.5


def test_no_mask_lets_everything_change(tiny_dual, seeds):
    output = tiny_dual(PROMPT, safe_prompt=SAFE, mask=None, generator=seeds(1), **FAST)
    assert output.safety[0].mask_area == 1.0


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("everywhere", "mask='everywhere'"),
        (torch.ones(2, 16, 16), "mask has 2 entries"),
        (torch.ones(1, 3, 16, 16), "mask="),
        (LEFT * 2, "outside \\[0, 1\\]"),
        (LEFT * torch.nan, "outside \\[0, 1\\]"),
        ([LEFT, None], "mask has 2 entries"),
        ([None], "not all masks"),
        (7, "mask="),
    ],
)
def test_bad_masks_are_named(tiny_dual, mask, message):
    with pytest.raises(ValueError, match=message):
        tiny_dual(PROMPT, mask=mask, **FAST)


def test_composite_without_a_mask_is_refused(tiny_dual):
    with pytest.raises(ValueError, match="mask=None"):
        tiny_dual(PROMPT, mask=None, settings=MethodSettings(composite=True), **FAST)


def test_branches_that_agree_follow_the_stock_path(stock, dual, seeds):
    prompts = ["a man with a knife", "a cat"]
    expected = stock(prompts, generator=seeds(1, 2), **FAST).images
    settings = MethodSettings(tau=0.0, latent_gate=0.5, mask_floor=0.01)
    output = dual(prompts, safe_prompt=["a dog", "a cat"], settings=settings, generator=seeds(1, 2), **FAST)
    changed, agreed = output.safety
    assert agreed.gate == "latent" and agreed.mask_area == 0 and agreed.denoiser_rows < changed.denoiser_rows
    assert np.array_equal(output.images[1], expected[1])
    assert changed.gate == "given" and not np.array_equal(output.images[0], expected[0])


def test_a_call_whose_branches_all_agree_is_the_stock_call(stock, dual, seeds):
    expected = stock(PROMPT, generator=seeds(1), **FAST).images
    output = dual(PROMPT, safe_prompt=PROMPT, generator=seeds(1), **FAST)
    assert np.array_equal(output.images, expected) and output.safety[0].gate == "latent"


def test_the_weight_follows_its_schedule(tiny_dual, seeds):
    def images(weight):
        settings = MethodSettings(tau=0.0, mask_floor=None, weight=weight)
        return tiny_dual(PROMPT, safe_prompt=SAFE, settings=settings, generator=seeds(1), **FAST).images

    assert np.array_equal(images("constant"), images(lambda progress: 1.0))
    assert not np.array_equal(images("constant"), images("linear"))
    assert np.array_equal(images("linear"), images(lambda progress: progress))
    never = images(lambda progress: 0.0)
    assert np.abs(never - tiny_dual(PROMPT, safety_level=0, generator=seeds(1), **FAST).images).max() <= 1e-4


def test_bad_weights_are_named(tiny_dual):
    for weight in ("steep", 3):
        with pytest.raises(ValueError, match=f"weight={weight!r}"):
            MethodSettings(weight=weight)
    with pytest.raises(ValueError, match="gave 2"):
        tiny_dual(PROMPT, settings=MethodSettings(weight=lambda progress: 2), **FAST)
