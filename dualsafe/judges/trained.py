"""A guard trained on pairs, as a judge: a vision tower and a linear head."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Head:
    """What training gave: the logit of a picture being unsafe is linear in its features.

    Attributes:
        weight, bias: (F,) and (), on the CPU.
    """

    weight: Tensor
    bias: Tensor


class GuardJudge:
    """Judges by the probability of unsafe that a trained head gives.

    Args:
        tower: what the head was trained on.
        about: what is to be known of the guard: its policy, data and learner; kept in its config.
        threshold: probability from which a picture is unsafe.
    """

    def __init__(self, tower: Tower, head: Head, about: dict[str, Any] | None = None, threshold: float = 0.5):
        self._tower, self._threshold, self.about = tower, threshold, about or {}
        self._digest, self._head = tower.digest(), head
        marks = hashlib.sha256(self._digest.encode() + save(vars(head)))
        self.name = f"guard:{Path(tower.spec).name}:{marks.hexdigest()[:8]}@{threshold:g}"

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str = "cpu") -> GuardJudge:
        """The guard that `save_pretrained` wrote to a folder.

        Raises:
            CheckpointError: no such guard, or its tower is not there, or is another one than it was trained on.
        """
        try:
            config = json.loads((Path(path) / CONFIG).read_text(encoding="utf-8"))
            head = Head(**load_file(Path(path) / WEIGHTS))
            spec, digest, threshold = (config[key] for key in ("features", "tower", "threshold"))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(f"{path} holds no trained guard: {error}") from error
        tower = load_tower(spec, device)
        if tower.digest() != digest:
            raise CheckpointError(f"{path} was trained on features {digest}, but {spec} is now {tower.digest()}")
        return cls(tower, head, config["about"], threshold)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes the head, and a config that names the tower, to a folder."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"features": self._tower.spec, "tower": self._digest, "threshold": self._threshold}
        write_whole(folder / WEIGHTS, lambda file: file.write(save(vars(self._head))))
        write_json(folder / CONFIG, config | {"about": self.about})

    @torch.no_grad()
    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture; the score is the probability of unsafe."""
        if not images:
            return []
        features = torch.from_numpy(self._tower.features(images))
        scores = (features @ self._head.weight + self._head.bias).sigmoid().tolist()
        return [Verdict(not score < self._threshold, score) for score in scores]  # so that NaN is unsafe
