"""More steps than a scheduler has noise levels for are refused by name; none that it can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from schedulers import SAMPLERS
from torch import Tensor

from dualsafe import PICTO
from dualsafe.errors import ArgumentError
from dualsafe.pipelines.steps import check_steps

CONFIG = json.loads((Path(PICTO) / "scheduler" / "scheduler_config.json").read_text())  # its first timestep is 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_steps_of_a_usual_call_are_accepted(name):
    scheduler = SAMPLERS[name].make()
    before = scheduler.timesteps
    for steps in (1, 2, 5, 50):
        check_steps(scheduler, steps)
    assert scheduler.timesteps is before


def solved(scheduler: Any, steps: int) -> Tensor:
    """What the solver makes of noise with a model that says nothing of it."""
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(1, 1, 2, 2, generator=generator)
    for t in scheduler.timesteps:
        sample = scheduler.step(torch.randn(1, 1, 2, 2, generator=generator), t, sample).prev_sample
    return sample


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
@pytest.mark.parametrize("name", ["ddim", "pndm", "dpm++", "unipc"])
def test_more_steps_than_there_are_noise_levels_are_refused(name, spacing):
    options = {"timestep_spacing": spacing} if name != "pndm" else {}
    scheduler = type(SAMPLERS[name].make()).from_config(CONFIG, **SAMPLERS[name].options | options)
    with pytest.raises(
        ArgumentError, match=r"num_inference_steps=1001: this \w+ has noise levels for \d+ steps"
    ) as told:
        check_steps(scheduler, 1001)
    most = int(str(told.value).split()[-4])
    assert told.value.name == "num_inference_steps" and most >= 499
    check_steps(scheduler, most)
    assert solved(scheduler, most).isfinite().all()
    try:
        fails = not solved(scheduler, most + 1).isfinite().all()
    except (ValueError, IndexError):
        fails = True
    assert fails


def test_a_call_says_so_before_anything_is_drawn(picto_dual, monkeypatch):
    monkeypatch.setattr(picto_dual.unet, "forward", None)
    with pytest.raises(
        ArgumentError, match="num_inference_steps=1000: this DDIMScheduler has noise levels for 999 steps"
    ):
        picto_dual("a cat", num_inference_steps=1000)
