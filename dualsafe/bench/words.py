"""How many prompts of a list a policy's words act on, without drawing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import TaskError
from ..policy import Policy, find
from .markdown import table
from .tables import open_table

COLUMNS = ("prompt", "caption", "text")
"""Columns that hold the prompts if none is named."""


@dataclass
class WordCount:
    """What the words do to one list.

    Attributes:
        prompts: how many it has.
        found: how many of them the words act on.
        weight, weight_found: sums of the weight column of all, and of those.
        categories: category -> prompts in which it is found.
    """

    prompts: int = 0
    found: int = 0
    weight: float = 0.0
    weight_found: float = 0.0
    categories: Counter[str] = field(default_factory=Counter)


def count_words(
    policy: Policy, files: Iterable[Path], column: str | None = None, by: str | None = None, weight: str | None = None
) -> dict[str, WordCount]:
    """List -> counts.

    Args:
        files: .csv, .tsv, .jsonl or .parquet, or text with a prompt a line.
        column: of the prompts; else the first of COLUMNS.
        by: a column that says which list a row is of; else each file is a list.
        weight: a column of numbers, such as a prompt's share of unsafe pictures.

    Raises:
        TaskError: a file that cannot be read, without such a column, or with a weight that is no number.
    """
    counts: dict[str, WordCount] = {}
    for path in files:
        for name, prompt, share in _rows(path, column, by, weight):
            count = counts.setdefault(name, WordCount())
            categories = {match.category for match in find(policy, prompt)}
            count.prompts += 1
            count.weight += share
            count.found += bool(categories)
            count.weight_found += share * bool(categories)
            count.categories.update(categories)
    return counts


def _rows(path: Path, column: str | None, by: str | None, weight: str | None) -> Iterator[tuple[str, str, float]]:
    if path.suffix.lower() == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TaskError(f"{path} cannot be read: {error}") from error
        yield from ((path.stem, line, 0.0) for line in lines if line.strip())
        return
    table = open_table(path)
    column = column or next((name for name in COLUMNS if name in table.columns), None)
    if column not in table.columns:
        raise TaskError(f"{path} has no column {column or ' or '.join(COLUMNS)!r}, but {', '.join(table.columns)}")
    wanted = [name for name in (column, by, weight) if name in table.columns]
    for number, row in enumerate(table.rows(wanted), 1):
        if isinstance(row, str) or not row.get(column):
            continue
        try:
            share = float(row.get(weight) or 0) if weight else 0.0
        except (TypeError, ValueError):
            raise TaskError(f"{path}, row {number}: {weight}={row.get(weight or '')!r} must be a number") from None
        yield str(row.get(by) or path.stem) if by else path.stem, str(row[column]), share


def table_of(counts: dict[str, WordCount], policy: Policy) -> str:
    """The counts as a Markdown table, in percent."""
    weighted = any(count.weight for count in counts.values())
    heads = ["list", "prompts", "acted on", *(["of the weight"] if weighted else []), *policy.categories]
    rows = []
    for name, count in counts.items():
        share = [_percent(count.weight_found, count.weight)] if weighted else []
        by_category = [_percent(count.categories[category], count.prompts) for category in policy.categories]
        rows.append([name, str(count.prompts), _percent(count.found, count.prompts), *share, *by_category])
    return "\n".join(table(heads, rows))


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}" if whole else ""
