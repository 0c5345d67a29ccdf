"""Words that are one slip of the keyboard away from a policy's, by SymSpell; common English words never are."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import resources

SHORTEST, LONGEST = 6, 30
"""Letters of the words that a misspelling may stand for."""


@lru_cache(maxsize=1)
def _counts() -> dict[str, str]:
    """SymSpell's 82,765 English words, each with how often it is met."""
    lines = (resources.files("symspellpy") / "frequency_dictionary_en_82_765.txt").read_text("utf-8-sig").splitlines()
    return dict(line.split(" ", 1) for line in lines)


@lru_cache(maxsize=1)
def common_words() -> frozenset[str]:
    """The words alone, as a set: the difference to a dictionary's keys would take time in proportion to these."""
    return frozenset(_counts())


def frequency(word: str) -> int:
    """How often a word is met in SymSpell's corpus."""
    return int(_counts().get(word, 0))


class Spelling:
    """Finds which of some words another one may be meant for.

    Args:
        words: those of six letters and more count.
    """

    def __init__(self, words: Iterable[str]) -> None:
        from symspellpy import SymSpell, Verbosity

        self._closest = Verbosity.CLOSEST
        self._words = SymSpell(max_dictionary_edit_distance=1)
        for word in words:
            if SHORTEST <= len(word) <= LONGEST and word.isalpha():
                self._words.create_dictionary_entry(word, 1)

    def meant(self, word: str) -> str | None:
        """The word that is one letter more, fewer, other or swapped away; None for none, and for English words."""
        if not SHORTEST - 1 <= len(word) <= LONGEST + 1 or not word.isalpha() or _english(word):
            return None
        found = self._words.lookup(word, self._closest, max_edit_distance=1)
        return found[0].term if found else None


def _english(word: str) -> bool:
    """Whether a word, or what it is a plural or a past of, is a common English one."""
    known = common_words()
    return word in known or (word.endswith("s") and word[:-1] in known) or (word.endswith("ed") and word[:-1] in known)
