"""Flux.1, with distilled guidance and with true classifier-free guidance."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor

from ..conditions import Stream
from ..plan import Guidance
from .dual import DualLatentMixin


class DualLatentFluxPipeline(DualLatentMixin, FluxPipeline):
    """`FluxPipeline` whose pictures are safe.

    With `true_cfg_scale` over 1 the mask compares the branches' conditional predictions, times that scale.
    """

    denoiser_name = "transformer"
    timestep_scale = 1000.0
    embeds = ("prompt_embeds", "pooled_prompt_embeds", None)

    def _guidance(self, given: dict[str, Any]) -> Guidance:
        negative = given["negative_prompt"] is not None or given["negative_prompt_embeds"] is not None
        apart = negative and given["true_cfg_scale"] > 1
        return Guidance(given["true_cfg_scale"] if apart else 1.0, apart=apart)

    def _encode(self, given: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
        embeds = super()._encode(given, device)
        if self._guidance(given).apart:
            names = ("prompt", "prompt_2", "prompt_embeds", "pooled_prompt_embeds")
            negative = super()._encode(given | {name: given[f"negative_{name}"] for name in names}, device)
            embeds |= {f"negative_{name}": value for name, value in negative.items()}
        return embeds

    def _streams(self, given: dict[str, Any]) -> list[Stream]:
        return [self._stream(given, self.tokenizer_2, slice(None))]

    def _latent_shape(self, given: dict[str, Any], samples: int) -> tuple[int, ...]:
        rows, columns = self._grid(given)
        return samples, rows * columns, self.transformer.config.in_channels

    def _grid(self, given: dict[str, Any]) -> tuple[int, int]:
        """Rows and columns of 2x2 patches."""
        factor = self.vae_scale_factor * 2
        return given["height"] // factor, given["width"] // factor

    def _spatial(self, latents: Tensor, given: dict[str, Any]) -> Tensor:
        return self._unpack_latents(latents, given["height"], given["width"], self.vae_scale_factor)

    def _packed(self, latents: Tensor) -> Tensor:
        return self._pack_latents(latents, *latents.shape)
