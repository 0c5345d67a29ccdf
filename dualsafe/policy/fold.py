"""Text as a reader sees it: look-alike letters, full-width forms, marks and invisible characters folded away."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from confusable_homoglyphs.confusables import confusables_data

_MOST = 8  # letters that one character is read as: a ligature may stand for a sentence, and a prompt be made of them
_MORE = dict(zip("ηκкνωнтмвз", "nkkvwhtmb3"))  # look-alikes that the confusables table leaves out
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")


@dataclass(frozen=True)
class Folded:
    """Folded text and where it comes from.

    Attributes:
        text: lower-case text.
        origin: for each character of `text`, the index of the character of the original that it stands for.
    """

    text: str
    origin: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original's span (start, end) of a non-empty span of the folded text."""
        return self.origin[start], self.origin[end - 1] + 1


@lru_cache(maxsize=4096)
def _letter(character: str) -> str:
    """What one character reads as: "" for marks, controls and invisible ones."""
    if character.isascii() and (character.isprintable() or character.isspace()):
        return character.lower()
    read = []
    for part in unicodedata.normalize("NFKD", character):
        category = unicodedata.category(part)
        if category in ("Mn", "Me", "Cf", "Cc"):
            continue
        low = part.lower()
        if not low.isascii():
            alike = [*confusables_data.get(part, []), *confusables_data.get(low, [])]
            latin = [h["c"].lower() for h in alike if h["c"].isascii() and h["c"].isalnum()]
            low = _MORE.get(low) or (latin[0] if latin else low)
        read.append(low)
    return "".join(read)[:_MOST]


def fold(text: str) -> Folded:
    """Folds `text`; never fails, whatever the characters."""
    if text.isascii() and not _CONTROL.search(text):
        return Folded(text.lower(), range(len(text)))
    letters, origin = [], []
    for i, character in enumerate(text):
        for letter in _letter(character):
            letters.append(letter)
            origin.append(i)
    return Folded("".join(letters), tuple(origin))
