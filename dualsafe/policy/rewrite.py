"""A prompt without its unsafe terms: each replaced by its counterpart, or removed with the words that attach it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .english import Form, article, inflected, is_countable, is_noun, is_plural, kinds, with_article
from .match import Match, find
from .model import Policy

_REACH = 64  # characters around a term in which the words that belong to it are looked for, so that time stays linear
_ARTICLE = re.compile(r"(?<![\w'’-])(an?|the)[ ]+$", re.IGNORECASE)
_JOINT = re.compile(
    r"(?<![\w'’-])(?:(?:splattered|smeared|stained|soaked|drenched|dripping|filled|covered|full)\s+(?:in|with|of)|with|holding"
    r"|carrying|wearing|showing|next\s+to|and|in|of)\s+$",
    re.IGNORECASE,
)
_HOLDING = re.compile(r"(?<![\w'’-])(?:with|holding|carrying|wearing)\s+$", re.IGNORECASE)
_LAST = re.compile(r"([^\W\d_][\w'’]*)[ ]+$")  # the word before, and the one after
_NEXT = re.compile(r"[ ]+([^\W\d_]+)(?![\w'’])")
_PAIR = re.compile(
    r"(?<![\w'’-])([^\W\d_]+),?[ ]+(?:and|but|yet)[ ]+$", re.IGNORECASE
)  # "dark and" of "dark and bloody"
_COORDINATED = re.compile(r",?[ ]+(?:and|or|but|yet|[^\W\d_]+ly)[ ]|,[ ]*[^\W\d_]")
_PASSIVE = re.compile(r"\b(?:be|been|being|is|was|are|were|gets?|got|getting)\s+$", re.IGNORECASE)
_WEIGHT = r"(?::\s*-?[\d.]+)?"
_EMPTY = re.compile(rf"[(\[{{]\s*{_WEIGHT}\s*[)\]}}]|\"\s*\"|“\s*”")
_CLAUSE_END = re.compile(r"[,;!?\n]|[.:](?=\s|$)|\s+(?:BREAK|AND)\b|<\w+:")
_OPEN, _CLOSE = "([{“", ")]}”"
_FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "nor",
        "of",
        "in",
        "on",
        "at",
        "by",
        "to",
        "for",
        "from",
        "with",
        "without",
        "into",
        "onto",
        "over",
        "under",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "that",
        "which",
        "who",
        "while",
        "when",
        "where",
        "his",
        "her",
        "its",
        "their",
        "my",
        "your",
        "our",
        "he",
        "she",
        "it",
        "they",
        "this",
        "these",
        "those",
        "not",
        "no",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "may",
        "might",
        "must",
        "than",
        "then",
        "so",
        "if",
        "very",
    ]
)


@dataclass(frozen=True)
class Trigger:
    """An unsafe term found in a prompt.

    Attributes:
        text: the term as the prompt writes it.
        start, end: its place in the prompt, in characters.
        category: the policy category it belongs to.
        counterpart: what stands in for it; None where it is removed.
    """

    text: str
    start: int
    end: int
    category: str
    counterpart: str | None


@dataclass(frozen=True)
class Rewrite:
    """A prompt without its unsafe terms; `text` equals the prompt where nothing was found."""

    text: str
    triggers: tuple[Trigger, ...]


def rewrite(policy: Policy, prompt: str, tokens: Collection[str] = ()) -> Rewrite:
    """Replaces or removes every unsafe term of `policy` in `prompt`, and says the aims of the categories found.

    Articles, numbers, tenses, capitals and commas are kept right, and so is what stands for weights, networks and
    sections in prompts: "(knife:1.3)", "[knife]", "<lora:name:0.8>", "BREAK", line breaks.

    Args:
        tokens: words that a text encoder has learned beside its own, which stay whole.
    """
    matches = find(policy, prompt, tokens)
    if not matches:
        return Rewrite(prompt, ())
    text, place = prompt, 0
    for match, earlier in zip(reversed(matches), [*(m.end for m in reversed(matches[:-1])), 0]):
        text, place = _without(text, match, earlier)
    aims = [policy.categories[name].aim for name in dict.fromkeys(match.category for match in matches)]
    text = _told(text, place, [aim for aim in aims if aim and not aim.startswith("with ")])
    text = _once(text, {match.concept.counterpart for match in matches if match.concept.counterpart})
    text = text.strip(" ,;") or ", ".join(aim.removeprefix("with ") for aim in aims if aim)
    triggers = tuple(
        Trigger(prompt[m.start : m.end], m.start, m.end, m.category, m.concept.counterpart) for m in matches
    )
    return Rewrite(text, triggers)


def _without(text: str, match: Match, earlier: int) -> tuple[str, int]:
    """The text without one term, and where what came in its place ends; up to `earlier` it stays."""
    head, text = text[:earlier], text[earlier:]
    start, end = match.start - earlier, match.end - earlier
    bracket = text[start - 1 : start] == "<"
    compound = not bracket and re.match(
        r"-[^\W\d_]\w*(?:-\w+)*", text[end : end + _REACH]
    )  # "-soaked" of "blood-soaked"
    prefix = re.search(r"(?<![\w-])[^\W\d_]\w*-$", text[max(0, start - _REACH) : start])  # "half-" of "half-naked"
    end += compound.end() if compound else 0
    start -= len(prefix[0]) if prefix else 0
    before, after = text[:start], text[end:]
    if head and not before.strip(" "):
        before = head[-1] + before  # what the seam looks like
        head = head[:-1]
    new, place = _changed(before, text[start:end], match, after, bool(compound))
    return head + new, len(head) + place


def _changed(before: str, old: str, match: Match, after: str, compound: bool) -> tuple[str, int]:
    counterpart = match.concept.counterpart
    if counterpart is not None and not compound:
        form = _met_as(before, match)
        new = inflected(counterpart, form) if form != "plural" or is_noun(counterpart) else counterpart
        if match.concept.verb or not (is_noun(counterpart) and match.form != "plural" and _goes_with_noun(after)):
            return _replaced(before, old, new, match, after)
    if compound or _describes(after):
        return _dropped(before, after)
    return _removed(before, re.sub(r"^['’]s\b", "", after))


def _met_as(before: str, match: Match) -> Form:
    """The form of a term; a verb's first may be a noun ("the scream") or a participle ("was hit")."""
    if match.concept.verb and not match.form:
        if _ARTICLE.search(before[-_REACH:]) and not is_noun(match.concept.counterpart or ""):
            return "VBG"
        if _PASSIVE.search(before[-_REACH:]):
            return "VBN"
    return match.form


