"""Where the bundled checkpoint lies: inside an installed package, beside it in a source checkout."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

PICTO: str = str(
    next((p for p in (_HERE / "weights/picto", _HERE.parent / "weights/picto") if p.is_dir()), _HERE / "weights/picto")
)
"""Folder of the bundled picto checkpoint, for `from_pretrained`."""
