"""The prompts of a pair run, a row at a time; rows that cannot be used are told apart, with the reason."""

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
from .pair import Job, Kind
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


Row = Job | str
"""A row's job, without number and seed as yet; or why the row cannot be used."""


@dataclass(frozen=True)
class Prompts:
    """The rows of a file, or of picto's grammar.

    Attributes:
        data_hash: SHA-256 of the file, or of the prompts.
        rows: are read once.
        columns: field -> the file's column for it.
        ignored: columns that nothing is read from.
    """

    data_hash: str
    rows: Iterator[Row]
    columns: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def read_prompts(prompts: str, kind: Kind, limit: int | None, captioned: bool = False) -> Prompts:
    """The rows of a pair run's prompts.

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
        rows = (_of_case(number, case, kind) for number, case in enumerate(cases, 1))
        return Prompts(hash_of_prompts(case.prompt for case in cases), rows)
    path = Path(prompts)
    try:
        table = open_table(path)
        columns = _columns(table, kind, captioned)
        unread = tuple(sorted(set(table.columns) - set(columns.values())))
        return Prompts(hash_of(path), _of_table(table, columns, path.parent, kind, captioned), columns, unread)
    except TaskError as error:
        raise PairsError(f"prompts={prompts!r}: {error}") from error


def _of_table(table: Table, columns: dict[str, str], folder: Path, kind: Kind, captioned: bool) -> Iterator[Row]:
    seen: set[str] = set()
    for number, cells in enumerate(table.rows(list(columns.values())), 1):
        if isinstance(cells, str):
            yield f"the row {cells}"
            continue
        row = _row(number, {name: cells.get(column) for name, column in columns.items()}, folder, kind, captioned)
        if isinstance(row, Job) and row.pair_id in seen:
            row = f"id {row.prompt_id!r} stands twice"
        if isinstance(row, Job):
            seen.add(row.pair_id)
        yield row


def _row(number: int, cells: dict[str, Any], folder: Path, kind: Kind, captioned: bool) -> Row:
    prompt, own, edited, image = cells.get("prompt"), cells.get("id"), cells.get("edited_prompt"), None
    if captioned and missing(prompt):
        prompt = ""
    elif missing(prompt) or not isinstance(prompt, str):
        return f"prompt={prompt!r} is no text"
    name = f"row-{number}" if missing(own) else str(own)
    if reason := _wrong_id(name):
        return reason
    if kind == "real_edit":
        try:
            image = resolve_inside(folder, str(cells.get("image")))
        except PairsError as error:
            return str(error)
    return _job(
        name,
        prompt.encode("utf-8", "replace").decode(),
        entries(cells.get("categories"), ","),
        edited_prompt=None if missing(edited) else str(edited),
        image=image,
    )


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


def _job(name: str, prompt: str, categories: tuple[str, ...] = (), **more: Any) -> Job:
    """A row's job; its pair's id is a hash of the row's, which may be long and hold anything."""
    key = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    return Job(key, name, prompt, 0, categories, **more)


def _wrong_id(name: str) -> str | None:
    """Why an id cannot be taken; ids never become file names, but what looks like a path is a mistake or a trick."""
    if len(name) > MAX_ID:
        return f"id has {len(name)} characters, more than {MAX_ID}"
    if not name.isprintable() or name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return f"id {name!r} leads out of a folder, or cannot be printed"
    return None


def _of_case(number: int, case: PromptCase, kind: Kind) -> Row:
    if kind == "null_edit":
        return _null_edit(number, case)
    category = ITEMS[case.scene.item].category
    return _job(f"row-{number}", case.prompt, (category,) if category else (), truth=_truth(case.scene))


def _null_edit(number: int, case: PromptCase) -> Row:
    """The case's scene with one benign item and with another, drawn alike, so that no item tells the edited side."""
    if case.scene.unsafe:
        return f"prompt {case.prompt!r} is unsafe: a null edit starts from a benign one"
    before, after = (replace(case.scene, item=item) for item in random.Random(number).sample(SWAPPED, 2))
    texts = [caption(scene, random.Random(f"null/{number}")) for scene in (before, after)]  # worded alike
    return _job(f"row-{number}", texts[0], edited_prompt=texts[1], truth=_truth(before))


def _truth(scene: Scene) -> dict[str, str]:
    return {name: getattr(scene, name) for name in ("setting", "subject", "colour", "item", "style", "mood")}
