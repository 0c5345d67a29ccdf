"""A task's prompts, read a row at a time, with notes of what was changed or left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import TaskError
from ..picto.prompts import PromptCase
from ..picto.world import ITEMS
from .rows import Notes, PromptRow, RowReader, entries
from .source import column_of, hash_of_prompts
from .tables import Table, hash_of, hub_table, open_table
from .tasks import Task


class Prompts:
    """A task's prompts.

    Attributes:
        task: the task.
        data_hash: SHA-256 of the file, or of the prompts where they do not come from a file.
    """

    def __init__(
        self,
        task: Task,
        data_hash: str,
        read: Callable[[Notes], Iterator[PromptRow]],
        columns: dict[str, str],
        limit: int | None,
    ):
        self.task, self.data_hash = task, data_hash
        self._read, self._columns, self._limit, self._notes = read, columns, limit, Notes()

    @property
    def rows(self) -> Iterator[PromptRow]:
        """A pass from the first row on, up to the limit.

        Raises:
            TaskError: not one row has a prompt, or the file cannot be read on.
        """
        notes = self._notes = Notes()
        found = False
        for row in islice(self._read(notes), self._limit):
            found = True
            yield row
        if not found:
            raise TaskError(f"task {self.task.name!r} has no prompt: {'; '.join(self.notes)}")

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
        TaskError: a hash is not the pinned one, a mapped column is not there, no data given, or they cannot be read.
    """
    if limit is not None and limit < 1:
        raise TaskError(f"limit={limit} must be at least 1")
    task.check()
    if task.picto:
        if file is not None:
            raise TaskError(f"task {task.name!r} writes its own prompts, file={str(file)!r} would not be read")
        cases = task.picto.cases()
        return Prompts(task, hash_of_prompts(c.prompt for c in cases), lambda notes: _of_picto(cases, task), {}, limit)
    table, source = _table(task, file), task.columns
    assert source is not None  # a task without picto has columns
    columns = source.found_in(table)
    found = hash_of(file) if file else hash_of_prompts(_prompts(table, columns["prompt"]))
    task.check_data(found, table.source)
    category = column_of(task.filter.column, "filter", table) if task.filter else None

    def read(notes: Notes) -> Iterator[PromptRow]:
        reader = RowReader(columns, source.separator, task.guidance_scale, notes)
        for number, cells in enumerate(table.rows(list({*columns.values(), *filter(None, [category])})), 1):
            if isinstance(cells, str):
                notes.add(f"row {cells}, left out", number)
            elif _is_meant(task, cells.get(category or ""), source.separator) and (row := reader.read(number, cells)):
                yield row

    return Prompts(task, found, read, columns, limit)


def _table(task: Task, file: Path | None) -> Table:
    if file is not None:
        return open_table(file)
    if task.dataset is None:
        raise TaskError(f"task {task.name!r} needs a file: none is shipped, and it names no dataset")
    return hub_table(task.dataset.id, task.dataset.split, task.dataset.revision)


def _is_meant(task: Task, cell: Any, separator: str) -> bool:
    """Whether a row with this cell in the filter's column is the task's."""
    if task.filter is None:
        return True
    return task.filter.contains.casefold() in (entry.casefold() for entry in entries(cell, separator))


def _prompts(table: Table, column: str) -> Iterator[str]:
    return (str(row[column]) for row in table.rows([column]) if isinstance(row, dict))


def _of_picto(cases: list[PromptCase], task: Task) -> Iterator[PromptRow]:
    for number, case in enumerate(cases, 1):
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
