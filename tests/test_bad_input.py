"""Bad calls get an error that names the argument; broken numbers never become a picture."""

from __future__ import annotations

import pytest
import tiny
import torch
from conftest import dual_of

from dualsafe import MethodSettings, NonFiniteLatentsError

FAST = {"num_inference_steps": 3, "output_type": "np"}
PROMPT = "a man with a knife"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": []}, "prompt=\\[\\]"),
        ({"prompt": ["a man", 3]}, "prompt\\[1\\]=3"),
        ({"prompt": 7}, "prompt"),
        ({}, "prompt"),
        ({"prompt": PROMPT, "safety_level": 1.5}, "safety_level=1.5"),
        ({"prompt": PROMPT, "safety_level": float("nan")}, "safety_level=nan"),
        ({"prompt": PROMPT, "safety_level": "extreme"}, "safety_level='extreme'"),
        ({"prompt": [PROMPT] * 2, "safety_level": [0.5]}, "safety_level has 1"),
        ({"prompt": [PROMPT] * 2, "safe_prompt": ["a man"]}, "safe_prompt has 1"),
        ({"prompt": [PROMPT] * 2, "safe_prompt": "a man"}, "safe_prompt is one string"),
        ({"prompt": PROMPT, "safe_prompt": [3]}, "safe_prompt\\[0\\]=3"),
        ({"prompt": PROMPT, "safe_prompt": 3}, "safe_prompt=3"),
        ({"prompt": PROMPT, "safe_prompt": "a", "safe_prompt_embeds": torch.zeros(1, 48, 32)}, "both given"),
        ({"prompt": PROMPT, "safe_prompt_embeds": torch.zeros(1, 7, 32)}, "safe_prompt_embeds has \\(7, 32\\)"),
        ({"prompt": PROMPT, "safe_prompt_embeds": torch.zeros(48, 32)}, "safe_prompt_embeds must be"),
        ({"prompt": PROMPT, "safe_prompt_embeds": torch.full((1, 48, 32), torch.nan)}, "safe_prompt_embeds has NaN"),
        ({"prompt_embeds": torch.zeros(1, 48, 32)}, "prompt_embeds carry no text"),
        ({"prompt_embeds": torch.full((1, 48, 32), torch.nan), "safety_level": 0}, "prompt_embeds has NaN"),
        ({"prompt": PROMPT, "height": 17, "width": 16}, "divisible by 8"),
        ({"prompt": PROMPT, "height": 16}, "give both or neither"),
        ({"prompt": PROMPT, "height": 0, "width": 16}, "height=0"),
        ({"prompt": PROMPT, "height": 16, "width": 30}, "divisible by 8"),
        ({"prompt": PROMPT, "num_images_per_prompt": 0}, "num_images_per_prompt=0"),
        ({"prompt": PROMPT, "num_inference_steps": 0}, "num_inference_steps=0"),
        ({"prompt": PROMPT, "output_type": "jpeg"}, "output_type='jpeg'"),
        ({"prompt": PROMPT, "output_type": "latent", "settings": MethodSettings(composite=True)}, "no pixels"),
        ({"prompt": PROMPT, "latents": torch.zeros(1, 4, 4, 4)}, "latents has shape \\(1, 4, 4, 4\\)"),
        ({"prompt": PROMPT, "latents": torch.full((1, 4, 8, 8), torch.nan)}, "latents has NaN"),
        ({"prompt": PROMPT, "generator": [torch.Generator()] * 3}, "generator has 3"),
        ({"prompt": PROMPT, "clip_skip": 1}, "clip_skip=1"),
        (
            {"prompt": PROMPT, "negative_prompt": "a", "negative_prompt_embeds": torch.zeros(1, 48, 32)},
            "negative_prompt",
        ),
    ],
)
def test_each_bad_argument_is_named(tiny_dual, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_dual(**(FAST | arguments))


def test_an_unknown_argument_is_refused(tiny_dual):
    with pytest.raises(TypeError, match="safety_lvl"):
        tiny_dual(PROMPT, safety_lvl=0.5, **FAST)


def test_nan_in_the_latents_gives_no_picture():
    pipe = dual_of(tiny.stable_diffusion())
    torch.nn.init.constant_(pipe.unet.conv_out.bias, torch.nan)
    with pytest.raises(NonFiniteLatentsError, match="sample 0"):
        pipe(PROMPT, **FAST)
    with pytest.raises(NonFiniteLatentsError):
        pipe("a man", **FAST)


def test_a_callback_that_breaks_the_safe_branch_gives_no_picture(tiny_dual):
    def breaks(pipe, step, timestep, tensors):
        tensors["latents"][1] = torch.inf
        return tensors

    with pytest.raises(NonFiniteLatentsError):
        tiny_dual(PROMPT, callback_on_step_end=breaks, **FAST)


def test_an_interrupt_before_the_safe_branch_started_gives_no_picture(tiny_dual):
    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = True
        return tensors

    with pytest.raises(ValueError, match="nothing was made safe"):
        settings = MethodSettings(tau=0.4)
        tiny_dual(PROMPT, callback_on_step_end=stop, settings=settings, **(FAST | {"num_inference_steps": 20}))


def test_after_a_call_that_raised_the_pipeline_is_as_before(tiny_dual):
    unet = tiny_dual.unet
    with pytest.raises(RuntimeError, match="stop"):
        tiny_dual(PROMPT, callback_on_step_end=lambda *_: (_ for _ in ()).throw(RuntimeError("stop")), **FAST)
    assert tiny_dual.unet is unet
