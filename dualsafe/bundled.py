"""Where the bundled checkpoint lies: inside an installed package, beside it in a source checkout."""

from __future__ import annotations

import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent

PICTO: str = str(
    next((p for p in (_HERE / "weights/picto", _HERE.parent / "weights/picto") if p.is_dir()), _HERE / "weights/picto")
)
"""Folder of the bundled picto checkpoint, for `from_pretrained`."""
NAMES = ("picto", "dualsafe/picto")
"""What it may be called: the second like a checkpoint of the hub."""


def found(source: str | os.PathLike) -> str | os.PathLike:
    """A checkpoint's folder where the bundled one is meant, else `source` as it is."""
    return PICTO if str(source) in NAMES and not (Path(source) / "model_index.json").is_file() else source
