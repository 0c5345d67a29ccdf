"""What every export does alike: from which run, into which folder, and pictures as PNG."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import PairsError
from ..card import write_card
from ..layout import Layout
from ..spec import STATS, read_run
from ..tally import Tally


@contextmanager
def exporting(run: Path, out: Path, layout: Layout) -> Iterator[tuple[Path, Tally]]:
    """A folder to fill, and a tally to keep of what goes into it; then it gets its card and its name.

    Nothing stays behind if anything fails.

    Raises:
        OSError: it can't be written; names `out`.
        PairsError: `run` is no finished run, `out` is there already and not an empty folder, or nothing was tallied.
    """
    about, stats = read_run(run), _stats_of(run)
    out = out.resolve()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise PairsError(f"{out} is there already: choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        tally = Tally()
        yield partial, tally
        if not tally.pairs:
            raise PairsError(f"{run} holds no pair that goes into {layout.name}")
        write_card(partial, stats, about, layout, tally)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        said = error.strerror or str(error)
        raise OSError(
            error.errno, f"{out} can't be written, and nothing of it is there: {said}; make room, and export again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _stats_of(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / STATS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PairsError(f"{run} isn't finished: resume it, then export it") from error
    except ValueError as error:
        raise PairsError(f"{run / STATS} is damaged: the run's own command with --resume writes it again") from error
