"""What the adapters of transformers' models share: loading, pixels, a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from ..errors import CheckpointError


def load_model(kind: Any, path: str | Path, device: str, **options: Any) -> Any:
    """The model of class `kind` in a checkpoint's safetensors, ready to judge.

    Raises:
        CheckpointError: it cannot be loaded, or lacks weights, which would be random ones.
    """
    try:
        model, report = kind.from_pretrained(path, use_safetensors=True, output_loading_info=True, **options)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be loaded as {kind.__name__}: {str(error).splitlines()[0]}") from error
    if report["missing_keys"]:
        raise CheckpointError(f"{path} is no {kind.__name__}; it lacks {', '.join(sorted(report['missing_keys'])[:3])}")
    return model.eval().to(device)


def pixel_batches(images: list[Image.Image], processor: Any, model: Any, batch_size: int = 16) -> Iterator[Tensor]:
    """The pixels (n, 3, H, W) that a transformers image processor makes of pictures, on the model's device."""
    for start in range(0, len(images), batch_size):
        batch = [image.convert("RGB") for image in images[start : start + batch_size]]
        yield processor(batch, return_tensors="pt").pixel_values.to(model.device, model.dtype)


def model_name(kind: str, model: Any, variant: str = "") -> str:
    """What a judge is called: kind:folder, the revision where the hub gave one, and @variant."""
    revision = getattr(model.config, "_commit_hash", None)
    parts = [kind, Path(model.config.name_or_path).name, revision[:8] if revision else ""]
    return ":".join(part for part in parts if part) + (f"@{variant}" if variant else "")
