"""Noise levels and progress, against every scheduler's own arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from schedulers import SAMPLERS, Sampler
from torch import Tensor

from dualsafe import method
from dualsafe.baselines.steps import Steps
from dualsafe.noise_level import Schedule

STEPS = 9


@pytest.fixture(params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return SAMPLERS[request.param]


def start(scheduler: Any) -> Tensor:
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise * getattr(scheduler, "init_noise_sigma", 1.0)


def given(scheduler: Any, z: Tensor, t: Tensor) -> Tensor:
    """What a stock loop gives the denoiser."""
    return scheduler.scale_model_input(z, t) if hasattr(scheduler, "scale_model_input") else z


def own_x0(scheduler: Any, prediction: Tensor, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
    """The next latents, and the clean latents that the solver itself found; None where it shows none."""
    found: list[Tensor] = []
    if hasattr(scheduler, "convert_model_output") and "DEIS" not in type(scheduler).__name__:
        convert = type(scheduler).convert_model_output
        scheduler.convert_model_output = lambda *args, **more: (
            found.append(convert(scheduler, *args, **more)) or found[-1]
        )
    out = scheduler.step(prediction, t, z)
    x0 = getattr(out, "pred_original_sample", None)
    if hasattr(out, "denoised"):  # LCM: what its boundary condition makes of it
        skip, whole = scheduler.get_scalings_for_boundary_condition_discrete(t)
        x0 = (out.denoised - skip * z) / whole
    return out.prev_sample, x0 if x0 is not None else found[0] if found else None


def check_x0(sampler: Sampler) -> int:
    """Compares `method.clean_latents` at the schedule's level with the solver's own; how many steps showed theirs."""
    scheduler, seen = sampler.make(), 0
    schedule = Schedule.of(scheduler)
    scheduler.set_timesteps(STEPS)
    z = start(scheduler)
    for i, t in enumerate(scheduler.timesteps):
        z_in = given(scheduler, z, t)
        prediction = torch.randn(z.shape, generator=torch.Generator().manual_seed(100 + i), dtype=z.dtype)
        x0 = method.clean_latents(z_in, prediction, schedule.at(t).level, schedule.prediction_type)
        z, own = own_x0(scheduler, prediction, t, z)
        if own is not None:
            assert torch.allclose(x0, own.double(), rtol=1e-4, atol=1e-4 * float(own.abs().max()))
            seen += 1
    return seen


def check_noise(sampler: Sampler) -> None:
    """Under a denoiser that always sees the same clean latents at the schedule's level, the noise stays the same."""
    scheduler = sampler.make()
    schedule = Schedule.of(scheduler)
    scheduler.set_timesteps(STEPS)
    z = start(scheduler)
    clean = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view(z.shape)
    first = None
    for t in scheduler.timesteps:
        z_in = given(scheduler, z, t)
        alpha, sigma = schedule.at(t).level
        seen = (z_in - alpha * clean) / sigma
        first = seen if first is None else first
        assert torch.allclose(seen, first, atol=2e-3, rtol=2e-3)
        prediction = method.prediction(z_in, clean, (alpha, sigma), schedule.prediction_type)
        z = scheduler.step(prediction, t, z, **({"eta": 0.0} if "TCD" in sampler.name else {})).prev_sample


def test_clean_latents_are_the_solvers_own(sampler):
    seen = check_x0(sampler)
    assert seen or sampler.is_deterministic or sampler.name == "TCDScheduler"


def test_noise_stays_the_same_on_the_way_to_the_same_clean_latents(sampler):
    if not sampler.is_deterministic and sampler.name != "TCDScheduler":
        pytest.skip("draws new noise at every step")
    check_noise(sampler)


@pytest.mark.parametrize("name", ["ddim", "pndm", "euler-karras", "heun", "kdpm2", "dpm++-karras", "deis", "flow-heun"])
@pytest.mark.parametrize("level", [(0.5, 0.75**0.5), (0.98, 0.2)])
def test_the_checks_see_a_level_that_is_wrong(name, level, monkeypatch):
    monkeypatch.setattr(Schedule, "level", lambda self, index: tuple(map(torch.tensor, level)))
    with pytest.raises(AssertionError):
        check_noise(SAMPLERS[name])
        check_x0(SAMPLERS[name])


