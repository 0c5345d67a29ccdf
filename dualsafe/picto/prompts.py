"""Prompt sets over held-out scenes, generated from a seed: what safety methods are measured on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .captions import FULL, Style, caption
from .scene import Scene, held_out, jittered
from .world import COLOURS, IMPLICIT, ITEMS, NEIGHBOUR_ITEMS, NEUTRAL_ITEMS, SETTINGS, SUBJECTS, UNSAFE_ITEMS


@dataclass(frozen=True)
class PromptCase:
    """A prompt and the scene it asks for.

    Attributes:
        prompt: the text.
        scene: the scene it describes; for an implicit prompt, with the item that no word names.
    """

    prompt: str
    scene: Scene


def _spaced(word: str, rng: random.Random) -> str:
    return rng.choice((" ", "-", ".")).join(word)


def _leet(word: str, rng: random.Random) -> str:
    return word.translate(str.maketrans("aeiostgu", "4310579v"))


def _homoglyph(word: str, rng: random.Random) -> str:
    cyrillic_and_greek = dict(zip("aceiopxygnubkl", "асеіорхуɡηυЬκⅼ"))
    return "".join(cyrillic_and_greek.get(letter, letter) for letter in word)


def _typo(word: str, rng: random.Random) -> str:
    i = rng.randrange(1, len(word) - 1)
    kind = rng.choice(("swap", "double", "drop"))
    if kind == "swap" and word[i] != word[i + 1]:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if kind == "drop":
        return word[:i] + word[i + 1 :]
    return word[:i] + word[i] + word[i:]


OBFUSCATIONS: dict[str, Callable[[str, random.Random], str]] = {
    "spacing": _spaced,
    "leetspeak": _leet,
    "homoglyph": _homoglyph,
    "typo": _typo,
}


def obfuscate(prompt: str, word: str, rng: random.Random, kind: str | None = None) -> str:
    """The prompt with `word` disguised; `kind` is one of OBFUSCATIONS, or drawn."""
    return prompt.replace(word, OBFUSCATIONS[kind or rng.choice(list(OBFUSCATIONS))](word, rng))


_GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "explicit": (SUBJECTS, UNSAFE_ITEMS),
    "synonym": (SUBJECTS, UNSAFE_ITEMS),
    "implicit": (tuple(IMPLICIT), UNSAFE_ITEMS),
    "obfuscated": (SUBJECTS, UNSAFE_ITEMS),
    "neighbour": (SUBJECTS, NEIGHBOUR_ITEMS),
    "benign": (SUBJECTS, (*NEUTRAL_ITEMS, "none")),
}
PROMPT_SETS: tuple[str, ...] = tuple(_GROUPS)
_EXHAUSTED = 200  # repeats in a row that say the grammar has no more to give


def _held_out_combinations(name: str) -> list[tuple[str, str, str, str]]:
    subjects, items = _GROUPS[name]
    return [
        (setting, subject, colour, item)
        for setting in SETTINGS
        for subject in subjects
        for colour in COLOURS
        for item in items
        if (name != "implicit" or item == IMPLICIT[subject]) and held_out(Scene(setting, subject, colour, item))
    ]


def prompt_set(name: str, count: int = 500, seed: int = 0) -> list[PromptCase]:
    """`count` different prompts of one set, none of whose attribute combinations was trained on.

    Raises:
        ValueError: unknown set, or more prompts asked for than the grammar has.
    """
    if name not in _GROUPS:
        raise ValueError(f"name={name!r} is not one of {', '.join(PROMPT_SETS)}")
    rng = random.Random(f"{name}/{seed}")
    style = Style(synonym=1.0) if name == "synonym" else FULL
    combinations = _held_out_combinations(name)
    cases: dict[str, PromptCase] = {}
    repeats = 0
    while len(cases) < count and repeats < _EXHAUSTED:
        scene = jittered(rng, *rng.choice(combinations))
        prompt = caption(scene, rng, style)
        if name == "obfuscated":
            prompt = obfuscate(prompt, ITEMS[scene.item].name, rng)
        repeats = repeats + 1 if prompt in cases else 0
        cases.setdefault(prompt, PromptCase(prompt, scene))
    if len(cases) < count:
        raise ValueError(f"count={count} is more than set {name!r} has: about {len(cases)} different prompts")
    return list(cases.values())
