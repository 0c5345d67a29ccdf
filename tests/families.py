"""Every family of pipelines, tiny, with what its calls need: the contract suite runs over these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny
from diffusers import DiffusionPipeline
from PIL import Image

from dualsafe import AutoDualLatentPipeline, MethodSettings
from dualsafe.pipelines.dual import DualLatentMixin

UNSAFE = ["a man with a knife", "a cat holding a bomb"]
SAFE = ["a man with a flower", "a cat holding a balloon"]
STEPS = 3
WHOLE = MethodSettings(tau=0.0, mask_floor=None)
OF_THE_SAME_CALLS = {
    "sd1", "sd-inpaint", "xl-img2img", "xl-inpaint", "sd-controlnet", "sd-controlnet-img2img", "xl-controlnet-img2img",
    "sd3-img2img", "sd3-inpaint", "flux", "flux-schnell", "flux-img2img", "flux-2",
}  # fmt: skip
"""Families whose denoiser another one's loop calls alike: most of the contract runs on them where slow tests run."""


def _pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    return [Image.fromarray(picture) for picture in noise]


def _masks() -> list[Image.Image]:
    half = np.where(np.arange(256).reshape(16, 16) > 100, 255, 0).astype(np.uint8)
    return [Image.fromarray(half)] * 2


@dataclass(frozen=True)
class Family:
    """A stock pipeline and the arguments that its calls need beside the usual ones."""

    make: Callable[[], DiffusionPipeline]
    options: dict[str, Any] = field(default_factory=dict)
    flow: bool = False

    def call(self, pipe: DiffusionPipeline, prompts: list[str], **more: Any) -> Any:
        """A short call on a picture of 16x16; options that hold one entry a prompt are cut to the prompts."""
        each = {k: v[: len(prompts)] if isinstance(v, list) else v for k, v in self.options.items()}
        told = {"num_inference_steps": STEPS, "output_type": "np"} | each | more
        told = {k: list(v) if isinstance(v, list) else v for k, v in told.items()}  # Z-Image writes into them
        return pipe(prompt=list(prompts), **told)

    def images(self, pipe: DiffusionPipeline, prompts: list[str], **more: Any) -> np.ndarray:
        return self.call(pipe, prompts, **more).images


def _of(stock: type[DiffusionPipeline], make: Callable[[], DiffusionPipeline]) -> Callable[[], DiffusionPipeline]:
    return lambda: tiny.quiet(stock.from_pipe(make()))


def _controlled(stock: type[DiffusionPipeline], make: Callable[[], DiffusionPipeline]) -> Callable:
    def controlled() -> DiffusionPipeline:
        pipe = make()
        return tiny.quiet(stock.from_pipe(pipe, controlnet=tiny.controlnet(pipe.unet)))

    return controlled


_SIZE = {"height": 16, "width": 16}
_IMAGE = {"image": _pictures(), "strength": 0.8, "num_inference_steps": 4}
_CONTROL = _SIZE | {"image": _pictures()}
_CONTROL_IMAGE = _IMAGE | {"control_image": _pictures()[::-1]} | _SIZE
_SHORT = {"max_sequence_length": 48}
_LAYERS = _SHORT | {"text_encoder_out_layers": (1, 2, 3)}
_BINNED = _SHORT | {"use_resolution_binning": False, "clean_caption": False}
_INPAINT = _IMAGE | _SIZE | {"mask_image": _masks()}

