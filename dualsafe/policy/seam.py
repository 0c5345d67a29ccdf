"""Joins what stays of a prompt: nothing double, empty or dangling at the seams, and the right articles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .english import article
from .swap import as_written, capital
from .words import CLOSED

_OPEN, _CLOSE = "([{“", ")]}”"
_EMPTY = re.compile(r"[(\[{]\s*(?::\s*-?[\d.]+)?\s*[)\]}]|\"[\s.,:!?]*\"|“[\s.,:!?]*”")
_DANGLING = re.compile(
    r"(?<![\w'’-])(?:with|holding|carrying|wearing|titled|showing|depicting|and|or|of|in|on|for|a|an|the)$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?<![\w'’-])(an?)\s+$", re.IGNORECASE)
_SEAM = 64  # characters after a seam that are looked at, so that time stays linear


class Edit(NamedTuple):
    """A piece of the prompt that goes, and what comes in its place."""

    start: int
    end: int
    new: str = ""


def joined(prompt: str, start: int, end: int, edits: Sequence[Edit]) -> str:
    """A piece of the prompt with its edits, which stand in order and apart."""
    done: list[str] = []
    borders = [start, *(edit.end for edit in edits)]
    after = prompt[borders[-1] : end]
    for edit, border in zip(reversed(edits), reversed(borders[:-1])):
        done.append(after[_SEAM:])
        before = prompt[border : edit.start]
        if edit.new:
            after = _articled(before, edit.new) + edit.new + re.sub(r"^ +(?=[,.;:!?])", "", after[:_SEAM])
        else:
            after = _closed(before, after[:_SEAM])
    return "".join([after, *reversed(done)])


def _closed(before: str, after: str) -> str:
    """Two pieces between which something went."""
    apart = before[-1:] == " " or after[:1] == " "
    before, after = before.rstrip(" "), after.lstrip(" ")
    while before[-1:] and before[-1] in '([{"“' and (empty := _EMPTY.match(before[-1] + after)):
        before, after = before[:-1].rstrip(" "), after[empty.end() - 1 :].lstrip(" ")
    if not before or before[-1] in _OPEN + "\n,;.!?":
        after = re.sub(r"^[\s,;]+", " ", after) if before[-1:] == "," else after.lstrip(" ,;")
    elif after[:1] == "," and re.search(r"\b(?:an?|the)$", before, re.IGNORECASE):
        after = after[1:].lstrip(" ")  # "a nude, dark man"
    ends = not after or after[0] in _CLOSE + ",.;:!?\n"
    while (ends or _is_preposition(after)) and (dangling := _DANGLING.search(before)):
        before = before[: dangling.start()].rstrip(" ")
    if before[-1:] in (",", ";") and (not after or after[0] in _CLOSE + ".;\n"):
        before = before[:-1]
    if before[-1:] and before[-1] in ".!?\n":
        after = capital(after)
    before = _articled(before + " ", after).rstrip(" ")
    tight = not before or not after or before[-1] in _OPEN + "\n" or after[0] in _CLOSE + ",.;:!?\n '’"
    return before + " " * (apart and not tight) + after


def _is_preposition(text: str) -> bool:
    word = re.match(r"[a-z]+\b", text)
    return word is not None and CLOSED.get(word[0]) == "preposition"


def _articled(before: str, following: str) -> str:
    """A text with the article at its end that goes with what follows."""
    found = _ARTICLE.search(before)
    if not found or not following[:1].isalpha():
        return before
    return before[: found.start()] + as_written(found[1], article(following)) + before[found.end(1) :]


def told(head: str, said: str, tail: str) -> str:
    """A text with aims between its two halves: outside of brackets and quotes, and as a clause of their own."""
    depth = sum(head.count(c) for c in _OPEN) - sum(head.count(c) for c in _CLOSE)
    if depth > 0 or head.count('"') % 2:
        closed = re.search(r'[)\]}”"]' if depth <= 1 else r".*[)\]}”\"]", tail)
        end = re.search(r"[,;!?\n]|[.:](?=\s|$)|$", tail[closed.end() :]) if closed else None
        here = closed.end() + end.start() if closed and end else len(tail)
        head, tail = head + tail[:here], tail[here:]
    if not said:
        return head + tail
    head, tail = head.rstrip(" ,;"), tail.lstrip(" ")
    if not head:
        return f"{said}, {tail.lstrip(' ,;.')}" if tail.strip(" ,;.") else said
    if head[-1] in ".!?":
        return f"{head} {capital(said)}. {capital(tail.lstrip(' ,;'))}".rstrip(" ")
    if tail[:1].isalnum() and not tail.startswith(("BREAK", "AND ")):
        return f"{head}, {said}, {tail}"
    return f"{head}, {said}{'' if not tail or tail[0] in ',;.!?:' else ' '}{tail}"


def once(text: str, words: Iterable[str]) -> str:
    """The text with those of `words` that stand twice in a row, "umbrellas and umbrellas", once."""
    words = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    one, more = rf"(?:an? |the )?({words})(?:e?s)?", r"(?:an? |the )?\2(?:e?s)?"
    doubled = rf"(?<!\w)({one})(?:(?:, and |, | and | or | ){more})+(?!\w)"
    return re.sub(doubled, r"\1", text, flags=re.IGNORECASE) if words else text
