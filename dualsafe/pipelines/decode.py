"""Latents to pixels, with the stock pipelines' own operations."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor


def decode(vae: AutoencoderKL, latents: Tensor, upcast: bool = False) -> Tensor:
    """(N, C, h, w) latents to (N, 3, H, W) in [-1, 1], in the order of operations of diffusers.

    Args:
        upcast: decode in float32 where the autoencoder overflows in half precision and says so (`force_upcast`).
    """
    upcast = upcast and vae.dtype == torch.float16 and vae.config.force_upcast
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if upcast:
        vae.to(torch.float32)
    try:
        latents = latents.to(vae.dtype)
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1)
            latents = latents * torch.tensor(std).view(shape).to(latents) / vae.config.scaling_factor
            latents = latents + torch.tensor(mean).view(shape).to(latents)
        else:
            latents = latents / vae.config.scaling_factor
        if (shift := vae.config.get("shift_factor")) is not None:
            latents = latents + shift
        return vae.decode(latents, return_dict=False)[0]
    finally:
        if upcast:
            vae.to(torch.float16)
