"""What editors of existing pictures share: a picture at the model's size, its round trip, two sides by one mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ... import method
from ...errors import PairsError
from ..pair import Job
from ..pictures import fitted, load_picture


@dataclass(frozen=True)
class Existing:
    """A job whose picture is read, RGB and of a size that the model takes."""

    job: Job
    picture: Image.Image
    instruction: str | None = None


def existing(job: Job, side: int, multiple: int, instruction: str | None = None) -> Existing:
    """The job's picture at about side x side pixels.

    Raises:
        PairsError: it has none, or one that cannot be taken.
    """
    if job.image is None:
        raise PairsError(f"{job.pair_id} has no picture, which this editor needs")
    return Existing(job, fitted(load_picture(job.image), side, multiple), instruction)


def size_of(each: Existing) -> tuple[int, int]:
    return each.picture.size


@torch.no_grad()
def round_trip(pipe: Any, pictures: list[Image.Image], upcast: bool = False) -> Tensor:
    """Pictures of one size after the autoencoder, without noise: (N, 3, H, W) in [-1, 1].

    Args:
        upcast: in float32 where the autoencoder overflows in half precision and says so (`force_upcast`).
    """
    vae = pipe.vae
    upcast = upcast and vae.dtype == torch.float16 and vae.config.force_upcast
    if upcast:
        vae.to(torch.float32)
    try:
        pixels = pipe.image_processor.preprocess(pictures).to(pipe._execution_device, vae.dtype)
        return vae.decode(vae.encode(pixels).latent_dist.mode(), return_dict=False)[0].clamp(-1, 1)
    finally:
        if upcast:
            vae.to(torch.float16)


def sides(
    pipe: Any, original: Tensor, edited: Tensor, mask: Tensor
) -> list[tuple[Image.Image, Image.Image, Image.Image]]:
    """Original, edited side and mask "L" of each sample: the original's own pixels where the mask is 0.

    Args:
        original, edited: (N, 3, H, W) in [-1, 1].
        mask: (N, 1, H, W); over 0 where the sides may differ.
    """
    edited = method.composite(edited.to(original), original, mask)
    both = [pipe.image_processor.postprocess(each, output_type="pil") for each in (original, edited)]
    areas = (mask[:, 0] > 0).cpu().numpy()
    return list(zip(*both, [Image.fromarray(area).convert("L") for area in areas]))


def changed(original: Tensor, edited: Tensor, cell: int, floor: float) -> Tensor:
    """Where two pictures differ, (N, 1, H, W): found as between two branches, but in pixels, by cells.

    Args:
        original, edited: (N, 3, H, W) in [-1, 1], sides in multiples of `cell`.
        cell: pixels of a cell's side; the autoencoder's own factor.
        floor: mean difference of a cell from which it counts as changed; as low as its half where all of it is faint.
    """
    difference = F.avg_pool2d(method.difference(edited.float(), original.float()), cell)
    return F.interpolate(method.difference_mask(difference, floor, floor / 2), scale_factor=cell, mode="nearest")
