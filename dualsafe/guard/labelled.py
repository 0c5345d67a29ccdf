"""Pictures with labels that others have made, in the columns of SafeEditBench, UnsafeBench, LlavaGuard and CoProV2."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..bench.rows import missing
from ..bench.tables import open_table
from ..errors import PairsError
from ..optional import needed

EDITED = "_edited"
"""What the edited picture's name has at its end: x.jpg and x_edited.jpg are a pair."""
_LABELS = {"safe": False, "unsafe": True, "0": False, "1": True}


@dataclass(frozen=True)
class Labelled:
    """A picture and what it is held to be.

    Attributes:
        name: the same for the same picture under another policy.
        unsafe: the label.
        policy_name, policy: under which it holds, by name and in words; "" where the set has one policy, unnamed.
        category: of what is in it, or of the prompt it was drawn for; "" for none.
        pair: shared by the two sides of a pair; "" for a picture by itself.
    """

    name: str
    picture: Image.Image
    unsafe: bool
    policy_name: str = ""
    policy: str = ""
    category: str = ""
    pair: str = ""


def read_labelled(path: str | Path) -> Iterator[Labelled]:
    """The pictures of a table (.parquet, .csv, .tsv or .jsonl), by the columns that it has:

    | set | columns |
    |---|---|
    | SafeEditBench | image, image_path, safety_label, policy_name, policy; pairs are x.jpg and x_edited.jpg |
    | UnsafeBench | image, safety_label, category, source, text |
    | LlavaGuard | image, rating, category, and policy if there is one |
    | CoProV2 | jpg_0, jpg_1, label_0 (1: the first is the safe one), caption: a pair a row |

    A picture is bytes, as `datasets` stores it, or a path relative to the table. Labels are safe and unsafe in any case
    of letters, or 0 and 1; numbers of a class are named as the parquet's own features say.

    Raises:
        PairsError: a table of none of these, or a row without a picture or label that can be read; names the row.
        TaskError: the file cannot be read.
    """
    path = Path(path)
    table = open_table(path)
    found = next((reader for columns, reader in _FORMS if columns <= {*table.columns}), None)
    if found is None:
        wanted = "; ".join(", ".join(sorted(columns)) for columns, _ in _FORMS)
        raise PairsError(f"{path} has the columns {', '.join(table.columns)}; needed are: {wanted}")
    names = _class_names(path)
    for number, row in enumerate(table.rows(table.columns), 1):
        if isinstance(row, str):
            raise PairsError(f"{path}, row {number} {row}")
        try:
            cells = {name: _named(names, name, cell) for name, cell in row.items()}
            yield from found(cells, f"{path.stem}/row-{number}", path.parent)
        except (KeyError, ValueError, OSError, UnidentifiedImageError) as error:
            raise PairsError(f"{path}, row {number}: {error}") from error


def _by_safety_label(row: dict[str, Any], place: str, folder: Path) -> Iterator[Labelled]:
    file, name, pair = _text(row, "image_path"), place, ""
    if file:
        stem = PurePath(file).stem
        name, pair = file, str(PurePath(file).with_name(stem.removesuffix(EDITED)))
    picture = _picture(row["image"] if row.get("image") is not None else file, folder)
    about = {key: _text(row, key) for key in ("policy_name", "policy", "category")}
    yield Labelled(name, picture, _unsafe(row["safety_label"]), pair=pair, **about)


def _by_rating(row: dict[str, Any], place: str, folder: Path) -> Iterator[Labelled]:
    name, about = _text(row, "id") or place, {key: _text(row, key) for key in ("policy", "category")}
    yield Labelled(name, _picture(row["image"], folder), _unsafe(row["rating"]), **about)


def _by_preference(row: dict[str, Any], place: str, folder: Path) -> Iterator[Labelled]:
    first_is_safe = _unsafe(row["label_0"])  # 1: preferred
    for side in (0, 1):
        picture, about = _picture(row[f"jpg_{side}"], folder), _text(row, "category")
        yield Labelled(f"{place}/{side}", picture, first_is_safe == bool(side), category=about, pair=place)


_FORMS: list[tuple[set[str], Callable[[dict[str, Any], str, Path], Iterator[Labelled]]]] = [
    ({"jpg_0", "jpg_1", "label_0"}, _by_preference),
    ({"image", "safety_label"}, _by_safety_label),
    ({"image_path", "safety_label"}, _by_safety_label),
    ({"image", "rating"}, _by_rating),
]


def _text(row: dict[str, Any], column: str) -> str:
    return "" if missing(row.get(column)) else str(row[column])


def _unsafe(label: Any) -> bool:
    """
    Raises:
        ValueError: neither safe nor unsafe.
    """
    said = str(label).strip().casefold()
    if said not in _LABELS:
        raise ValueError(f"label {label!r} must be one of {', '.join(_LABELS)}")
    return _LABELS[said]


def _picture(cell: Any, folder: Path) -> Image.Image:
    """
    Raises:
        ValueError: a cell without a picture.
        OSError: one that cannot be read.
    """
    content = cell.get("bytes") or cell.get("path") if isinstance(cell, dict) else cell
    if missing(content):
        raise ValueError("no picture")
    source = io.BytesIO(content) if isinstance(content, bytes) else folder / str(content)
    with Image.open(source) as image:
        return image.convert("RGB")


def _class_names(path: Path) -> dict[str, list[str]]:
    """Column -> names of its classes, of a parquet file that `datasets` wrote."""
    if path.suffix.lower() != ".parquet":
        return {}
    about = needed("pyarrow.parquet", "bench").read_schema(path).metadata or {}
    features = json.loads(about.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {name: each["names"] for name, each in features.items() if isinstance(each, dict) and "names" in each}


def _named(names: dict[str, list[str]], column: str, cell: Any) -> Any:
    known = names.get(column, [])
    return known[cell] if isinstance(cell, int) and 0 <= cell < len(known) else cell
