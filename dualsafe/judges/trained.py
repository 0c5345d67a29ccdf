"""A guard trained on pairs, as a judge: a vision tower and a linear head."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import CheckpointError
from ..files import write_json, write_whole
from .judge import Verdict
from .vision import Tower, load_tower

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_TOWER = "tower."


@dataclass(frozen=True)
class Head:
    """What training gave.

    Attributes:
        weight, bias: (F,) and (); the logit of a picture being unsafe is linear in its features.
        tower: those of the tower's parameters that were trained too, name -> value.
    """

    weight: Tensor
    bias: Tensor
    tower: dict[str, Tensor] = field(default_factory=dict)

    def logits(self, tower: Tower, pixels: Tensor) -> Tensor:
        """Logits (N,) of pixels."""
        features = tower(pixels, self.tower)
        return features @ self.weight.to(features.device) + self.bias.to(features.device)

    def tensors(self) -> dict[str, Tensor]:
        trained = {_TOWER + name: value for name, value in self.tower.items()}
        return {name: value.detach().cpu().contiguous() for name, value in trained.items()} | {
            "weight": self.weight.cpu(),
            "bias": self.bias.cpu(),
        }


class GuardJudge:
    """Judges by the probability of unsafe that a trained head gives.

    Args:
        tower: what the head was trained on.
        about: what is to be known of the guard: its policy, data and learner; kept in its config.
        threshold: probability from which a picture is unsafe.
    """

    def __init__(self, tower: Tower, head: Head, about: dict[str, Any] | None = None, threshold: float = 0.5):
        self._tower, self._threshold, self.about = tower, threshold, about or {}
        self._digest = tower.digest()
        self._head = Head(head.weight, head.bias, {n: v.to(tower.model.device) for n, v in head.tower.items()})
        marks = hashlib.sha256(self._digest.encode() + save(head.tensors()))
        self.name = f"guard:{Path(tower.spec).name}:{marks.hexdigest()[:8]}@{threshold:g}"

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str = "cpu") -> GuardJudge:
        """The guard that `save_pretrained` wrote to a folder.

        Raises:
            CheckpointError: no such guard, or its tower isn't there, or is another one than it was trained on.
        """
        try:
            config = json.loads((Path(path) / CONFIG).read_text(encoding="utf-8"))
            tensors = load_file(Path(path) / WEIGHTS)
            weight, bias = tensors.pop("weight"), tensors.pop("bias")
            spec, digest, threshold = (config[key] for key in ("features", "tower", "threshold"))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise CheckpointError(f"{path} holds no trained guard: {error}") from error
        tower = load_tower(spec, device)
        if tower.digest() != digest:
            raise CheckpointError(f"{path} was trained on features {digest}, but {spec} is now {tower.digest()}")
        head = Head(weight, bias, {name.removeprefix(_TOWER): value for name, value in tensors.items()})
        return cls(tower, head, config["about"], threshold)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the head, with what of the tower was trained, and a config that names the tower, to a folder."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"features": self._tower.spec, "tower": self._digest, "threshold": self._threshold}
        write_whole(folder / WEIGHTS, lambda file: file.write(save(self._head.tensors())))
        write_json(folder / CONFIG, config | {"about": self.about})

    @torch.no_grad()
    def verdicts(self, images: list[Image.Image], batch_size: int = 32) -> list[Verdict]:
        """One verdict a picture; the score is the probability of unsafe."""
        scores: list[float] = []
        for start in range(0, len(images), batch_size):
            pixels = self._tower.pixels(images[start : start + batch_size])
            scores += self._head.logits(self._tower, pixels).sigmoid().tolist()
        return [Verdict(not score < self._threshold, score) for score in scores]  # so that NaN is unsafe
