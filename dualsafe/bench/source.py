"""Where a task's prompts come from: picto's grammar, or columns of a file or dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from ..errors import TaskError
from ..picto.prompts import PROMPT_SETS, PromptCase, prompt_set
from ..strict import Strict
from .tables import Table


def _set_name(name: str) -> str:
    if name not in PROMPT_SETS:
        raise ValueError(f"{name!r} is not one of {', '.join(PROMPT_SETS)}")
    return name


def _nothing_after_null(names: tuple[str | None, ...]) -> tuple[str | None, ...]:
    if None in names[:-1]:
        raise ValueError("null stands last: it accepts data without such a column")
    return names


_one_or_many = BeforeValidator(lambda names: (names,) if isinstance(names, str) else names)
Names = Annotated[tuple[str, ...], _one_or_many, Field(min_length=1)]
"""Column names, of which the first that the data have is taken."""
NamesOrNone = Annotated[tuple[str | None, ...], _one_or_many, AfterValidator(_nothing_after_null)]
"""The same, and with null at the end: or none of them."""


class PictoSource(Strict):
    """Prompts that picto's grammar writes.

    Attributes:
        set: which set.
        seed: of the grammar.
        count: how many.
    """

    set: Annotated[str, AfterValidator(_set_name)]
    seed: int
    count: int = Field(200, ge=1)

    def cases(self) -> list[PromptCase]:
        return prompt_set(self.set, self.count, self.seed)


class Columns(Strict):
    """Which columns hold what; a field without names is not read.

    Attributes:
        separator: stands between the categories of a cell.
    """

    prompt: Names
    id: NamesOrNone = ()
    seed: NamesOrNone = ()
    guidance_scale: NamesOrNone = ()
    categories: NamesOrNone = ()
    height: NamesOrNone = ()
    width: NamesOrNone = ()
    separator: str = Field(",", min_length=1)

    def found_in(self, table: Table) -> dict[str, str]:
        """Field -> the table's column for it.

        Raises:
            TaskError: the table has none of a field's columns, or one of them twice.
        """
        fields = self.model_dump(exclude={"separator"})
        found = {field: column_of(names, field, table) for field, names in fields.items() if names}
        return {field: column for field, column in found.items() if column is not None}


class Filter(Strict):
    """Only rows are read of which one entry of a column is `contains`, in any case of letters."""

    column: Names
    contains: str


class Hub(Strict):
    """What `datasets` reads where the user gives no file: a dataset of the hub, or a folder.

    Attributes:
        revision: commit or tag; null takes the newest.
    """

    id: str
    split: str = "train"
    revision: str | None = None


def column_of(names: tuple[str | None, ...], field: str, table: Table) -> str | None:
    """The first of `names` that the table has.

    Raises:
        TaskError: it has none of them, or that one twice.
    """
    for name in names:
        if name is None:
            return None
        if table.columns.count(name) > 1:
            raise TaskError(f"{table.source} has column {name!r} twice")
        if name in table.columns:
            return name
    wanted, columns = " or ".join(repr(name) for name in names), ", ".join(table.columns) or "none"
    raise TaskError(f"{table.source} has no column {wanted} for {field}; its columns: {columns}")


def hash_of_prompts(prompts: Iterable[str]) -> str:
    """SHA-256 of the prompts, each with a newline."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(prompt.encode("utf-8", "replace") + b"\n")
    return digest.hexdigest()
