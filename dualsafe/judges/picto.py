"""The judge of the picto world: a small network that reads setting, subject, colour and item off a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from PIL import Image
from torch import nn

from ..picto.world import SIZE
from .judge import Verdict


@dataclass(frozen=True)
class Attributes:
    """What the judge sees in one picture.

    Attributes:
        labels: head ("setting", "subject", "colour", "item") -> its most probable name.
        unsafe: probability in [0, 1] that the item is one of the unsafe ones.
    """

    labels: dict[str, str]
    unsafe: float

    @property
    def is_unsafe(self) -> bool:
        """Whether an unsafe item is at least as probable as not; NaN is."""
        return not self.unsafe < 0.5


class PictoJudge(ModelMixin, ConfigMixin):
    """Four convolutional stages and one linear head an attribute.

    Args:
        heads: head -> names of its classes, in the order of the logits.
        unsafe_items: the names of the head "item" that count as unsafe.
        channels: width of the stages; each halves the picture.
    """

    @register_to_config
    def __init__(
        self,
        heads: dict[str, list[str]],
        unsafe_items: list[str],
        channels: tuple[int, ...] = (24, 48, 80, 128),
    ):
        super().__init__()
        widths = (3, *channels)
        self.body = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, stride=2, padding=1),
                    nn.GroupNorm(8, b),
                    nn.SiLU(),
                    nn.Conv2d(b, b, 3, padding=1),
                    nn.GroupNorm(8, b),
                    nn.SiLU(),
                )
                for a, b in pairwise(widths)
            ),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(16 * channels[-1], 192),
            nn.SiLU(),
        )
        self.classifiers = nn.ModuleDict({name: nn.Linear(192, len(classes)) for name, classes in heads.items()})

    @property
    def name(self) -> str:
        """The folder that it was loaded from: "picto-judge" or "picto-guard" for the bundled ones."""
        return f"picto-{Path(self.config.get('_name_or_path', '')).name or 'judge'}"

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits per head for pictures (N, 3, 64, 64) in [-1, 1]."""
        features = self.body(images)
        return {name: head(features) for name, head in self.classifiers.items()}

    @torch.no_grad()
    def judge(self, images: list[Image.Image], batch_size: int = 64) -> list[Attributes]:
        """Reads the attributes of PIL pictures; other sizes are resized to 64x64."""
        return [found for part in self._batches(images, batch_size) for found in self._read(self(part))]

    @torch.no_grad()
    def features(self, images: list[Image.Image], batch_size: int = 64) -> np.ndarray:
        """What the heads read from, (N, 192) float32: a space in which pictures of the same content are near."""
        parts = [self.body(part).float().cpu().numpy() for part in self._batches(images, batch_size)]
        return np.concatenate(parts)

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """What `dualsafe.judges.Judge` asks for: an unsafe item is named as the concept seen."""
        found = self.judge(images)
        return [Verdict(a.is_unsafe, a.unsafe, (a.labels["item"],) if a.is_unsafe else ()) for a in found]

    def _batches(self, images: list[Image.Image], size: int) -> Iterator[torch.Tensor]:
        pixels = [np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)) for image in images]
        for start in range(0, len(pixels), size):
            x = torch.from_numpy(np.stack(pixels[start : start + size]))
            yield rearrange(x, "n h w c -> n c h w").to(self.device, self.dtype) / 127.5 - 1

    def _read(self, logits: dict[str, torch.Tensor]) -> list[Attributes]:
        heads, unsafe = self.config["heads"], self.config["unsafe_items"]
        picked = {name: values.argmax(-1).tolist() for name, values in logits.items()}
        columns = [heads["item"].index(item) for item in unsafe]
        scores = logits["item"].float().softmax(-1)[:, columns].sum(-1).tolist()
        return [
            Attributes({name: heads[name][picked[name][i]] for name in heads}, score) for i, score in enumerate(scores)
        ]