def _replaced(before: str, old: str, new: str, match: Match, after: str) -> tuple[str, int]:
    """The term's counterpart in its place, with the article that goes with it."""
    noun = is_noun(new) and not match.concept.verb
    many = match.form == "plural" or (noun and is_plural(new))
    found = _ARTICLE.search(before[-_REACH:])
    alone = not noun and not match.concept.verb and not _describes(after) and not _COORDINATED.match(after)
    if found and alone and not is_plural(new):
        new = f"{new} person"  # "a nude" is somebody
    elif match.form == "plural" and not noun and not is_plural(new):
        new = f"{new} people"
    new = _as_written(old, new)
    if found and found[1].lower() != "the":
        before = before[: len(before) - len(found[0])]
        new = f"{_as_written(found[1], article(new))} {new}" if not many else _as_written(found[1], new)
    elif (
        noun
        and not many
        and not found
        and is_countable(new)
        and _HOLDING.search(before[-_REACH:])
        and not new[0].isupper()
    ):
        new = with_article(new)
    return before + new + after, len(before) + len(new)


def _as_written(old: str, new: str) -> str:
    """A text in the capitals of another."""
    letters = [c for c in old if c.isalpha()]
    if len(letters) > 1 and all(c.isupper() for c in letters):
        return new.upper()
    if letters and letters[0].isupper():
        title = sum(word[:1].isupper() for word in old.split()) == len(old.split()) > 1
        return " ".join(word[:1].upper() + word[1:] for word in new.split()) if title else new[:1].upper() + new[1:]
    return new


def _goes_with_noun(after: str) -> bool:
    """Whether a noun follows that the term only describes, as in "knife shop"; not a verb, as in "the zombie walks"."""
    found = _NEXT.match(after[:_REACH])
    if not found or found[1].lower() in _FUNCTION_WORDS or found[1].endswith(("ed", "ing", "ly")):
        return False
    what = kinds(found[1])
    return "NOUN" in what and not ("VERB" in what and found[1].endswith("s"))


