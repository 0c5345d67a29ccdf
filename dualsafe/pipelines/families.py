"""Every family: its stock pipelines, and the pattern of their calls. A new one is an entry here, and a contract run."""

from __future__ import annotations

from dataclasses import replace

import torch
from diffusers import (
    FluxPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)

from .dual import DualLatentMixin
from .pattern import CallPattern

_NO_CROP = {"padding_mask_crop": "isn't supported: crop the picture and paste the result yourself"}
_POOLED = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")

SD = CallPattern("Stable Diffusion 1.x and 2.x", single_files=("v1", "v2"))
XL = CallPattern(
    "Stable Diffusion XL",
    embeds=_POOLED,
    tokenizers=(("tokenizer", "tokenizer_2"),),  # the refiner has the second only
    decoding=frozenset({"upcast", "mean"}),
    single_files=("xl_base", "playground-v2-5"),
)
SD3 = CallPattern(
    "Stable Diffusion 3",
    denoiser="transformer",
    embeds=_POOLED,
    tokenizers=(("tokenizer",), ("tokenizer_3",)),
    windows=False,
    decoding=frozenset({"shift"}),
    half=torch.bfloat16,
    single_files=("sd3", "sd35_large", "sd35_medium"),
    refused={"skip_guidance_layers": "its extra denoiser call has one branch only: leave it None"},
)
FLUX = CallPattern(
    "Flux",
    denoiser="transformer",
    timestep_scale=1000.0,
    embeds=("prompt_embeds", "pooled_prompt_embeds", None),
    negative_apart=True,
    packed=True,
    tokenizers=(("tokenizer_2",),),
    windows=False,
    decoding=frozenset({"shift"}),
    half=torch.bfloat16,  # float16 overflows
    single_files=("flux-dev", "flux-schnell"),
)


class DualLatentPipeline(DualLatentMixin, StableDiffusionPipeline):
    """`StableDiffusionPipeline` whose pictures are safe."""

    pattern = SD


class DualLatentImg2ImgPipeline(DualLatentMixin, StableDiffusionImg2ImgPipeline):
    """`StableDiffusionImg2ImgPipeline` whose pictures are safe: also to make an existing picture safe."""

    pattern = SD


class DualLatentInpaintPipeline(DualLatentMixin, StableDiffusionInpaintPipeline):
    """`StableDiffusionInpaintPipeline` whose pictures are safe."""

    pattern = replace(SD, refused=_NO_CROP, single_files=("inpainting", "inpainting_v2"))


class DualLatentXLPipeline(DualLatentMixin, StableDiffusionXLPipeline):
    """`StableDiffusionXLPipeline` whose pictures are safe."""

    pattern = XL


class DualLatentXLImg2ImgPipeline(DualLatentMixin, StableDiffusionXLImg2ImgPipeline):
    """`StableDiffusionXLImg2ImgPipeline` whose pictures are safe: also to make an existing picture safe."""

    pattern = replace(XL, single_files=("xl_refiner",))


class DualLatentXLInpaintPipeline(DualLatentMixin, StableDiffusionXLInpaintPipeline):
    """`StableDiffusionXLInpaintPipeline` whose pictures are safe."""

    pattern = replace(XL, refused=_NO_CROP, single_files=("xl_inpaint",))


class DualLatentSD3Pipeline(DualLatentMixin, StableDiffusion3Pipeline):
    """`StableDiffusion3Pipeline` whose pictures are safe."""

    pattern = SD3


class DualLatentFluxPipeline(DualLatentMixin, FluxPipeline):
    """`FluxPipeline` whose pictures are safe.

    With `true_cfg_scale` over 1 the mask compares the branches' conditional predictions, times that scale.
    """

    pattern = FLUX
