"""What a denoiser is trained on: batches of latents under fresh captions, and where the item is to be looked for."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from ..captions import TRAINING, caption
from ..scene import Scene
from ..subjects import HAND
from ..world import ITEMS, SIZE
from .data import Dataset
from .loop import Run

BATCH = 32
FACTOR = 4  # pixels a latent, each way
DROPPED_CAPTIONS = {False: 0.12, True: 0.01}
"""By whether the scene is unsafe: of pictures without words few are, as in what real models are trained on. Negative
prompts and safety concepts are set against what the model draws without words."""
SLOT_WEIGHT = 4.0


@dataclass(frozen=True)
class Batch:
    """
    Attributes:
        latents: (n, 4, 16, 16), scaled.
        noise: (n, 4, 16, 16).
        texts: the n captions, some of them empty.
        weights: (n, 1, 16, 16), of the loss.
        items: (n,), the place of each scene's item in ITEMS.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    texts: list[str]
    weights: torch.Tensor
    items: torch.Tensor


class Batches:
    """Draws batches of scaled `latents` (N, 4, 16, 16), one for each scene of `data`, always the same for a seed.

    Attributes:
        generator: for whatever else a step draws.
    """

    def __init__(self, run: Run, data: Dataset, latents: torch.Tensor) -> None:
        self._device, self._scenes, self._latents = run.device, data.scenes, latents
        self._items = torch.tensor([list(ITEMS).index(scene.item) for scene in data.scenes])
        self._weights = slot_weights(data.scenes, data.masks)
        self._rng, self.generator = random.Random(run.seed), torch.Generator().manual_seed(run.seed)

    def next(self) -> Batch:
        rows = torch.randint(len(self._latents), (BATCH,), generator=self.generator)
        drawn = [self._scenes[i] for i in rows.tolist()]
        dropped = [self._rng.random() < DROPPED_CAPTIONS[scene.unsafe] for scene in drawn]
        texts = ["" if drop else caption(scene, self._rng, TRAINING) for scene, drop in zip(drawn, dropped)]
        latents = self._latents[rows]
        noise = torch.randn(latents.shape, generator=self.generator)
        tensors = (latents, noise, self._weights[rows], self._items[rows])
        latents, noise, weights, items = (x.to(self._device) for x in tensors)
        return Batch(latents, noise, texts, weights, items)


class ItemReader(torch.nn.Module):
    """A linear reader that names the item from a denoiser's features at the hand; dropped once the denoiser is trained.

    Where noise hides the item only the caption tells it, so reading it there makes attention carry the item's word to
    its place, which the pixels' error alone is slow to teach (compare REPA, arXiv 2410.06940).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.named = torch.nn.Linear(channels, len(ITEMS))

    def forward(self, features: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The error of naming the items from `features` (n, channels, 8, 8), over the captions that are not empty."""
        place = F.avg_pool2d(batch.weights - 1, 2)
        logits = self.named((features * place).sum((2, 3)) / place.sum((2, 3))).float()
        told = torch.tensor([bool(text) for text in batch.texts])
        return F.cross_entropy(logits[told], batch.items[told])


class WithReader(torch.nn.Module):
    """A denoiser with a reader of its features, which is dropped later.

    Args:
        block: a part of the denoiser whose output is read.
        features: gives (n, channels, 8, 8) from what it returns.
    """

    def __init__(
        self, denoiser: torch.nn.Module, block: torch.nn.Module, channels: int, features: Callable[[Any], torch.Tensor]
    ) -> None:
        super().__init__()
        self.denoiser, self.reader = denoiser, ItemReader(channels)
        self._hook = block.register_forward_hook(self._keep)
        self._features = features

    def _keep(self, block: torch.nn.Module, args: tuple, output: Any) -> None:
        self._seen = self._features(output)

    def forward(self, batch: Batch, *told: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The prediction (n, 4, 16, 16) for what the denoiser is told, and the reader's error."""
        predicted = self.denoiser(*told).sample
        return predicted, self.reader(self._seen, batch)

    def dropped(self) -> torch.nn.Module:
        """The denoiser without its reader."""
        self._hook.remove()
        return self.denoiser


def slot_weights(scenes: list[Scene], masks: torch.Tensor) -> torch.Tensor:
    """Loss weights (N, 1, 16, 16): more where an item is held, whether one is held or not, or covers the subject.

    Weighing the hand of every scene, empty ones too, keeps the model from preferring an item to none.
    """
    weights = torch.ones(len(scenes), 1, SIZE // FACTOR, SIZE // FACTOR)
    for i, scene in enumerate(scenes):
        x = (25 + scene.x + HAND[0] * scene.scale) / FACTOR
        y = (32 + scene.y + HAND[1] * scene.scale) / FACTOR
        weights[i, 0, int(y - 3.2) : int(y + 3.7), int(x - 3) : int(x + 3.7)] = SLOT_WEIGHT
    worn = torch.tensor([ITEMS[scene.item].worn for scene in scenes])
    covered = F.max_pool2d(masks[worn][:, None].float(), FACTOR)
    weights[worn] = torch.maximum(weights[worn], 1 + (SLOT_WEIGHT - 1) * covered)
    return weights
