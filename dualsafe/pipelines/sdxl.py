"""Stable Diffusion XL."""

from __future__ import annotations

from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline

from .dual import DualLatentMixin
from .sd import NO_CROP

_EMBEDS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class DualLatentXLPipeline(DualLatentMixin, StableDiffusionXLPipeline):
    """`StableDiffusionXLPipeline` whose pictures are safe."""

    embeds = _EMBEDS
    upcasts_vae = True


class DualLatentXLImg2ImgPipeline(DualLatentMixin, StableDiffusionXLImg2ImgPipeline):
    """`StableDiffusionXLImg2ImgPipeline` whose pictures are safe: also to make an existing picture safe."""

    embeds = _EMBEDS
    upcasts_vae = True


class DualLatentXLInpaintPipeline(DualLatentMixin, StableDiffusionXLInpaintPipeline):
    """`StableDiffusionXLInpaintPipeline` whose pictures are safe."""

    embeds = _EMBEDS
    upcasts_vae = True
    refused = NO_CROP