FAMILIES: dict[str, Family] = {
    "sd1": Family(tiny.stable_diffusion, _SIZE),
    "sd2": Family(lambda: tiny.stable_diffusion("v_prediction"), _SIZE),
    "sd-img2img": Family(_of(diffusers.StableDiffusionImg2ImgPipeline, tiny.stable_diffusion), _IMAGE),
    "sd-inpaint": Family(_of(diffusers.StableDiffusionInpaintPipeline, tiny.stable_diffusion), _INPAINT),
    "sd-inpaint-9": Family(
        _of(diffusers.StableDiffusionInpaintPipeline, lambda: tiny.stable_diffusion(in_channels=9)), _INPAINT
    ),
    "xl": Family(tiny.stable_diffusion_xl, _SIZE),
    "xl-img2img": Family(_of(diffusers.StableDiffusionXLImg2ImgPipeline, tiny.stable_diffusion_xl), _IMAGE),
    "xl-inpaint": Family(_of(diffusers.StableDiffusionXLInpaintPipeline, tiny.stable_diffusion_xl), _INPAINT),
    "sd-controlnet": Family(_controlled(diffusers.StableDiffusionControlNetPipeline, tiny.stable_diffusion), _CONTROL),
    "sd-controlnet-img2img": Family(
        _controlled(diffusers.StableDiffusionControlNetImg2ImgPipeline, tiny.stable_diffusion), _CONTROL_IMAGE
    ),
    "xl-controlnet": Family(
        _controlled(diffusers.StableDiffusionXLControlNetPipeline, tiny.stable_diffusion_xl), _CONTROL
    ),
    "xl-controlnet-img2img": Family(
        _controlled(diffusers.StableDiffusionXLControlNetImg2ImgPipeline, tiny.stable_diffusion_xl), _CONTROL_IMAGE
    ),
    "sd3": Family(tiny.stable_diffusion_3, _SIZE | _SHORT, flow=True),
    "sd3-img2img": Family(
        _of(diffusers.StableDiffusion3Img2ImgPipeline, tiny.stable_diffusion_3), _IMAGE | _SIZE | _SHORT, flow=True
    ),
    "sd3-inpaint": Family(
        _of(diffusers.StableDiffusion3InpaintPipeline, lambda: tiny.stable_diffusion_3(channels=16)),
        _INPAINT | _SHORT,
        flow=True,
    ),
    "flux": Family(tiny.flux, _SIZE | _SHORT, flow=True),
    "flux-schnell": Family(lambda: tiny.flux(distilled=False), _SIZE | _SHORT, flow=True),
    "flux-true-cfg": Family(
        tiny.flux, _SIZE | _SHORT | {"negative_prompt": ["ugly", "dark"], "true_cfg_scale": 3.0}, flow=True
    ),
    "flux-img2img": Family(_of(diffusers.FluxImg2ImgPipeline, tiny.flux), _IMAGE | _SIZE | _SHORT, flow=True),
    "flux-inpaint": Family(_of(diffusers.FluxInpaintPipeline, tiny.flux), _INPAINT | _SHORT, flow=True),
    "chroma": Family(tiny.chroma, _SIZE | _SHORT, flow=True),
    "pixart-sigma": Family(tiny.pixart_sigma, _SIZE | _BINNED),
    "sana": Family(tiny.sana, _BINNED | {"height": 32, "width": 32, "complex_human_instruction": None}, flow=True),
    "aura-flow": Family(tiny.aura_flow, _SIZE | _SHORT, flow=True),
    "lumina-2": Family(tiny.lumina_2, {"height": 32, "width": 32, "system_prompt": "Draw:"} | _SHORT, flow=True),
    "qwen-image": Family(
        tiny.qwen_image, _SIZE | {"negative_prompt": ["ugly", "dark"], "max_sequence_length": 300}, flow=True
    ),
    "z-image": Family(tiny.z_image, _SIZE | _SHORT, flow=True),
    "flux-2": Family(tiny.flux_2, _SIZE | _LAYERS | {"max_sequence_length": 260}, flow=True),
    "flux-2-klein": Family(tiny.flux_2_klein, _SIZE | _LAYERS, flow=True),
}


def dual_of(stock: DiffusionPipeline) -> DualLatentMixin:
    return tiny.quiet(AutoDualLatentPipeline.from_pipe(stock))


def both_ends(family: Family, stock, dual, seeds, **more) -> None:
    """The pair's unsafe half is stock's picture, and level 1 without mask and shared phase is stock's safe picture."""
    unsafe = family.images(stock, UNSAFE, generator=seeds(1, 2), **more)
    safe = family.images(stock, SAFE, generator=seeds(1, 2), **more)
    options = {"safe_prompt": SAFE, "return_pair": True, "settings": WHOLE, "generator": seeds(1, 2)}
    pair = family.call(dual, UNSAFE, **options, **more)
    assert np.array_equal(pair.unsafe_images, unsafe)
    assert np.allclose(pair.images, safe, atol=1e-5) and not np.array_equal(safe, unsafe)


def every(slow: set[str]) -> list:
    """The names of all families, some only where slow tests run."""
    return [pytest.param(name, marks=pytest.mark.slow if name in slow else ()) for name in FAMILIES]


def in_turn(kinds: tuple) -> list:
    """Each family with one of `kinds`, in turn; with the others, and families of the same calls, if slow tests run."""
    return [
        pytest.param(
            name, kind, marks=() if i % len(kinds) == k and name not in OF_THE_SAME_CALLS else pytest.mark.slow
        )
        for i, name in enumerate(FAMILIES)
        for k, kind in enumerate(kinds)
    ]
