"""A prompt without its unsafe terms.

A thing gives way to its counterpart, and what only describes is left out. An act is not replaced, since its sentence
would make no sense: who is there, where, and in what style stay, and what is done goes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from .clause import sentences
from .match import find
from .model import Policy
from .seam import Edit, joined, once, told
from .sentence import revise
from .swap import capital


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
    edits: list[Edit] = []
    kept: set[int] = set()
    place, cut = None, False
    for parts in sentences(prompt, matches):
        words = [word for part in parts for word in part.words]
        if not any(word.match for word in words):
            cut = False
            continue
        new, here, cut = revise(parts, follows=cut)
        edits += new
        place = here if place is None else place
        kept |= {word.match.start for word in words if word.match and word.new}
    place = max((edit.end for edit in edits if edit.start < (place or 0) < edit.end), default=place or 0)
    head = joined(prompt, 0, place, [edit for edit in edits if edit.end <= place])
    tail = joined(prompt, place, len(prompt), [edit for edit in edits if edit.end > place])
    aims = dict.fromkeys(aim for match in matches if (aim := policy.categories[match.category].aim))
    said = ", ".join(aim for aim in aims if not aim.startswith("with ") and aim not in prompt)
    text = once(told(head, said, tail), {m.concept.counterpart for m in matches if m.concept.counterpart})
    text = re.sub(r"[:,;]+(?=[.]?$)|(?<=\w),(?=\"\s*,)", "", text.strip(" ,;"))
    text = text or ", ".join(aim.removeprefix("with ") for aim in aims)
    triggers = (
        Trigger(prompt[m.start : m.end], m.start, m.end, m.category, m.concept.counterpart if m.start in kept else None)
        for m in matches
    )
    return Rewrite(capital(text) if prompt.lstrip()[:1].isupper() else text, tuple(triggers))
