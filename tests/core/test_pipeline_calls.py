"""A call from inside a call, from another thread, in a forked child, interrupted half-way, or with a broken decoder."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import tiny
import torch
from conftest import dual_of
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from dualsafe import DualLatentPipeline, MethodSettings, NonFiniteLatentsError
from dualsafe.judges import Verdict
from dualsafe.pipelines.turns import its_turn

PROMPTS = ["a pirate in a park", "a man with a knife"]
FAST = {"num_inference_steps": 6, "output_type": "np", "policy": "picto", "scope": "words"}
SEEN, CLEAR = Verdict(True, 0.9, ("knife",)), Verdict(False, 0.1)


def calling(model: torch.nn.Module) -> list[int]:
    """Batch sizes of a module's calls from now on."""
    sizes: list[int] = []
    model.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    return sizes


# Decoded pixels


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [{}, {"verify": lambda images: [False] * len(images)}, {"safety_level": 0}])
def test_a_decoder_that_gives_no_numbers_gives_no_picture(value, options):
    pipe = dual_of(tiny.stable_diffusion())
    torch.nn.init.constant_(pipe.vae.decoder.conv_out.bias, value)
    with pytest.raises(NonFiniteLatentsError, match=r"infinite pixels for sample \d"):
        pipe(PROMPTS, **options, **FAST)


def test_a_preview_of_no_numbers_is_not_shown_to_a_judge_as_black():
    pipe, shown = dual_of(tiny.stable_diffusion()), []
    torch.nn.init.constant_(pipe.vae.decoder.conv_out.bias, torch.nan)
    with pytest.raises(NonFiniteLatentsError):
        pipe(PROMPTS[0], preview=lambda images: shown.append(images) or [False], **FAST)
    assert not shown


# Interruption


def interrupt_at(step: int):
    def callback(pipe, i, timestep, tensors):
        pipe._interrupt = pipe._interrupt or i == step
        return tensors

    return callback


def test_an_interrupt_ends_a_verified_call_and_withholds(seeds):
    pipe = dual_of(tiny.stable_diffusion())
    calls, asked = calling(pipe.unet), []
    stop = {"callback_on_step_end": interrupt_at(2), "generator": seeds(1, 2)}
    output = pipe(PROMPTS, verify=lambda images: asked.append(images) or [False] * 2, **stop, **FAST)
    assert [report.withheld for report in output.safety] == [True, True] and output.images.max() == 0
    assert not asked and len(calls) <= 2 * 3  # three steps, each at most one call a branch


def test_an_interrupt_before_the_preview_withholds_what_it_was_to_see(seeds):
    pipe = dual_of(tiny.stable_diffusion())
    asked = []
    stop = {"callback_on_step_end": interrupt_at(1), "generator": seeds(1, 2)}
    settings = MethodSettings(tau=0.0, preview=0.9)
    output = pipe(PROMPTS, preview=lambda i: asked.append(i) or [False], settings=settings, **stop, **FAST)
    assert [report.withheld for report in output.safety] == [True, False] and not asked
    assert output.images[0].max() == 0 and output.images[1].max() > 0


def test_an_interrupt_while_a_picture_is_drawn_again_withholds_it(seeds):
    pipe, passes = dual_of(tiny.stable_diffusion()), []

    def second_pass(pipe, i, timestep, tensors):
        passes.append(i)
        pipe._interrupt = pipe._interrupt or (len(passes) > 6 and i == 3)
        return tensors

    def judge(images):
        return [SEEN] + [CLEAR] * (len(images) - 1)

    stop = {"callback_on_step_end": second_pass, "generator": seeds(1, 2)}
    output = pipe(["a cat", PROMPTS[0]], verify=judge, settings=MethodSettings(tau=0.0), **stop, **FAST)
    assert [report.withheld for report in output.safety] == [True, False]
    assert output.safety[0].tries == 1 and len(passes) <= 12


def test_an_interrupt_between_passes_starts_no_other(seeds):
    pipe = dual_of(tiny.stable_diffusion())
    calls = calling(pipe.unet)

    def judge(images):
        pipe._interrupt = True
        return [SEEN] * len(images)

    output = pipe(PROMPTS[0], verify=judge, generator=seeds(1), **FAST)
    assert output.safety[0].withheld and len(calls) == 6


def test_a_preview_that_cuts_a_pass_short_is_no_interrupt(seeds):
    pipe = dual_of(tiny.stable_diffusion())
    output = pipe(PROMPTS[0], preview=lambda images: [SEEN], verify=lambda images: [False], generator=seeds(1), **FAST)
    assert (output.safety[0].withheld, output.safety[0].tries) == (False, 1)
    late = {"settings": MethodSettings(tau=0.0, preview=0.99), "generator": seeds(1)}
    output = pipe(PROMPTS[0], preview=lambda images: [SEEN], **late, **FAST)
    assert (output.safety[0].withheld, output.safety[0].tries) == (False, 1)
    pipe._interrupt = True  # left over from a call that was stopped
    assert not pipe(PROMPTS[0], verify=lambda images: [False], generator=seeds(1), **FAST).safety[0].withheld


# Calls in calls


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DPMSolverMultistepScheduler])
def test_a_pipeline_from_pipe_may_be_called_inside_a_call(scheduler, seeds):
    outer = dual_of(tiny.stable_diffusion())
    outer.scheduler = scheduler.from_config(outer.scheduler.config)
    inner = DualLatentPipeline.from_pipe(outer)
    inner.set_progress_bar_config(disable=True)
    alone = [outer(PROMPTS[1], generator=seeds(1), **FAST).images, inner("a cat", generator=seeds(2), **FAST).images]
    inside = []

    def nested(pipe, i, timestep, tensors):
        if i == 2:
            inside.append(inner("a cat", generator=seeds(2), **FAST).images)
        return tensors

    around = outer(PROMPTS[1], generator=seeds(1), callback_on_step_end=nested, **FAST).images
    assert np.array_equal(around, alone[0]) and np.array_equal(inside[0], alone[1])


def test_a_call_inside_its_own_call_says_what_to_do(tiny_dual):
    def calls(pipe, i, timestep, tensors):
        pipe("a cat", **FAST)

    def makes_another(pipe, i, timestep, tensors):
        DualLatentPipeline.from_pipe(pipe)  # of stand-ins

    for nested in (calls, makes_another):
        with pytest.raises(RuntimeError, match=r"make another before the call, DualLatentPipeline\.from_pipe\(pipe\)"):
            tiny_dual(PROMPTS[1], callback_on_step_end=nested, **FAST)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_in_mid_call_can_call(tiny_dual):
    begun, go_on = threading.Event(), threading.Event()

    def holds():
        with its_turn(tiny_dual):
            begun.set()
            go_on.wait(30)

    thread = threading.Thread(target=holds)
    thread.start()
    assert begun.wait(30)
    child = os.fork()
    if child == 0:  # nothing of torch in here: a turn is all that could hang
        with its_turn(tiny_dual):
            os._exit(17)
    ended = threading.Event()
    status: list[int] = []

    def waits():
        status.append(os.waitpid(child, 0)[1])
        ended.set()

    threading.Thread(target=waits, daemon=True).start()
    came_back = ended.wait(20)
    if not came_back:
        os.kill(child, 9)
    go_on.set()
    thread.join()
    assert came_back and os.waitstatus_to_exitcode(status[0]) == 17
