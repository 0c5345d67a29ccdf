"""Vision towers by name: what trained guards read a picture's features with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..bundled import PICTO
from .models import load_model, pixel_batches

FORMS = ("picto-clip", "clip:PATH", "vision:PATH")


class Tower:
    """A vision model of transformers, never changed.

    The features are the model's pooled output, which for CLIP comes before the projection, as in CLIP's own linear
    probes (Radford et al., arXiv 2103.00020, A.3); the mean token where a model has none.

    Args:
        model: takes `pixel_values`.
        image_processor: the model's.
        spec: what `load_tower` found it by.
    """

    def __init__(self, model: Any, image_processor: Any, spec: str):
        self.model, self.spec = model.eval().requires_grad_(False), spec
        self._processor = image_processor

    @torch.no_grad()
    def features(self, images: list[Image.Image]) -> NDArray[np.float32]:
        """Features of pictures, (N, F)."""
        parts = []
        for pixels in pixel_batches(images, self._processor, self.model):
            output = self.model(pixel_values=pixels)
            pooled = getattr(output, "pooler_output", None)
            seen = output.last_hidden_state.mean(1) if pooled is None else pooled.flatten(1)
            parts.append(seen.float().cpu().numpy())
        return np.concatenate(parts)

    def digest(self) -> str:
        """16 hex digits that stand for the model's weights."""
        found = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            found.update(name.encode())
            found.update(value.cpu().numpy().tobytes())
        return found.hexdigest()[:16]


def load_tower(spec: str, device: str = "cpu") -> Tower:
    """The tower that a text of one of `FORMS` names, in single precision.

    Args:
        spec: "clip:PATH" is the vision side of a CLIP checkpoint, "vision:PATH" any other vision model.

    Raises:
        ValueError: none of these forms.
        CheckpointError: it cannot be loaded, or lacks weights.
    """
    from transformers import AutoImageProcessor

    kind, _, path = spec.partition(":")
    if spec == "picto-clip":
        kind, path = "clip", str(Path(PICTO) / "clip")
    if kind not in _LOADERS or not path:
        raise ValueError(f"features {spec!r} must be one of: {', '.join(FORMS)}")
    model = _LOADERS[kind](path, device)
    return Tower(model, AutoImageProcessor.from_pretrained(path), spec)


def _clip(path: str, device: str) -> Any:
    from transformers import CLIPModel

    return load_model(CLIPModel, path, device, dtype=torch.float32).vision_model


def _vision(path: str, device: str) -> Any:
    from transformers import AutoModel

    try:  # a classifier's checkpoint has no pooling layer, which would be a random one
        return load_model(AutoModel, path, device, dtype=torch.float32, add_pooling_layer=False)
    except TypeError:  # this architecture has no such choice
        return load_model(AutoModel, path, device, dtype=torch.float32)


_LOADERS = {"clip": _clip, "vision": _vision}
