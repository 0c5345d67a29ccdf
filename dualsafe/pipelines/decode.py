"""Latents to pixels, with the stock pipelines' own operations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor


def decode(vae: Any, latents: Tensor, steps: Collection[str] = (), generator: Any = None) -> Tensor:
    """(N, C, h, w) latents to (N, 3, H, W) in [-1, 1], in the order of operations of diffusers.

    Args:
        vae: an `AutoencoderKL` or what takes its place.
        steps: what the stock pipeline does about it, see `CallPattern.decoding`.
        generator: for an autoencoder that draws noise.
    """
    upcast = "upcast" in steps and vae.dtype == torch.float16 and vae.config.force_upcast
    mean, std = (vae.config.get(f"latents_{name}") if "mean" in steps else None for name in ("mean", "std"))
    told = {"generator": generator} if "generator" in steps else {}
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
        if "shift" in steps:
            latents = latents + vae.config.shift_factor
        return vae.decode(latents, return_dict=False, **told)[0]
    finally:
        if upcast:
            vae.to(torch.float16)
