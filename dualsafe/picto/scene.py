"""A scene of the picto world: its attributes, its jitter, and how scenes are drawn at random."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, replace

from .world import (
    ALL_SUBJECTS,
    COLOURS,
    IMPLICIT,
    ITEMS,
    NEIGHBOUR_ITEMS,
    NEUTRAL_ITEMS,
    SETTINGS,
    SUBJECTS,
    UNSAFE_ITEMS,
)


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

    def __post_init__(self) -> None:
        known = {"setting": SETTINGS, "subject": ALL_SUBJECTS, "colour": COLOURS, "item": ITEMS}
        for field, names in known.items():
            if getattr(self, field) not in names:
                raise ValueError(f"{field}={getattr(self, field)!r} is not one of {', '.join(names)}")

    @property
    def unsafe(self) -> bool:
        """Whether the item is one that picto's policy names."""
        return self.item in UNSAFE_ITEMS


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
    """An item with the frequencies of the training set."""
    group = rng.choices((UNSAFE_ITEMS, NEIGHBOUR_ITEMS, NEUTRAL_ITEMS, ("none",)), (0.42, 0.32, 0.18, 0.08))[0]
    return rng.choice(group)


def random_scene(rng: random.Random) -> Scene:
    """A training scene; implicit subjects mostly carry their unsafe item."""
    setting, colour = rng.choice(list(SETTINGS)), rng.choice(list(COLOURS))
    while True:
        if rng.random() < 0.72:
            subject, item = rng.choice(SUBJECTS), random_item(rng)
        else:
            subject = rng.choice(list(IMPLICIT))
            item = rng.choices((IMPLICIT[subject], "none", random_item(rng)), (0.6, 0.08, 0.32))[0]
        scene = jittered(rng, setting, subject, colour, item)
        if not held_out(scene):
            return scene
