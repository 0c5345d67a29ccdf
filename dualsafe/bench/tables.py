"""Rows of CSV, JSONL and parquet files, and of what `datasets` reads, without holding them in memory."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import TaskError
from ..files import sha256_of
from ..optional import needed

LONGEST_CELL = 131_072
"""Characters of a CSV cell; a row with a longer one cannot be read."""
csv.field_size_limit(1 << 28)  # of the module: its own limit refuses the whole file
Row = dict[str, Any] | str
"""Column -> cell, or why the row cannot be read."""


@dataclass(frozen=True)
class Table:
    """Named columns, and rows that are read anew each time.

    Attributes:
        source: what errors call it.
        rows: given the columns that are wanted, their rows.
    """

    source: str
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Iterator[Row]]


def open_table(path: Path) -> Table:
    """A file's table, by its suffix.

    Raises:
        TaskError: missing, not of its format, or of another format than .csv, .tsv, .jsonl or .parquet.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise TaskError(f"{path} is not one of {', '.join(_FORMATS)}")
    columns, rows = _FORMATS[suffix]
    return Table(str(path), columns(path), partial(rows, path))


def hash_of(path: Path) -> str:
    """The file's SHA-256, hex.

    Raises:
        TaskError: it cannot be read.
    """
    with _reading(path):
        return sha256_of(path)


def hub_table(name: str, split: str, revision: str | None) -> Table:
    """A dataset of the hub, or a folder, as `datasets` reads it.

    Raises:
        TaskError: it cannot be loaded.
    """
    datasets = needed("datasets", "bench")
    try:
        data = datasets.load_dataset(name, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise TaskError(f"dataset {name!r} cannot be loaded, give its file instead: {error}") from error
    return Table(f"dataset {name!r}", tuple(data.column_names), lambda wanted: iter(data.select_columns(list(wanted))))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is not UTF-8 text") from error


def _cells(path: Path) -> Iterator[list[str]]:
    with _reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        # strict: an unclosed quote would swallow rows without a word
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            raise TaskError(f"{path} is not CSV, line {reader.line_num}: {error}") from error


def _csv_columns(path: Path) -> tuple[str, ...]:
    """
    Raises:
        TaskError: a name twice, so that nobody knows which is meant.
    """
    names = tuple(name.strip() for name in next(_cells(path), []))
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise TaskError(f"{path} has two columns called {twice[0]!r}: rename one")
    return names


def _csv_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    columns = _csv_columns(path)
    rows = _cells(path)
    next(rows, None)
    for cells in rows:
        if any(cells[len(columns) :]):
            yield f"has more than {len(columns)} cells"
        elif (longest := max(map(len, cells))) > LONGEST_CELL:
            yield f"has a cell of {longest} characters, over {LONGEST_CELL}"
        else:
            yield {name: cell for name, cell in zip(columns, cells) if name in wanted}


def _objects(path: Path) -> Iterator[Row]:
    with _reading(path), path.open("rb") as file:
        for line in file:
            if line.strip():
                yield _object(line)


def _object(line: bytes) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON"
    return found if isinstance(found, dict) else "is not a JSON object"


def _jsonl_columns(path: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in _objects(path) if isinstance(row, dict) for name in row))


def _jsonl_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    return _objects(path)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    parquet, arrow = needed("pyarrow.parquet", "bench"), needed("pyarrow", "bench")
    try:
        with _reading(path), parquet.ParquetFile(path) as file:
            yield file
    except arrow.ArrowException as error:
        raise TaskError(f"{path} is not parquet: {error}") from error


def _parquet_columns(path: Path) -> tuple[str, ...]:
    with _parquet(path) as file:
        return tuple(file.schema_arrow.names)


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    with _parquet(path) as file:
        for batch in file.iter_batches(columns=list(wanted)):
            yield from batch.to_pylist()


_FORMATS: dict[str, tuple[Callable[[Path], tuple[str, ...]], Callable[[Path, Sequence[str]], Iterator[Row]]]] = {
    ".csv": (_csv_columns, _csv_rows),
    ".tsv": (_csv_columns, _csv_rows),
    ".jsonl": (_jsonl_columns, _jsonl_rows),
    ".parquet": (_parquet_columns, _parquet_rows),
}
