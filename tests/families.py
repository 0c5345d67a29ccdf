"""Every family of pipelines, tiny, with what its calls need: the contract suite runs over these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import tiny
from diffusers import DiffusionPipeline
from PIL import Image

from dualsafe import AutoDualLatentPipeline
from dualsafe.pipelines.dual import DualLatentMixin

UNSAFE = ["a man with a knife", "a cat holding a bomb"]
SAFE = ["a man with a flower", "a cat holding a balloon"]


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
        return pipe(prompts, **{"num_inference_steps": 4, "output_type": "np"} | each | more)

    def images(self, pipe: DiffusionPipeline, prompts: list[str], **more: Any) -> np.ndarray:
        return self.call(pipe, prompts, **more).images


def _of(stock: type[DiffusionPipeline], make: Callable[[], DiffusionPipeline]) -> Callable[[], DiffusionPipeline]:
    return lambda: tiny.quiet(stock.from_pipe(make()))


_SIZE = {"height": 16, "width": 16}
_IMAGE = {"image": _pictures(), "strength": 0.8, "num_inference_steps": 5}
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
    "sd3": Family(tiny.stable_diffusion_3, _SIZE, flow=True),
    "flux": Family(tiny.flux, _SIZE, flow=True),
    "flux-schnell": Family(lambda: tiny.flux(distilled=False), _SIZE, flow=True),
    "flux-true-cfg": Family(tiny.flux, _SIZE | {"negative_prompt": ["ugly", "dark"], "true_cfg_scale": 3.0}, flow=True),
}


def dual_of(stock: DiffusionPipeline) -> DualLatentMixin:
    return tiny.quiet(AutoDualLatentPipeline.from_pipe(stock))