def _describes(after: str) -> bool:
    """Whether a noun, or a word that describes one, follows directly."""
    found = _NEXT.match(after[:_REACH])
    if not found or found[1].lower() in _FUNCTION_WORDS:
        return False
    what = kinds(found[1])
    return not what or bool(what & {"NOUN", "ADJ"})


def _dropped(before: str, after: str) -> tuple[str, int]:
    """Without a word that describes the next; the article is the next word's."""
    found = _ARTICLE.search(before[-_REACH:])
    following = after.lstrip(" ")
    pair = _PAIR.search(before[-_REACH:])
    if pair and "ADJ" in kinds(pair[1]):
        before = before[: len(before) - len(pair[0])] + pair[1]
    elif found and found[1].lower() != "the" and following[:1].isalpha():
        before = f"{before[: len(before) - len(found[0])]}{_as_written(found[1], article(following))} "
    elif found and not following[:1].isalnum():
        return _removed(before, after)
    return _joined(before, after)


def _removed(before: str, after: str) -> tuple[str, int]:
    """Without a thing, what describes it, its article, and what attaches it."""
    near = before[-_REACH:]
    kept = len(before) - len(near)
    for _ in range(3):
        word = _LAST.search(near)
        if not word or word[1].lower() in _FUNCTION_WORDS or "ADJ" not in kinds(word[1]) or "VERB" in kinds(word[1]):
            break
        near = near[: word.start()]
    had = _ARTICLE.search(near)
    near = near[: had.start()] if had else near
    joint = _JOINT.search(near)
    if len(near) < len(before) - kept and not (had or joint):
        near = before[-_REACH:]  # adjectives of nothing that can be left out
    return _joined(before[:kept] + (near[: joint.start()] if joint else near), after)


def _joined(before: str, after: str) -> tuple[str, int]:
    """Two pieces as one text, with nothing double or empty at the seam."""
    before, after = before.rstrip(" "), after.lstrip(" ")
    while before[-1:] in ("(", "[", "{", '"', "“") and before[-1:]:
        empty = _EMPTY.match(before[-1] + after)
        if not empty:
            break
        before, after = before[:-1], after[empty.end() - 1 :].lstrip(" ")
        before = (before[:-_REACH] + _JOINT.sub("", before[-_REACH:])).rstrip(" ")
    if not before or before[-1] in _OPEN + "\n,;":
        after = re.sub(r"^(?:[,;]\s*)+", "" if not before or before[-1] in _OPEN + "\n" else " ", after)
    if before[-1:] == "," and after[:1] in (".", ";", ")", "]", "}", "\n"):
        before = before[:-1]
    gap = "" if not before or not after or before[-1] in _OPEN + "\n" or after[0] in _CLOSE + ",.;:!?\n '’" else " "
    if after[:1] == " ":
        gap = ""
    return before + gap + after, len(before)


def _told(text: str, place: int, aims: Iterable[str]) -> str:
    """The text with aims at the end of the clause of `place`, where short-sighted encoders read them."""
    aims = [aim for aim in dict.fromkeys(aims) if aim not in text]
    if not aims or not text.strip(" ,;"):
        return text or ", ".join(aims)
    depth = sum(text.count(c, 0, place) for c in _OPEN) - sum(text.count(c, 0, place) for c in _CLOSE)
    quoted = text.count('"', 0, place) % 2
    end, at = len(text), place
    for hit in re.finditer(r'[(\[{“)\]}”"]|' + _CLAUSE_END.pattern, text[place:]):
        sign = hit[0]
        if sign in _OPEN:
            depth += 1
        elif sign in _CLOSE:
            depth -= 1
        elif sign == '"':
            quoted ^= 1
        elif depth <= 0 and not quoted:
            end = at + hit.start()
            break
    head = text[:end].rstrip(" ,;")
    said = f"{head}, {', '.join(aims)}" if head else ", ".join(aims)
    return said + (text[end:] if text[end : end + 1] in list(",;!?.:") else _tail(text[end:]))


def _tail(text: str) -> str:
    return text if not text or text[0] in " \n" else f" {text}"


def _once(text: str, counterparts: Iterable[str]) -> str:
    """The text with what stands twice in a row, "umbrellas and umbrellas", once."""
    for word in counterparts:
        one = rf"(?:an? |the )?{re.escape(word)}(?:e?s)?"
        text = re.sub(rf"(?<!\w)({one})(?:(?:, and |, | and | or | ){one})+(?!\w)", r"\1", text, flags=re.IGNORECASE)
    return text