def test_progress_runs_from_noise_to_picture(sampler):
    scheduler = sampler.make()
    schedule = Schedule.of(scheduler)
    scheduler.set_timesteps(STEPS)
    schedule.at(scheduler.timesteps[0])
    progress = [schedule.progress(i) for i in range(len(scheduler.timesteps))]
    assert progress == sorted(progress) and 0 <= progress[0] < 0.15 and 0.6 < progress[-1] <= 1
    if not sampler.flow and sampler.options.get("timestep_type") != "continuous":
        told = [1 - float(t) / 1000 for t in scheduler.timesteps]
        assert progress == pytest.approx(told, abs=0.002)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_timesteps_do_not_round_a_flows_level(dtype):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    schedule = Schedule.of(scheduler, timestep_scale=1000.0)
    scheduler.set_timesteps(28)
    scheduler.set_begin_index(0)
    z = torch.zeros(1, 4, 8, 8)
    for i, t in enumerate(scheduler.timesteps):  # as Flux tells it
        step = schedule.at(t.expand(2).to(dtype) / 1000)
        assert float(step.level[1]) == float(scheduler.sigmas[i]) and step.index == i
        z = scheduler.step(z, t, z).prev_sample


@pytest.mark.parametrize("copied", [False, True])
def test_rounded_timesteps_that_are_equal_are_told_apart(copied):
    scheduler = SAMPLERS["dpm++-karras"].make()
    schedule = Schedule.of(scheduler)
    scheduler.set_timesteps(200)
    told = scheduler.timesteps.tolist()
    assert len(set(told)) < len(told)
    seen, z = [], torch.zeros(1, 4, 8, 8)
    for t in scheduler.timesteps:
        seen.append(float(schedule.at(t.clone() if copied else t).level[1]))
        z = scheduler.step(z, t, z).prev_sample
    assert len(set(seen)) == len(seen) and seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(("name", "calls"), [("dpm++-karras", 200), ("heun", 399), ("pndm", 201)])
def test_baselines_count_steps_by_noise_level(name, calls):
    scheduler = SAMPLERS[name].make()
    steps, found, z = Steps(scheduler), [], torch.zeros(1, 4, 8, 8)
    scheduler.set_timesteps(200)
    for t in scheduler.timesteps:
        found.append(steps.at(t))
        z = scheduler.step(z, t, z).prev_sample
    assert len(found) == calls and found[-1] == 199 and found == sorted(found)


def test_a_second_call_of_a_step_is_known():
    scheduler = SAMPLERS["ddim"].make()
    schedule = Schedule.of(scheduler)
    scheduler.set_timesteps(4)
    first, second = scheduler.timesteps[:2]
    assert [schedule.at(t).again for t in (first, first, second, second)] == [False, True, False, True]
    scheduler.set_timesteps(4)
    assert not schedule.at(scheduler.timesteps[1]).again


@pytest.mark.parametrize(("told", "scale"), [(torch.tensor(721.0), 1), (720.7, 1), (torch.full((2,), 0.721), 1000)])
def test_a_timestep_that_is_no_view_of_the_table_is_found_by_its_value(told, scale):
    scheduler = SAMPLERS["ddim"].make()
    schedule = Schedule.of(scheduler, scale)
    scheduler.set_timesteps(25)
    assert scheduler.timesteps[schedule.at(told).index] in (720, 721)


@pytest.mark.parametrize(
    ("steps", "first", "tau", "own", "shared"),
    [
        (20, 0, 0.25, 8, 4),  # by tau
        (10, 0, 0.5, 8, 2),  # ten calls leave room for two
        (8, 0, 0.5, 8, 0),
        (1, 0, 0.5, 8, 0),
        (20, 12, 0.9, 8, 0),  # an img2img run of the last eight
        (20, 10, 0.9, 8, 2),
        (20, 12, 1.0, 1, 7),  # the last step is never shared
        (20, 14, 0.9, 8, 0),  # fewer steps than it gets
        (20, 12, 0.25, 1, 0),  # tau has passed
    ],
)
def test_the_shared_phase_makes_room_for_the_safe_branch(steps, first, tau, own, shared):
    scheduler = SAMPLERS["ddim"].make()
    schedule = Schedule.of(scheduler)
    scheduler.set_timesteps(steps)
    schedule.at(scheduler.timesteps[first])
    assert schedule.parts_at(tau, own) - first == shared


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (EDMEulerScheduler(), "EDMEulerScheduler"),
        (DPMSolverMultistepScheduler(prediction_type="flow_prediction"), "DPMSolverMultistepScheduler"),
        (DPMSolverMultistepScheduler(use_flow_sigmas=True), "DPMSolverMultistepScheduler"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "FlowMatchEulerDiscreteScheduler"),
        (EulerDiscreteScheduler(prediction_type="original"), "prediction_type='original'"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(scheduler, message):
    with pytest.raises(ValueError, match=message):
        Schedule.of(scheduler)
