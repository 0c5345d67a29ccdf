"""Rendered scenes with their masks, made once and kept on disk."""

from __future__ import annotations

import random
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..render import render
from ..scene import Scene, random_scene
from ..world import SIZE

CHUNK = 500


@dataclass(frozen=True)
class Dataset:
    """Scenes with their pictures.

    Attributes:
        images: uint8 (N, 3, 64, 64).
        masks: bool (N, 64, 64), the item's exact mask.
        scenes: the N scenes.
    """

    images: torch.Tensor
    masks: torch.Tensor
    scenes: list[Scene]


def scenes(seed: int, count: int) -> list[Scene]:
    """`count` training scenes; the first n of a longer list are the same as a shorter list's."""
    chunks = range((count + CHUNK - 1) // CHUNK)
    return [s for c in chunks for s in _chunk_scenes(seed, c)][:count]


def _chunk_scenes(seed: int, chunk: int) -> list[Scene]:
    rng = random.Random(f"picto/{seed}/{chunk}")
    return [random_scene(rng) for _ in range(CHUNK)]


def _render_chunk(job: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    drawn = [render(scene) for scene in _chunk_scenes(*job)]
    return np.stack([d.image for d in drawn]), np.stack([d.item_mask for d in drawn])


def dataset(cache: Path, seed: int, count: int, workers: int = 2) -> Dataset:
    """Renders (or reads from `cache`) `count` training scenes of `seed`."""
    if count % CHUNK:
        raise ValueError(f"count={count} must be a multiple of {CHUNK}")
    drawn = scenes(seed, count)
    world = zlib.crc32(repr(drawn).encode())  # another world's pictures fit no captions of this one
    path = cache / f"scenes_{seed}_{count}_{world:08x}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        jobs = [(seed, chunk) for chunk in range(count // CHUNK)]
        with ProcessPoolExecutor(workers) as pool:
            parts = list(tqdm(pool.map(_render_chunk, jobs), total=len(jobs), desc="render", unit="chunk"))
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, images=np.concatenate([p[0] for p in parts]), masks=np.concatenate([p[1] for p in parts]))
        partial.rename(path)
    arrays = np.load(path)
    images = torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2).contiguous()
    assert images.shape[1:] == (3, SIZE, SIZE)
    return Dataset(images, torch.from_numpy(arrays["masks"]), drawn)


def to_model(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 pictures to floats in [-1, 1] on `device`."""
    return images.to(device).float() / 127.5 - 1
