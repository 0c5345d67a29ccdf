"""What a dual call promises to the bit, on tiny SD 1.x and 2.x; tests/test_exactness_on_picto.py has picto."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from families import dual_of

from dualsafe import MethodSettings, NonFiniteLatentsError
from dualsafe.plan import OWN_CALLS
from dualsafe.stand_in import standing_in

UNSAFE = ["a man in blue with a knife in a park", "a cat in green holding a bomb on a street"]
SAFE = ["a man in blue with a flower in a park", "a cat in green holding a balloon on a street"]
FAST = {"num_inference_steps": 6, "guidance_scale": 5.0, "output_type": "np"}
WHOLE = MethodSettings(tau=0.0, mask_floor=None)


def test_level_zero_is_the_stock_picture_at_the_stock_cost(stock, dual, seeds):
    expected = stock(UNSAFE, generator=seeds(1, 2), **FAST).images
    output = dual(UNSAFE, generator=seeds(1, 2), safety_level=0.0, **FAST)
    assert np.array_equal(output.images, expected)
    assert [r.denoiser_rows for r in output.safety] == [12, 12]
    assert [r.decision for r in output.safety] == ["off", "off"]
    assert output.unsafe_images is None and output.masks is None


def test_level_one_without_mask_and_shared_phase_is_the_stock_picture_of_the_safe_prompt(stock, dual, seeds):
    expected = stock(SAFE, generator=seeds(1, 2), **FAST).images
    output = dual(UNSAFE, safe_prompt=SAFE, safety_level=1.0, settings=WHOLE, generator=seeds(1, 2), **FAST)
    assert np.array_equal(output.images, expected)


def test_the_unsafe_image_of_a_pair_is_the_stock_picture_of_the_prompt(stock, dual, seeds):
    expected = stock(UNSAFE, generator=seeds(1, 2), **FAST).images
    settings = MethodSettings(mask_floor=None)
    output = dual(UNSAFE, safe_prompt=SAFE, return_pair=True, settings=settings, generator=seeds(1, 2), **FAST)
    assert np.array_equal(output.unsafe_images, expected)
    assert not np.array_equal(output.images, expected)


def test_a_benign_prompt_beside_an_unsafe_one_is_the_stock_picture(stock, dual, seeds):
    prompts = [UNSAFE[0], "a dog in white with a water gun at a castle"]
    expected = stock(prompts, generator=seeds(1, 2), **FAST).images
    output = dual(prompts, scope="words", generator=seeds(1, 2), **FAST)
    assert [r.decision for r in output.safety] == ["dual", "benign"]
    assert np.array_equal(output.images[1], expected[1])
    assert output.safety[1].denoiser_rows == 12 and output.safety[1].mask_area == 0


def test_a_batch_of_four_equals_four_batches_of_one(dual, seeds):
    prompts, safe = UNSAFE * 2, SAFE * 2
    levels = [0.3, 1.0, 0.0, "high"]
    together = dual(prompts, safe_prompt=safe, safety_level=levels, generator=seeds(1, 2, 3, 4), **FAST).images
    for i in range(4):
        alone = dual([prompts[i]], safe_prompt=[safe[i]], safety_level=levels[i], generator=seeds(i + 1), **FAST).images
        assert np.abs(alone[0] - together[i]).max() <= 1e-4


def test_the_same_seed_gives_the_same_pictures(dual):
    first, second = (
        dual(UNSAFE[0], safe_prompt=SAFE[0], generator=torch.Generator().manual_seed(5), **FAST).images
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_several_images_of_a_prompt_follow_the_stock_order(stock, dual, seeds):
    expected = stock(UNSAFE, num_images_per_prompt=2, generator=seeds(1, 2, 3, 4), **FAST).images
    output = dual(UNSAFE, num_images_per_prompt=2, return_pair=True, generator=seeds(1, 2, 3, 4), **FAST)
    assert np.array_equal(output.unsafe_images, expected)
    assert [r.seed for r in output.safety] == [1, 2, 3, 4]


def test_one_generator_for_a_batch_draws_the_stock_noise(stock, dual):
    expected = stock(UNSAFE, generator=torch.Generator().manual_seed(3), **FAST).images
    output = dual(UNSAFE, return_pair=True, generator=torch.Generator().manual_seed(3), **FAST)
    assert np.array_equal(output.unsafe_images, expected)


def test_stacking_changes_the_original_by_rounding_only(stock, dual, seeds):
    expected = stock(UNSAFE, generator=seeds(1, 2), **FAST).images
    output = dual(UNSAFE, return_pair=True, settings=MethodSettings(stacked=True), generator=seeds(1, 2), **FAST)
    assert np.abs(output.unsafe_images - expected).max() <= 1e-4


def test_composite_keeps_every_pixel_outside_the_mask(stock, dual, seeds):
    settings = MethodSettings(composite=True, mask_floor=0.3)
    output = dual(UNSAFE, safe_prompt=SAFE, settings=settings, return_pair=True, generator=seeds(1, 2), **FAST)
    outside = np.broadcast_to(output.masks == 0, output.images.shape)
    assert np.array_equal(output.images[outside], output.unsafe_images[outside])


@pytest.mark.parametrize(
    ("mask_floor", "level", "rows", "apart"),
    [(None, "max", 24, 1e-6), (None, "medium", 32, 0.06), (0.01, "max", 32, 0.02)],
)
def test_only_a_pair_computes_the_original_at_every_step(dual, seeds, mask_floor, level, rows, apart):
    settings = MethodSettings(tau=0.0, mask_floor=mask_floor, original_interval=0.25)
    options = {"safe_prompt": SAFE, "safety_level": level, "settings": settings, **FAST, "num_inference_steps": 12}
    alone = dual(UNSAFE, generator=seeds(1, 2), **options)
    pair = dual(UNSAFE, return_pair=True, generator=seeds(1, 2), **options)
    assert [r.denoiser_rows for r in pair.safety] == [48, 48]
    assert [r.denoiser_rows for r in alone.safety] == [rows, rows]  # in none or four of its twelve steps
    assert np.abs(alone.images - pair.images).mean() < apart


def test_an_original_that_is_only_followed_does_the_same_beside_a_benign_sample(stock, dual, seeds):
    settings = MethodSettings(tau=0.0, mask_floor=0.01, original_interval=0.25)
    options = {"settings": settings, "scope": "words", **FAST, "num_inference_steps": 12}
    alone = dual(UNSAFE[0], safe_prompt=SAFE[0], generator=seeds(1), **options)
    mixed = dual([UNSAFE[0], "a cat"], safe_prompt=[SAFE[0], None], generator=seeds(1, 2), **options)
    expected = stock([UNSAFE[0], "a cat"], generator=seeds(1, 2), **FAST | {"num_inference_steps": 12}).images
    assert np.abs(mixed.images[0] - alone.images[0]).max() < 1e-4
    assert np.array_equal(mixed.images[1], expected[1])


def test_the_shared_phase_costs_the_stock_rows(dual, seeds):
    options = {"safe_prompt": SAFE, "generator": seeds(1, 2), **(FAST | {"num_inference_steps": 10})}
    none = dual(UNSAFE, settings=MethodSettings(tau=0.0, mask_floor=None), return_pair=True, **options)
    some = dual(UNSAFE, settings=MethodSettings(tau=0.35, mask_floor=None), return_pair=True, **options)
    assert none.safety[0].denoiser_rows == 40
    assert 20 < some.safety[0].denoiser_rows < 40


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9, 12])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_few_steps_are_the_safe_branchs_own(seeds, steps, spacing):
    dual = dual_of(tiny.stable_diffusion())
    dual.scheduler = type(dual.scheduler).from_config(dual.scheduler.config, timestep_spacing=spacing)
    settings = MethodSettings(tau=0.9, mask_floor=0.01)  # under which random weights heed texts
    options = {"settings": settings, **FAST, "num_inference_steps": steps, "return_pair": True}
    output = dual(UNSAFE, safe_prompt=SAFE, policy="picto", generator=seeds(1, 2), **options)
    shared = max(steps - OWN_CALLS, 0)
    assert [r.denoiser_rows for r in output.safety] == [2 * shared + 4 * (steps - shared)] * 2
    assert all(r.decision == "dual" and r.mask_area > 0 for r in output.safety)
    assert not np.array_equal(output.images, output.unsafe_images)


def test_no_unsafe_picture_leaves_when_only_the_safe_branch_breaks(dual, seeds):
    class Broken:
        """The model, giving NaN for the safe branch, whose call is every second one."""

        def __init__(self, model):
            self.model, self.calls = model, 0

        def __getattr__(self, name):
            return getattr(self.model, name)

        def __call__(self, *args, **kwargs):
            self.calls += 1
            output = self.model(*args, **kwargs)
            return tuple(part * float("nan") for part in output) if self.calls % 2 == 0 else output

    options = {"safe_prompt": SAFE, "generator": seeds(1, 2), **FAST}
    for settings in (MethodSettings(tau=0.0), MethodSettings(tau=0.0, latent_gate=0.1)):
        with standing_in(dual, {"unet": Broken(dual.unet)}), pytest.raises(NonFiniteLatentsError):
            dual(UNSAFE, settings=settings, **options)
