"""The prompts of a pair run, a row at a time; rows that can't be used are told apart, with the reason."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..bench.rows import entries, missing
from ..bench.source import hash_of_prompts
from ..bench.tables import Table, hash_of, open_table
from ..bench.tasks import USUAL
from ..errors import PairsError, TaskError
from ..picto import Scene
from ..picto.captions import caption
from ..picto.prompts import PROMPT_SETS, PromptCase, prompt_set
from ..picto.world import ITEMS, NEIGHBOUR_ITEMS, NEUTRAL_ITEMS
from .pair import Kind
from .pictures import resolve_inside

PICTO_COUNT = 2000
"""Prompts of a set of picto's grammar, without a limit."""
MAX_ID = 200
SWAPPED = tuple(item for item in (*NEIGHBOUR_ITEMS, *NEUTRAL_ITEMS) if not ITEMS[item].worn)
"""What null edits of picto's grammar show: benign things that are held."""
COLUMNS: dict[str, tuple[str, ...]] = {
    "prompt": USUAL["prompt"],
    "id": USUAL["id"],
    "categories": USUAL["categories"],
    "edited_prompt": ("edited_prompt", "safe_prompt", "instruction"),
    "image": ("image", "image_file", "file_name", "path"),
}
"""What columns may be called; all but the prompt's may be absent."""


@dataclass(frozen=True)
class Source:
    """A row from which pairs are made.

    Attributes:
        number: which row it was, from 1.
        edited_prompt: what the edited side shows, or an editor's instruction; None leaves it to the policy.
        image: the existing picture to edit.
        truth: what a right original shows, attribute -> name; picto only.
    """

    number: int
    id: str
    prompt: str
    categories: tuple[str, ...] = ()
    edited_prompt: str | None = None
    image: str | None = None
    truth: dict[str, str] | None = None


@dataclass(frozen=True)
class Bad:
    """A row that can't be used."""

    number: int
    reason: str


@dataclass
class Prompts:
    """The rows of a file, or of picto's grammar.

    Attributes:
        data_hash: SHA-256 of the file, or of the prompts.
        columns: field -> the file's column for it.
        ignored: columns that nothing is read from.
    """

    data_hash: str
    columns: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    _cases: list[PromptCase] | None = None
    _table: Table | None = None
    _folder: Path = Path()
    _kind: Kind = "counterfactual"
    _captioned: bool = False

    def __iter__(self) -> Iterator[Source | Bad]:
        if self._cases is not None:
            yield from (_of_case(n, case, self._kind) for n, case in enumerate(self._cases, 1))
        elif self._table is not None:
            yield from self._of_table(self._table)

    def _of_table(self, table: Table) -> Iterator[Source | Bad]:
        seen: set[int] = set()
        for number, cells in enumerate(table.rows(list(self.columns.values())), 1):
            if isinstance(cells, str):
                yield Bad(number, f"the row {cells}")
                continue
            row = self._row(number, {name: cells.get(column) for name, column in self.columns.items()})
            if isinstance(row, Source) and _key(row.id) in seen:
                row = Bad(number, f"id {row.id!r} stands twice")
            if isinstance(row, Source):
                seen.add(_key(row.id))
            yield row

    def _row(self, number: int, cells: dict[str, Any]) -> Source | Bad:
        prompt, own = cells.get("prompt"), cells.get("id")
        if self._captioned and missing(prompt):
            prompt = ""
        elif missing(prompt) or not isinstance(prompt, str):
            return Bad(number, f"prompt={prompt!r} is no text")
        name = f"row-{number}" if missing(own) else str(own)
        if reason := _wrong_id(name):
            return Bad(number, reason)
        image = cells.get("image")
        if self._kind == "real_edit":
            try:
                image = str(resolve_inside(self._folder, str(image)))
            except PairsError as error:
                return Bad(number, str(error))
        edited = cells.get("edited_prompt")
        return Source(
            number,
            name,
            prompt.encode("utf-8", "replace").decode(),
            entries(cells.get("categories"), ","),
            None if missing(edited) else str(edited),
            image if self._kind == "real_edit" else None,
        )


def read_prompts(prompts: str, kind: Kind, limit: int | None, captioned: bool = False) -> Prompts:
    """The rows of a pair run's prompts, to be read as often as is wanted.

    Args:
        prompts: a file, or "picto:SET".
        limit: of picto's grammar, how many are written.
        captioned: whether pictures without a caption are going to get one.

    Raises:
        PairsError: no such set or file, or a file without the columns that `kind` needs.
    """
    world, colon, name = prompts.partition(":")
    if world == "picto" and colon:
        if name not in PROMPT_SETS:
            raise PairsError(f"prompts={prompts!r}: picto's sets are {', '.join(PROMPT_SETS)}")
        cases = prompt_set(name, limit or PICTO_COUNT, seed=0)
        return Prompts(hash_of_prompts(case.prompt for case in cases), _cases=cases, _kind=kind)
    path = Path(prompts)
    try:
        table = open_table(path)
        columns = _columns(table, kind, captioned)
        unread = tuple(sorted(set(table.columns) - set(columns.values())))
        return Prompts(hash_of(path), columns, unread, None, table, path.parent, kind, captioned)
    except TaskError as error:
        raise PairsError(f"prompts={prompts!r}: {error}") from error


def _columns(table: Table, kind: Kind, captioned: bool) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name in table.columns:
        if (other := plain.setdefault(name.strip().lower(), name)) != name and name.strip():
            raise PairsError(f"{table.source} has two columns called {other!r} and {name!r}: rename one")
    found = {each: next((plain[n] for n in names if n in plain), None) for each, names in COLUMNS.items()}
    needed = {
        "counterfactual": ("prompt",),
        "null_edit": ("prompt", "edited_prompt"),
        "real_edit": ("image",) if captioned else ("prompt", "image"),
    }
    for name in needed[kind]:
        if found[name] is None:
            accepted, there = ", ".join(COLUMNS[name]), ", ".join(table.columns) or "none"
            raise PairsError(
                f"{table.source} has no column called {accepted}, which {kind} needs; its columns: {there}"
            )
    return {name: column for name, column in found.items() if column is not None}


def _key(name: str) -> int:
    """64 bits in the place of an id, which may be long."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _wrong_id(name: str) -> str | None:
    """Why an id can't be taken; ids never become file names, but what looks like a path is a mistake or a trick."""
    if len(name) > MAX_ID:
        return f"id has {len(name)} characters, more than {MAX_ID}"
    if not name.isprintable() or name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return f"id {name!r} leads out of a folder, or can't be printed"
    return None


def _of_case(number: int, case: PromptCase, kind: Kind) -> Source | Bad:
    if kind == "null_edit":
        return _null_edit(number, case)
    category = ITEMS[case.scene.item].category
    return Source(number, f"row-{number}", case.prompt, (category,) if category else (), truth=_truth(case.scene))


def _null_edit(number: int, case: PromptCase) -> Source | Bad:
    """The case's scene with one benign item and with another, drawn alike, so that no item tells the edited side."""
    if case.scene.unsafe:
        return Bad(number, f"prompt {case.prompt!r} is unsafe: a null edit starts from a benign one")
    before, after = (replace(case.scene, item=item) for item in random.Random(number).sample(SWAPPED, 2))
    texts = [caption(scene, random.Random(f"null/{number}")) for scene in (before, after)]  # worded alike
    return Source(number, f"row-{number}", texts[0], edited_prompt=texts[1], truth=_truth(before))


def _truth(scene: Scene) -> dict[str, str]:
    return {name: getattr(scene, name) for name in ("setting", "subject", "colour", "item", "style", "mood")}
