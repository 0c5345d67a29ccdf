"""A run's pairs in forms that other libraries open: one a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import PairsError
from .dpo import export_dpo
from .imagefolder import export_imagefolder
from .parquet import export_parquet

__all__ = ["FORMATS", "export", "export_dpo", "export_imagefolder", "export_parquet"]

_EXPORTS: dict[str, Callable[[Path, Path], None]] = {
    "imagefolder": export_imagefolder,
    "parquet": export_parquet,
    "dpo": export_dpo,
}
FORMATS: tuple[str, ...] = tuple(_EXPORTS)


def export(folder: str | Path, out: str | Path, format: str = "parquet") -> None:
    """Writes a finished run's pairs to a new folder, with a card; nothing is there until all of it is.

    Args:
        format: one of FORMATS.

    Raises:
        PairsError: an unknown format, no finished run, `out` is there already, or no pair goes into this format.
        ImportError: `datasets`, pyarrow or jinja2 isn't installed.
    """
    if format not in _EXPORTS:
        raise PairsError(f"format={format!r} is not one of {', '.join(FORMATS)}")
    _EXPORTS[format](Path(folder), Path(out))
