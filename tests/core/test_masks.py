"""The caller's mask, and the latent gate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dualsafe import MethodSettings
from dualsafe.branches import OnDevice
from dualsafe.extrapolate import Originals
from dualsafe.mask import Mask
from dualsafe.method import noise_level
from dualsafe.noise_level import Step
from dualsafe.plan import Guidance, Plan

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


@pytest.mark.parametrize("stacked", [False, True])
def test_outside_a_given_mask_latents_are_the_originals_to_the_bit(tiny_dual, seeds, stacked):
    options = {"settings": MethodSettings(stacked=stacked), "output_type": "latent", "return_pair": True, "mask": LEFT}
    output = tiny_dual(PROMPT, safe_prompt=SAFE, safety_level=0.7, generator=seeds(1), **FAST | options)
    assert torch.equal(output.images[..., 4:], output.unsafe_images[..., 4:])
    assert not torch.equal(output.images[..., :4], output.unsafe_images[..., :4])


def test_where_the_original_is_carried_the_mask_is_the_one_before(picto_dual, seeds):
    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = True
        return tensors

    settings = MethodSettings(tau=0.0, original_interval=1.0)
    options = {"safe_prompt": SAFE, "settings": settings, **FAST, "num_inference_steps": 12}
    whole = picto_dual(PROMPT, generator=seeds(1), **options)
    first = picto_dual(PROMPT, generator=seeds(1), callback_on_step_end=stop, **options)
    assert whole.safety[0].denoiser_rows == 26 and first.safety[0].denoiser_rows == 4
    assert np.array_equal(whole.masks, first.masks) and whole.safety[0].mask_area > 0


def test_an_original_that_is_seldom_computed_still_holds_the_picture_outside_the_mask(picto_dual, seeds):
    call = {"num_inference_steps": 25, "guidance_scale": 5.0, "output_type": "np"}
    prompt, settings = "a woman in green holding a bomb in a park", MethodSettings(original_interval=0.24)
    stock = picto_dual(prompt, safety_level=0, generator=seeds(7), **call).images[0]
    safe = picto_dual(prompt, settings=settings, generator=seeds(7), **call)
    outside = np.asarray(safe.masks[0]).squeeze() == 0
    error = np.square(safe.images[0] - stock)[outside].mean()
    assert -10 * np.log10(error) > 30 and safe.safety[0].nfe < 64


def test_the_line_of_an_original_goes_through_the_last_two_that_were_computed():
    plan = Plan([1.0], MethodSettings(tau=0.1, original_interval=0.15), lambda: Guidance(5.0))
    originals, level = Originals(plan), noise_level(0.5)
    for index, x0 in enumerate((1.0, 9.0, 2.0), start=1):  # at .1 and .3 an interval begins
        originals.see(Step(index, False, index / 10, level), torch.full((1, 1, 1, 1), x0))
    assert originals.expected(Step(4, False, 0.35, level)).item() == pytest.approx(2.25)


def test_a_negatives_own_call_keeps_the_mask_of_the_call_before():
    mask = Mask(Plan([1.0], MethodSettings(mask_floor=0.5), lambda: Guidance(2.0, apart=True)), OnDevice())
    none, level = torch.zeros(1, 4, 8, 8), noise_level(0.5)
    found = mask.of([0], [0], none + LEFT[:8, 4:12], none, Step(3, False, 0.4, level)).clone()
    assert 0 < found.mean() < 1
    assert torch.equal(mask.of([0], [0], none + 1, none, Step(3, True, 0.4, level)), found)
    assert mask.of([0], [0], none + 1, none, Step(4, False, 0.5, level)).all()


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
    prompts = ["a man with a flower", "a cat"]
    expected = stock(prompts, generator=seeds(1, 2), **FAST).images
    settings = MethodSettings(tau=0.0, latent_gate=0.5, mask_floor=0.01, original_interval=0.4)
    output = dual(prompts, safe_prompt=["a dog", "a cat"], settings=settings, generator=seeds(1, 2), **FAST)
    changed, agreed = output.safety
    assert agreed.gate == "latent" and agreed.mask_area == 0 and agreed.denoiser_rows < changed.denoiser_rows
    assert np.array_equal(output.images[1], expected[1])
    assert changed.gate == "given" and not np.array_equal(output.images[0], expected[0])


def test_a_call_whose_branches_all_agree_is_the_stock_call(stock, dual, seeds):
    expected = stock(["a cat"], generator=seeds(1), **FAST).images
    output = dual(["a cat"], safe_prompt=["a cat"], generator=seeds(1), **FAST)
    assert np.array_equal(output.images, expected) and output.safety[0].gate == "latent"


def test_an_unsafe_prompt_that_is_its_own_safe_prompt_is_not_cleared(picto_dual, seeds):
    settings = MethodSettings(tau=0.0, latent_gate=0.1)
    output = picto_dual(PROMPT, safe_prompt=PROMPT, settings=settings, policy="picto", generator=seeds(1), **FAST)
    assert output.safety[0].triggers and output.safety[0].gate != "latent"


@pytest.mark.parametrize("told", [{}, {"safe_prompt": ["a man with a spoon"]}], ids=["by the policy", "by the caller"])
def test_branches_that_seem_to_agree_are_not_cleared_where_a_word_was_found(picto_dual, seeds, told):
    settings = MethodSettings(tau=0.0, latent_gate=0.1, mask_floor=100.0)  # no difference is so large
    output = picto_dual(PROMPT, policy="picto", settings=settings, return_pair=True, generator=seeds(1), **told, **FAST)
    assert output.safety[0].gate != "latent" and 0 < output.safety[0].mask_area < 1
    assert not np.array_equal(output.images, output.unsafe_images)
