"""A task's prompts, read a row at a time, with notes of what was changed or left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import TaskError
from ..picto.prompts import PromptCase
from ..picto.world import ITEMS
from .rows import Notes, PromptRow, RowReader, entries
from .source import Filter, column_of, hash_of_prompts
from .tables import Table, hash_of, hub_table, open_table
from .tasks import Task


@dataclass
class Counts:
    """Rows of one pass.

    Attributes:
        read: rows of the data.
        filtered: of another category than the task's.
        skipped: without a prompt that can be drawn.
        original: the task's prompts: read - filtered - skipped.
        prompts: those within the limit.
    """

    read: int = 0
    filtered: int = 0
    skipped: int = 0
    original: int = 0
    prompts: int = 0


class Prompts:
    """A task's prompts.

    Attributes:
        task: the task.
        data_hash: SHA-256 of the file, or of the prompts where they don't come from a file.
        limit: at most so many prompts are given; the others are counted.
        counts: rows of the last pass; whole once it has come to its end.
    """

    def __init__(
        self,
        task: Task,
        data_hash: str,
        read: Callable[[Notes, Counts], Iterator[PromptRow]],
        columns: dict[str, str],
        limit: int | None,
    ):
        self.task, self.data_hash, self.limit = task, data_hash, limit
        self.counts = Counts()
        self._read, self._columns, self._notes = read, columns, Notes()

    @property
    def rows(self) -> Iterator[PromptRow]:
        """A pass from the first row on.

        Raises:
            TaskError: not one row has a prompt, or the file can't be read on.
        """
        counts, notes = self.counts, self._notes = Counts(), Notes()
        for row in self._read(notes, counts):
            counts.original += 1
            if self.limit is None or counts.original <= self.limit:
                counts.prompts += 1
                yield row
            notes.closed = self.limit is not None and counts.original >= self.limit
        if not counts.original:
            raise TaskError(
                f"task {self.task.name!r} has no prompt left of {counts.read} rows: {'; '.join(self.notes)}"
            )

    @property
    def notes(self) -> list[str]:
        """Which columns were read, and what the last pass changed or left out, with row numbers."""
        columns = ", ".join(f"{field} from {name!r}" for field, name in self._columns.items())
        return ([f"columns: {columns}"] if columns else []) + self._notes.lines()


def read_task(task: Task, file: Path | None = None, limit: int | None = None) -> Prompts:
    """A task's prompts, after checks of everything that it pins.

    Args:
        file: the data of a task with columns; without it they are read by `datasets`, if the task names a dataset.
        limit: at most so many prompts.

    Raises:
        TaskError: a hash isn't the pinned one, a mapped column isn't there, no data were given, or they can't be read.
    """
    if limit is not None and limit < 1:
        raise TaskError(f"limit={limit} must be at least 1")
    task.check()
    if task.picto:
        if file is not None:
            raise TaskError(f"task {task.name!r} writes its own prompts, file={str(file)!r} would not be read")
        cases = task.picto.cases()
        found = hash_of_prompts(case.prompt for case in cases)
        return Prompts(task, found, lambda notes, counts: _of_picto(cases, task, counts), {}, limit)
    source = task.columns
    assert source is not None  # a task without picto has columns
    table = _table(task, file)
    columns = source.found_in(table)
    found = hash_of(file) if file else hash_of_prompts(_prompts(table, columns["prompt"]))
    task.check_data(found, table.source)
    keep = _Keep(task.filter, table, source.separator)
    reader = partial(RowReader, columns, source.separator, task.guidance_scale)
    return Prompts(task, found, partial(_of_table, table, keep, reader), columns, limit)


def _table(task: Task, file: Path | None) -> Table:
    if file is not None:
        return open_table(file)
    if task.dataset is None:
        raise TaskError(f"task {task.name!r} needs a file: none is shipped, and it names no dataset")
    return hub_table(task.dataset.id, task.dataset.split, task.dataset.revision)


def _prompts(table: Table, column: str) -> Iterator[str]:
    return (str(row[column]) for row in table.rows([column]) if isinstance(row, dict))


def _of_picto(cases: list[PromptCase], task: Task, counts: Counts) -> Iterator[PromptRow]:
    for number, case in enumerate(cases, 1):
        counts.read += 1
        truth = {attribute: getattr(case.scene, attribute) for attribute in ("setting", "subject", "colour", "item")}
        category = ITEMS[case.scene.item].category
        yield PromptRow(
            id=f"row-{number}",
            prompt=case.prompt,
            categories=(category,) if category else (),
            guidance_scale=task.guidance_scale,
            number=number,
            truth=truth,
        )


class _Keep:
    """Which rows are the task's."""

    def __init__(self, wanted: Filter | None, table: Table, separator: str):
        self.column = column_of(wanted.column, "filter", table) if wanted else None
        self.entry = wanted.contains.casefold() if wanted else ""
        self.separator = separator

    def __call__(self, cells: dict[str, Any]) -> bool:
        if self.column is None:
            return True
        return self.entry in (entry.casefold() for entry in entries(cells.get(self.column), self.separator))


def _of_table(
    table: Table, keep: _Keep, make_reader: Callable[[Notes], RowReader], notes: Notes, counts: Counts
) -> Iterator[PromptRow]:
    reader = make_reader(notes)
    wanted = {*reader.columns.values(), *([keep.column] if keep.column else [])}
    for number, cells in enumerate(table.rows(list(wanted)), 1):
        counts.read += 1
        if isinstance(cells, str):
            notes.add(f"row {cells}, left out", number)
            counts.skipped += 1
        elif not keep(cells):
            counts.filtered += 1
        elif row := reader.read(number, cells):
            yield row
        else:
            counts.skipped += 1
