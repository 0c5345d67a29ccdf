"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from typing import ClassVar

from diffusers import StableDiffusion3Pipeline

from .dual import DualLatentMixin


class DualLatentSD3Pipeline(DualLatentMixin, StableDiffusion3Pipeline):
    """`StableDiffusion3Pipeline` whose pictures are safe."""

    denoiser_name = "transformer"
    embeds = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    refused: ClassVar = {"skip_guidance_layers": "its extra denoiser call has one branch only: leave it None"}
