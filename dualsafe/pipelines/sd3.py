"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from typing import Any, ClassVar

from diffusers import StableDiffusion3Pipeline

from ..conditions import Stream
from .dual import DualLatentMixin


class DualLatentSD3Pipeline(DualLatentMixin, StableDiffusion3Pipeline):
    """`StableDiffusion3Pipeline` whose pictures are safe."""

    denoiser_name = "transformer"
    embeds = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    refused: ClassVar = {"skip_guidance_layers": "its extra denoiser call has one branch only: leave it None"}

    def _streams(self, given: dict[str, Any]) -> list[Stream]:
        end = self.tokenizer_max_length
        streams = [self._stream(given, self.tokenizer, slice(end))]
        return (
            streams
            if self.text_encoder_3 is None
            else [*streams, self._stream(given, self.tokenizer_3, slice(end, None))]
        )
