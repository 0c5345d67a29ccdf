"""One row of a task's data made a prompt; what had to be changed or left out is noted with the row's number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

GUIDANCE = (1, 30)
SIZES = (64, 2048)
MAX_WORDS = 77
MAX_SEED = 2**62


@dataclass(frozen=True)
class PromptRow:
    """A prompt of a task.

    Attributes:
        id: unique in its task and the same in every run: the row's own, else "row-<number>".
        seed: None leaves it to the run.
        guidance_scale: None leaves it to the run.
        height, width: pixels; None is the model's own size.
        number: which row of the data it was, from 1.
        truth: what a right picture shows, attribute -> name; picto only.
    """

    id: str
    prompt: str
    categories: tuple[str, ...] = ()
    seed: int | None = None
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    number: int = 1
    truth: dict[str, str] | None = None


class Notes:
    """What was changed or left out, and in which rows."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        self._first: dict[str, str] = {}

    def add(self, text: str, number: int, value: Any = None) -> None:
        """Notes it of row `number`; `value` is what stood there."""
        self._rows.setdefault(text, []).append(number)
        if value is not None:
            self._first.setdefault(text, repr(value)[:60])

    def lines(self) -> list[str]:
        """A line a kind: "seed is missing, the run derives one: rows 3, 7-9"."""
        return [f"{text}: {_rows(numbers)}{self._example(text)}" for text, numbers in self._rows.items()]

    def _example(self, text: str) -> str:
        return f" (first: {self._first[text]})" if text in self._first else ""


def _rows(numbers: list[int]) -> str:
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    spans = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(spans)}"


class RowReader:
    """Makes prompts of rows.

    Args:
        columns: field of `PromptRow` -> name of the column that holds it; other fields are taken as missing.
        separator: stands between the categories of a cell.
        guidance_scale: what stands in for one that is missing or out of range.
    """

    def __init__(self, columns: dict[str, str], separator: str, guidance_scale: float | None, notes: Notes):
        self.columns, self.separator, self.guidance_scale, self.notes = columns, separator, guidance_scale, notes
        self._ids: set[str] = set()

    def read(self, number: int, cells: dict[str, Any]) -> PromptRow | None:
        """The row's prompt; None if it has none that can be drawn."""
        prompt = self._prompt(number, self._cell("prompt", cells))
        if prompt is None:
            return None
        sizes = [self._value(side, number, cells, "the model's own size") for side in ("height", "width")]
        height, width = sizes if all(sizes) else (None, None)
        default = self.guidance_scale
        theirs = "the run's own" if default is None else f"{default:g}"
        return PromptRow(
            id=self._id(number, cells),
            prompt=prompt,
            categories=entries(self._cell("categories", cells), self.separator),
            seed=self._value("seed", number, cells, "one that the run derives"),
            guidance_scale=self._value("guidance_scale", number, cells, theirs, default),
            height=height,
            width=width,
            number=number,
        )

    def _cell(self, field: str, cells: dict[str, Any]) -> Any:
        return cells.get(self.columns[field]) if field in self.columns else None

    def _prompt(self, number: int, prompt: Any) -> str | None:
        if missing(prompt):
            self.notes.add("blank prompt, row left out", number)
            return None
        if not isinstance(prompt, str):
            self.notes.add("prompt is not text, row left out", number, prompt)
            return None
        text = prompt.encode("utf-8", "replace").decode()
        if text != prompt:
            self.notes.add("prompt has half a surrogate pair, '?' in its place", number)
        if len(text.split()) > MAX_WORDS:
            self.notes.add(f"prompt has over {MAX_WORDS} words, which a text encoder may cut", number)
        return text

    def _id(self, number: int, cells: dict[str, Any]) -> str:
        own = self._cell("id", cells)
        if "id" in self.columns and missing(own):
            self.notes.add("id is missing, named after the row", number)
        name = f"row-{number}" if missing(own) else str(own)
        if name in self._ids:
            self.notes.add("id stands twice, the row's number is added", number, own)
        while name in self._ids:
            name = f"{name}#{number}"
        self._ids.add(name)
        return name

    def _value(self, field: str, number: int, cells: dict[str, Any], instead: str, default: Any = None) -> Any:
        """A field's number, or `default` and a note; without a note where no column holds it."""
        if field not in self.columns:
            return default
        value = self._cell(field, cells)
        kind, accepted = _FIELDS[field]
        try:
            return kind.validate_python(None if isinstance(value, bool) else value)
        except ValidationError:
            wrong = "missing" if missing(value) else f"not {accepted}"
            self.notes.add(f"{field} is {wrong}, {instead} is taken", number, None if missing(value) else value)
            return default


def missing(value: Any) -> bool:
    """Whether a cell is empty: null, blank text or NaN."""
    return value is None or (isinstance(value, str) and not value.strip()) or value != value


def entries(value: Any, separator: str) -> tuple[str, ...]:
    """The entries of a cell: a list's, or those of text between separators."""
    parts = value.split(separator) if isinstance(value, str) else value if isinstance(value, list) else [value]
    return tuple(str(part).strip() for part in parts if not missing(part))


_SIDE = (
    TypeAdapter(Annotated[int, Field(ge=SIZES[0], le=SIZES[1], multiple_of=8)]),
    f"a multiple of 8 in [{SIZES[0]}, {SIZES[1]}]",
)
_FIELDS: dict[str, tuple[TypeAdapter, str]] = {
    "seed": (TypeAdapter(Annotated[int, Field(ge=0, le=MAX_SEED)]), f"a whole number in [0, {MAX_SEED}]"),
    "guidance_scale": (
        TypeAdapter(Annotated[float, Field(ge=GUIDANCE[0], le=GUIDANCE[1])]),
        f"a number in [{GUIDANCE[0]}, {GUIDANCE[1]}]",
    ),
    "height": _SIDE,
    "width": _SIDE,
}
