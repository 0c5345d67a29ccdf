"""Latents to pixels, with the stock pipelines' own operations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from einops import rearrange
from torch import Tensor


def decode(vae: Any, latents: Tensor, steps: Collection[str] = (), generator: Any = None) -> Tensor:
    """(N, C, h, w) latents to (N, 3, H, W) in [-1, 1], in the order of operations of diffusers.

    Args:
        vae: an `AutoencoderKL` or what takes its place.
        steps: what the stock pipeline does about it, see `CallPattern.decoding`.
        generator: for an autoencoder that draws noise.
    """
    upcast = "upcast" in steps and vae.dtype == torch.float16 and vae.config.force_upcast
    if "frame" in steps:
        return _of_one_frame(vae, latents.to(vae.dtype))
    if "batch_norm" in steps:
        latents = without_batch_norm(vae, latents)
        steps = {"finished"}
    if "finished" in steps:
        return vae.decode(latents.to(vae.dtype), return_dict=False)[0]
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


def without_batch_norm(vae: Any, latents: Tensor) -> Tensor:
    """(N, C, h, w) latents as the autoencoder decodes them, whose patches of 2x2 its statistics have normalised."""
    mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents)
    std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(latents)
    patches = rearrange(latents, "n c (h p) (w q) -> n (c p q) h w", p=2, q=2)
    return rearrange(patches * std + mean, "n (c p q) h w -> n c (h p) (w q)", p=2, q=2)


def _of_one_frame(vae: Any, latents: Tensor) -> Tensor:
    """A video's autoencoder on videos of one picture."""
    statistics = vae.config.latents_mean, vae.config.latents_std
    mean, std = (torch.tensor(each).view(1, -1, 1, 1, 1).to(latents) for each in statistics)
    video = latents.unsqueeze(2) / (1.0 / std) + mean
    return vae.decode(video, return_dict=False)[0][:, :, 0]
