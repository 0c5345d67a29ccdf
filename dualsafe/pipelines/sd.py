"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline

from .dual import DualLatentMixin

NO_CROP = {"padding_mask_crop": "isn't supported: crop the picture and paste the result yourself"}


class DualLatentPipeline(DualLatentMixin, StableDiffusionPipeline):
    """`StableDiffusionPipeline` whose pictures are safe."""


class DualLatentImg2ImgPipeline(DualLatentMixin, StableDiffusionImg2ImgPipeline):
    """`StableDiffusionImg2ImgPipeline` whose pictures are safe: also to make an existing picture safe."""


class DualLatentInpaintPipeline(DualLatentMixin, StableDiffusionInpaintPipeline):
    """`StableDiffusionInpaintPipeline` whose pictures are safe."""

    refused = NO_CROP
