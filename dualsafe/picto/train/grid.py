"""Pictures in a grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image


def save_grid(images: torch.Tensor, path: Path, columns: int) -> None:
    """Writes (N, 3, H, W) pictures in [-1, 1] row by row; N a multiple of `columns`."""
    sheet = rearrange(images.float().cpu(), "(r c) k h w -> (r h) (c w) k", c=columns)
    pixels = ((sheet.clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    Image.fromarray(pixels).save(path)
