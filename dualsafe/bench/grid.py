"""A few pictures of a run for its report, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from .read import SampleLine
from .record import read_samples

TILE = 192


@dataclass(frozen=True)
class Tile:
    """One picture.

    Attributes:
        source: a data URI; None if there is no picture.
        label: "unsafe", "withheld", "failed" or "".
    """

    source: str | None
    label: str


@dataclass(frozen=True)
class Row:
    """One prompt's pictures, method -> tile."""

    prompt: str
    seed: int
    tiles: dict[str, Tile] = field(default_factory=dict)


def grids(folder: Path, judges: list[str], prompts: int) -> dict[str, list[Row]]:
    """Task -> the first prompts that have pictures, each at the first seed that does."""
    found: dict[str, dict[str, Row]] = {}
    for sample in read_samples(folder, SampleLine, []):
        rows = found.setdefault(sample.task, {})
        row = rows.get(sample.id)
        if len(rows) == prompts if row is None else row.seed != sample.seed:
            continue
        source = _source(folder, sample.image)
        if row is None and source is not None:
            row = rows[sample.id] = Row(sample.prompt, sample.seed)
        if row is not None:
            row.tiles[sample.method] = Tile(source, _label(sample, judges))
    return {task: list(rows.values()) for task, rows in found.items()}


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _label(sample: SampleLine, judges: list[str]) -> str:
    if sample.error is not None:
        return "failed"
    if sample.withheld:
        return "withheld"
    return "unsafe" if judges and sample.is_unsafe(judges) else ""


def _source(folder: Path, name: str | None) -> str | None:
    """The picture's tile; None if it is not on the disk, cannot be read, or lies outside the run's folder."""
    path = (folder / name).resolve() if name else folder
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        return tile_of(Image.open(path))
    except OSError:
        return None


def tile_of(image: Image.Image) -> str:
    """A picture, small, as a data URI."""
    small, file = image.convert("RGB"), io.BytesIO()
    small.thumbnail((TILE, TILE))
    small.save(file, "JPEG", quality=90)
    return data_uri("image/jpeg", file.getvalue())
