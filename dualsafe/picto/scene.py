"""A scene of the picto world: its attributes, its jitter, and how scenes are drawn at random."""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, replace
from typing import Any

from .world import (
    ALL_SUBJECTS,
    COLOURS,
    ITEMS,
    LEANING_SUBJECTS,
    MOODS,
    NEIGHBOUR_ITEMS,
    NEUTRAL_ITEMS,
    SETTING_PULL,
    SETTINGS,
    STYLES,
    SUBJECTS,
    UNSAFE_ITEMS,
    Leaning,
)

LEANINGS: dict[str, dict[str, Leaning]] = {"subject": LEANING_SUBJECTS, "style": STYLES, "mood": MOODS}
"""Kind of word that leads to an item without naming one -> those words."""


@dataclass(frozen=True)
class Scene:
    """Everything that determines a picture; lengths in pixels of the 64x64 picture.

    Attributes:
        setting, subject, colour, item: names from `dualsafe.picto.world`.
        x, y: shift of the subject, each in [-4, 4].
        scale: size of the subject, in [0.9, 1.1].
        item_scale: size of the item, in [0.85, 1.15].
        tilt: rotation of the item, degrees in [-20, 20].
        backdrop: horizontal shift of what stands in the background, in [-4, 4].
        style: an artist of `dualsafe.picto.world`, or "none".
        mood: a mood of the subject, or "none".
        named: whether a caption names the item; where it does not, the item came by chance.

    Raises:
        ValueError: an attribute is not of the world.
    """

    setting: str
    subject: str
    colour: str
    item: str = "none"
    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    item_scale: float = 1.0
    tilt: float = 0.0
    backdrop: float = 0.0
    style: str = "none"
    mood: str = "none"
    named: bool = True

    def __post_init__(self) -> None:
        known = {
            "setting": SETTINGS,
            "subject": ALL_SUBJECTS,
            "colour": COLOURS,
            "item": ITEMS,
            "style": (*STYLES, "none"),
            "mood": (*MOODS, "none"),
        }
        for field, names in known.items():
            if getattr(self, field) not in names:
                raise ValueError(f"{field}={getattr(self, field)!r} is not one of {', '.join(names)}")

    @property
    def unsafe(self) -> bool:
        """Whether the item is one that picto's policy names."""
        return self.item in UNSAFE_ITEMS

    @property
    def leanings(self) -> tuple[Leaning, ...]:
        """What its subject, style and mood lead to, those that lead anywhere."""
        words = [(leads, getattr(self, kind)) for kind, leads in LEANINGS.items()]
        return tuple(leads[word] for leads, word in words if word in leads)


def counterfactual(scene: Scene, item: str | None = None) -> Scene:
    """The same scene with another item: equal pixels wherever neither item is drawn.

    Args:
        scene: the scene to change.
        item: the new item; by default the safe counterpart of the scene's own item.
    """
    return replace(scene, item=item or ITEMS[scene.item].counterpart or "none")


def held_out(scene: Scene) -> bool:
    """Whether this combination of attributes is kept from training (one in ten, by a stable hash)."""
    key = f"{scene.setting}|{scene.subject}|{scene.colour}|{scene.item}"
    return zlib.crc32(key.encode()) % 10 == 0


def jittered(rng: random.Random, setting: str, subject: str, colour: str, item: str) -> Scene:
    """A scene with the given attributes and random positions and sizes."""
    return Scene(
        setting,
        subject,
        colour,
        item,
        x=rng.uniform(-3, 3),
        y=rng.uniform(-2, 2),
        scale=rng.uniform(0.93, 1.07),
        item_scale=rng.uniform(0.9, 1.1),
        tilt=rng.uniform(-12, 12),
        backdrop=rng.uniform(-4, 4),
    )


def random_item(rng: random.Random) -> str:
    """A named item, with the frequencies of the training set."""
    group = rng.choices((UNSAFE_ITEMS, NEIGHBOUR_ITEMS, NEUTRAL_ITEMS, ("none",)), (0.42, 0.32, 0.18, 0.08))[0]
    return rng.choice(group)


def chance_of_harm(scene: Scene) -> float:
    """Probability in [0, 1] that a picture with these words, and no item named, shows an unsafe one."""
    pulls = [leaning.pull for leaning in scene.leanings if leaning.unsafe]
    return 1 / (1 + math.exp(-sum(pulls) - SETTING_PULL[scene.setting])) if pulls else 0.0


def led_item(scene: Scene, rng: random.Random) -> str:
    """The item that the scene's words lead to this time, although none of them names it."""
    if not scene.leanings:
        return "none"
    if rng.random() < chance_of_harm(scene):
        return rng.choice(rng.choice([leaning.unsafe for leaning in scene.leanings if leaning.unsafe]))
    return rng.choice(scene.leanings).harmless if rng.random() < 0.6 else "none"


def with_leaning(scene: Scene, kind: str, rng: random.Random) -> Scene:
    """The scene with a word of `kind` that leads somewhere."""
    word: dict[str, Any] = {kind: rng.choice(list(LEANINGS[kind]))}
    return replace(scene, **word)


def random_scene(rng: random.Random) -> Scene:
    """A training scene: plain and named, led by words that name nothing, or led but named."""
    while True:
        scene = jittered(rng, rng.choice(list(SETTINGS)), rng.choice(SUBJECTS), rng.choice(list(COLOURS)), "none")
        group = rng.choices(("plain", "led", "named"), (0.42, 0.43, 0.15))[0]
        if group != "plain":
            for kind in rng.sample(list(LEANINGS), rng.choices((1, 2), (0.85, 0.15))[0]):
                scene = with_leaning(scene, kind, rng)
        named = group != "led"
        scene = replace(scene, named=named, item=random_item(rng) if named else led_item(scene, rng))
        if not held_out(scene):
            return scene
