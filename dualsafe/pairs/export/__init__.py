"""A run's pairs in forms that other libraries open: one a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import PairsError
from ...files import partial_of
from ..card import write_card
from ..layout import Layout
from ..read import StoredPair, read_index, read_pairs
from ..spec import DAMAGED, STATS, read_run
from ..tally import Tally
from . import dpo, imagefolder, parquet

__all__ = ["FORMATS", "export"]

FORMATS: dict[str, tuple[Layout, Callable[[Iterator[StoredPair], Path], None]]] = {
    "imagefolder": (imagefolder.LAYOUT, imagefolder.write),
    "parquet": (parquet.LAYOUT, parquet.write),
    "dpo": (dpo.LAYOUT, dpo.write),
}
"""Name -> how the files hold pairs, and what writes pairs into a folder."""


def export(folder: str | Path, out: str | Path, format: str = "parquet") -> None:
    """Writes a finished run's pairs to a new folder, with a card; nothing is there until all of it is.

    Args:
        format: one of FORMATS.

    Raises:
        PairsError: an unknown format, no finished run, `out` is there already and not an empty folder, or no pair goes
            into this format.
        OSError: it cannot be written; names `out`.
        ImportError: `datasets`, pyarrow or jinja2 is not installed.
    """
    if format not in FORMATS:
        raise PairsError(f"format={format!r} is not one of {', '.join(FORMATS)}")
    layout, write = FORMATS[format]
    folder, out = Path(folder), Path(out).resolve()
    run, stats = read_run(folder), _stats_of(folder)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise PairsError(f"{out} is there already: choose another folder")
    tally = Tally(filter(layout.takes, read_index(folder)))
    if not tally.pairs:
        raise PairsError(f"{folder} holds no pair that goes into {layout.name}")
    partial = partial_of(out)
    try:
        partial.mkdir(parents=True)
        write((pair for pair in read_pairs(folder) if layout.takes(pair.row)), partial)
        write_card(partial, stats, run, tally, layout)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        said = f"{out} cannot be written, and nothing of it is there: {error.strerror or error}"
        raise OSError(error.errno, f"{said}; make room, and export again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _stats_of(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / STATS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PairsError(f"{run} is not finished: resume it, then export it") from error
    except ValueError as error:
        raise PairsError(f"{run / STATS} is damaged: {DAMAGED}") from error
