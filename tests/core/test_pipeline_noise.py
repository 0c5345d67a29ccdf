"""The original's noise is stock's, in every form of generator, under every scheduler that draws noise in its steps."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import ConsistencyDecoderVAE, FlowMatchEulerDiscreteScheduler
from families import FAMILIES, SAFE, UNSAFE, dual_of

from dualsafe import MethodSettings
from dualsafe.judges import Verdict

STOCHASTIC = {
    "DDPMScheduler": {},
    "DDIMScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "KDPM2AncestralDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {"algorithm_type": "sde-dpmsolver++"},
    "SASolverScheduler": {},
    "LCMScheduler": {},
    "TCDScheduler": {},
}
FORMS = ("none", "one", "list")
WHOLE = MethodSettings(tau=0.0, mask_floor=None)


def seeded(form: str) -> dict:
    """The noise of a call in one of the forms that stock takes; torch's own generator is set, too."""
    torch.manual_seed(7)
    if form == "none":
        return {}
    if form == "one":
        return {"generator": torch.Generator().manual_seed(5)}
    return {"generator": [torch.Generator().manual_seed(5), torch.Generator().manual_seed(6)]}


def eta(scheduler: str) -> dict:
    return {"eta": 0.7} if scheduler == "DDIMScheduler" else {}


@pytest.mark.parametrize(
    ("scheduler", "form"),
    [
        pytest.param(scheduler, form, marks=() if i % len(FORMS) == k else pytest.mark.slow)
        for i, scheduler in enumerate(STOCHASTIC)
        for k, form in enumerate(FORMS)
    ],
)
def test_both_ends_are_stock(scheduler, form):
    family, options = FAMILIES["sd1"], eta(scheduler)
    stock = family.make()
    stock.scheduler = getattr(diffusers, scheduler).from_config(stock.scheduler.config, **STOCHASTIC[scheduler])
    unsafe, safe = (family.images(stock, prompts, **seeded(form), **options) for prompts in (UNSAFE, SAFE))
    told = {"safe_prompt": SAFE, "return_pair": True, "settings": WHOLE}
    pair = family.call(dual_of(stock), UNSAFE, **told, **seeded(form), **options)
    assert np.array_equal(pair.unsafe_images, unsafe) and not np.array_equal(safe, unsafe)
    assert np.allclose(pair.images, safe, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_generator_is_left_where_stock_leaves_it(form):
    family = FAMILIES["sd1"]
    stock = family.make()
    stock.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(stock.scheduler.config)
    states = []
    for draw in (
        lambda noise: family.call(stock, UNSAFE, **noise),
        lambda noise: family.call(dual_of(stock), UNSAFE, safe_prompt=SAFE, **noise),
    ):
        noise = seeded(form)
        draw(noise)
        each = noise.get("generator", torch.default_generator)
        states.append([one.get_state() for one in (each if isinstance(each, list) else [each])])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_that_is_drawn_again_starts_from_its_own_noise(form):
    family, prompts = FAMILIES["sd1"], ["a pirate in a park", "a cat on a beach"]
    stock = family.make()
    stock.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(stock.scheduler.config)
    dual, told = dual_of(stock), {"policy": "picto", "scope": "words", "settings": WHOLE, "num_inference_steps": 6}

    def judge(images):
        return [Verdict(k == 1, concepts=("knife",)) for k in range(len(images))]

    again = family.call(dual, prompts, preview=judge, **told, **seeded(form))
    assert [report.gate for report in again.safety] == ["prompt", "preview"]
    at_once = [None, "a cat on a beach with a flower"]
    expected = family.call(dual, prompts, safe_prompt=at_once, **told, **seeded(form))
    assert np.allclose(again.images, expected.images, atol=1e-4)


def test_a_flow_that_draws_its_own_noise_is_shared_too():
    family = FAMILIES["sd3"]
    stock = family.make()
    stock.scheduler = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    unsafe, safe = (family.images(stock, prompts, **seeded("none")) for prompts in (UNSAFE, SAFE))
    told = {"safe_prompt": SAFE, "return_pair": True, "settings": WHOLE}
    pair = family.call(dual_of(stock), UNSAFE, **told, **seeded("none"))
    assert np.array_equal(pair.unsafe_images, unsafe)
    assert np.allclose(pair.images, safe, atol=1e-5)


def test_a_path_drawn_for_a_whole_batch_is_refused():
    stock = FAMILIES["sd1"].make()
    stock.scheduler = diffusers.EulerDiscreteScheduler.from_config(stock.scheduler.config)

    class DPMSolverSDEScheduler(diffusers.EulerDiscreteScheduler):
        """Named like the one that needs torchsde."""

    stock.scheduler = DPMSolverSDEScheduler.from_config(stock.scheduler.config)
    with pytest.raises(ValueError, match="no generator controls"):
        FAMILIES["sd1"].call(dual_of(stock), UNSAFE, safe_prompt=SAFE)


@pytest.mark.parametrize("form", FORMS)
def test_an_autoencoder_that_draws_noise_draws_as_stock_does(form):
    family = FAMILIES["sd1"]
    stock = family.make()
    torch.manual_seed(0)
    stock.vae = ConsistencyDecoderVAE(
        sample_size=16,
        encoder_block_out_channels=(16, 32),
        encoder_down_block_types=("DownEncoderBlock2D",) * 2,
        encoder_layers_per_block=1,
        encoder_norm_num_groups=8,
        decoder_block_out_channels=(32, 32),
        decoder_down_block_types=("ResnetDownsampleBlock2D",) * 2,
        decoder_up_block_types=("ResnetUpsampleBlock2D",) * 2,
        decoder_layers_per_block=1,
        decoder_norm_num_groups=8,
    ).eval()
    stock.vae.to(tiny.DEVICE)
    unsafe, safe = (family.images(stock, prompts, **seeded(form)) for prompts in (UNSAFE, SAFE))
    told = {"safe_prompt": SAFE, "return_pair": True, "settings": WHOLE}
    pair = family.call(dual_of(stock), UNSAFE, **told, **seeded(form))
    assert np.array_equal(pair.unsafe_images, unsafe)
    assert np.allclose(pair.images, safe, atol=1e-5)


@pytest.mark.parametrize("generator", [7, (torch.Generator(),), [7, 8]])
def test_what_is_no_generator_is_named(generator):
    dual = dual_of(FAMILIES["sd1"].make())
    with pytest.raises(ValueError, match="generator="):
        FAMILIES["sd1"].call(dual, UNSAFE, generator=generator)
