"""A sentence without what its terms say: the terms themselves, and what the rest of it tells of an act."""

from __future__ import annotations

from .clause import PICTURES, Part
from .cut import act, take_out
from .english import kinds
from .seam import Edit
from .terms import describes, mark

_NOTHING = ("somebody", "conjunction", "determiner", "preposition")


def revise(parts: list[Part], follows: bool) -> tuple[list[Edit], int, bool]:
    """A sentence's edits, where aims may be said after it, and whether it was cut down to who is there, and where.

    Args:
        follows: whether the sentence before was, so that what this one says of it goes with it.
    """
    removed = [mark(part) for part in parts]
    said: set[str] = set()
    for part in parts:
        if len(part.words) == 1 and part.words[0].new in said:
            part.words[0].new = ""
        said |= {word.new for word in part.words if word.new}
    about = next((k for k, part in enumerate(parts) if part.words and part.words[0].kind != "preposition"), 0)
    about = _complete(parts, about)
    cut = _cut_down(parts, removed, about)
    whole = [part for part in parts if part.left]
    if not whole or (cut and _speaks_of_it(parts, follows)):
        stop = len(parts[-1].after) * parts[-1].after.startswith((".", ";", "!", "?"))
        return [Edit(parts[0].start, parts[-1].end + stop)], parts[0].start, True
    edits: list[Edit] = []
    last = None
    for k, part in enumerate(parts):
        new = _edits(part)
        if not new:
            continue
        joins = removed[k] and k > 0 and part.before == "," and new[0] == (part.start, new[0].end, "")
        if joins:
            new[0] = Edit(parts[k - 1].end, new[0].end)
        if joins and edits and edits[-1].end >= new[0].start:
            new[0] = edits.pop()._replace(end=new[0].end)
        edits += new
        if last is None or (joins and last == k - 1):
            last = k
    assert last is not None
    return edits, _place(parts, last, edits), cut


def _cut_down(parts: list[Part], removed: list[bool], about: int) -> bool:
    """Takes out what goes on about an act: all but who is there, where, and in what style."""
    words = sum(len(part.words) for part in parts)
    prose = parts[-1].after == "." and words > 7 and words >= 5 * sum(bool(part.words) for part in parts)
    cut = prose and any(word.happens for part in parts for word in part.words)
    cut = cut or any(removed[k] and (prose or _goes_on(parts[k], prose)) for k in range(about + 1, len(parts)))
    gone = placed = styled = False
    first: int | None
    for k, part in enumerate(parts):
        if k > about:
            leads = removed[k] and bool(part.words) and part.words[0].new == ""
            first, more = 0, _goes_on(part, prose) or leads or (prose and (gone or removed[k]))
        else:
            first = act(part, len(part.words))
            more = k == about and first is not None and first + k > 0
        if cut and part.words and more and not (styled and not removed[k]):
            take_out(part, first or 0, len(part.words), places=not placed)
            removed[k], gone = True, k > about
        cut = cut or removed[k]
        left = part.left
        if removed[k] and all(word.shows or word.kind in _NOTHING for word in left):
            if k > about or not any(word.shows for word in left):
                for word in part.words:
                    word.new = ""
            elif not any(word.kind == "somebody" for word in left):
                next(word for word in reversed(part.words) if word.new == "").new = "a scene"
        placed = placed or any(word.new for word in part.words)
        styled = styled or part.style < len(part.words)
        if k == about and removed[k] and left and left[-1].text in PICTURES and _opens(parts, k + 1):
            about += 1  # "a painting of a murder, a man in a park": that is what it is about
    return cut


def _goes_on(part: Part, prose: bool) -> bool:
    """Whether a part tells more of what is done in the sentence, rather than of the picture."""
    words = [word for word in part.words if word.kind != "adverb"]
    if not words or not part.style:
        return False
    more = words[0].kind in ("owner", "somebody", "conjunction", "link") or words[0].shows
    more = more or words[0].happens or words[0].text in ("with", "as", "after", "before", "to")
    return more or (prose and any(word.happens for word in words))


def _describes_next(part: Part) -> bool:
    """Whether a part ends in what describes the next one's noun: "a desolate, windswept beach"."""
    if part.after != "," or not part.words:
        return False
    found = kinds(part.words[-1].text)
    return describes(part, len(part.words) - 1) if part.words[-1].match else "ADJ" in found and "NOUN" not in found


def _opens(parts: list[Part], k: int) -> bool:
    return k < len(parts) and bool(parts[k].words) and parts[k].words[0].kind == "determiner"


def _complete(parts: list[Part], k: int) -> int:
    """The part in which a noun phrase ends that a part may leave open: "a desolate, windswept beach"."""
    words = parts[k].words
    if words and words[parts[k].phrase_start(len(words) - 1)].kind in ("determiner", "owner"):
        while _describes_next(parts[k]):
            k += 1
    return k


def _joins(part: Part) -> bool:
    return part.before == "," and bool(part.words) and part.words[0].kind == "conjunction"


def _speaks_of_it(parts: list[Part], follows: bool) -> bool:
    """Whether a sentence only tells more of what the one before said."""
    first = next(part for part in parts if part.words).words[0]
    return first.kind == "somebody" or (follows and first.text in ("the", "this", "his", "her", "their", "its"))


def _edits(part: Part) -> list[Edit]:
    """A part's edits: of words that go in a row, one."""
    if part.words and not part.left:
        return [Edit(part.start, part.end)]
    edits: list[Edit] = []
    follows = False
    for word in part.words:
        if word.new == "" and follows:
            edits[-1] = edits[-1]._replace(end=word.end)
        elif word.new is not None:
            edits.append(Edit(word.start, word.end, word.new))
        follows = word.new is not None
    return edits


def _place(parts: list[Part], k: int, edits: list[Edit]) -> int:
    """Where aims may be said: at the end of a part, before whatever says in whose style."""
    for i, part in enumerate(parts[: k + 1]):
        style = part.style
        if style < len(part.words) and ((i and not style) or (i == k and part.words[style].start >= edits[0].end)):
            return part.words[style].start
    k = _complete(parts, k)
    while k + 1 < len(parts) and _joins(parts[k + 1]):
        k += 1
    return parts[k].end
