"""Every scheduler that stock takes: both ends of the dial are stock's pictures under it."""

from __future__ import annotations

import diffusers
import pytest
import tiny
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from families import FAMILIES, UNSAFE, both_ends, dual_of
from schedulers import Sampler

IN_TRAINING_TIMESTEPS = (
    "DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler", "LCMScheduler", "TCDScheduler",
)  # fmt: skip
OF_IMAGES = ("sd1", "sd2", "xl", "sd-img2img")


def matrix() -> list:
    """Every scheduler under every family where slow tests run; by default once each that draws no noise of its own,
    for those that do are in test_pipeline_noise.py."""
    return [
        pytest.param(
            name,
            scheduler,
            marks=() if i % len(OF_IMAGES) == k and Sampler(scheduler).is_deterministic else pytest.mark.slow,
        )
        for i, scheduler in enumerate(IN_TRAINING_TIMESTEPS)
        for k, name in enumerate(OF_IMAGES)
    ]


@pytest.mark.parametrize(("name", "scheduler"), matrix())
def test_every_scheduler(name, scheduler, seeds):
    if tiny.DEVICE != "cpu" and (name, scheduler) == ("sd-img2img", "SASolverScheduler"):
        pytest.skip("diffusers' own call fails: it makes sigmas with numpy from a table that is on the GPU")
    family = FAMILIES[name]
    stock = family.make()
    stock.scheduler = getattr(diffusers, scheduler).from_config(stock.scheduler.config)
    both_ends(family, stock, dual_of(stock), seeds, num_inference_steps=4)  # the fewest of PNDM


@pytest.mark.parametrize(
    "extra",
    [
        {"use_karras_sigmas": True},
        {"timestep_spacing": "trailing"},
        {"algorithm_type": "sde-dpmsolver++"},
        {"use_exponential_sigmas": True},
        {"thresholding": True},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_noise_spacings(extra, seeds):
    stock = FAMILIES["sd1"].make()
    stock.scheduler = DPMSolverMultistepScheduler.from_config(stock.scheduler.config, **extra)
    both_ends(FAMILIES["sd1"], stock, dual_of(stock), seeds)


@pytest.mark.parametrize("name", ["sd3", "flux"])
@pytest.mark.parametrize(
    ("scheduler", "extra"),
    [
        (FlowMatchEulerDiscreteScheduler, {"shift": 2.0}),
        (FlowMatchHeunDiscreteScheduler, {}),
        (DPMSolverMultistepScheduler, {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
        (UniPCMultistepScheduler, {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
    ],
)
def test_every_flow_scheduler(name, scheduler, extra, seeds):
    family = FAMILIES[name]
    stock = family.make()
    stock.scheduler = scheduler(**extra)
    try:
        family.images(stock, UNSAFE[:1])
    except (ValueError, TypeError, AssertionError) as error:
        pytest.skip(f"stock {name} does not take it: {error}")
    both_ends(family, stock, dual_of(stock), seeds)
