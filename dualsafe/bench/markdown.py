"""Markdown of results: tables, and names in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def cell(text: str) -> str:
    """Names as they are, with what would break a table or start markup escaped."""
    escaped = "".join(f"\\{c}" if c in r"\|<>*_`[]" else c for c in text)
    return " ".join(escaped.split())
