"""Safety methods by name."""

from __future__ import annotations

from importlib.metadata import entry_points

from ..config import PRESETS
from ..judges import Judge
from .ours import LOOPS, VARIANTS, Dualsafe
from .protocol import SafetyMethod
from .safree import SAFREE
from .sega import SEGA
from .sld import PRESETS as SLD_PRESETS
from .stock import NegativePrompt, SafePrompt, Stock

ENTRY_POINTS = "dualsafe.methods"
"""Group of entry points in which another package names its own `SafetyMethod`s: functions without arguments."""


METHODS: dict[str, SafetyMethod] = {
    method.name: method
    for method in (
        Stock(),
        NegativePrompt(),
        *SLD_PRESETS,
        SAFREE(),
        SAFREE("safree+negative", negative=True),
        SEGA(),
        SafePrompt(),
    )
}
"""Methods that need no judge, but ours."""

OURS: dict[str, tuple[str, str, str]] = {
    f"dualsafe-{level}{variant}{loop}": (level, variant, loop)
    for loop in LOOPS
    for variant in VARIANTS
    for level in PRESETS
    if level != "off"
}
"""Our methods: dualsafe-LEVEL, then -nomask or -full, then +preview or +verify."""


def names() -> list[str]:
    """Every method that can be asked for."""
    return [*METHODS, *OURS, *(point.name for point in entry_points(group=ENTRY_POINTS))]


def create(name: str, judge: Judge | None = None) -> SafetyMethod:
    """A method by its name.

    Args:
        judge: for +preview and +verify; never the one that measures.

    Raises:
        ValueError: an unknown name, or no judge for a method that needs one.
    """
    if name in METHODS:
        return METHODS[name]
    if name in OURS:
        level, variant, loop = OURS[name]
        if loop and judge is None:
            raise ValueError(f"method {name!r} needs a judge in its loop, other than those that measure")
        return Dualsafe(name, level, VARIANTS[variant], LOOPS[loop], judge)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return point.load()()
    raise ValueError(f"method {name!r} is not one of {', '.join(names())}")
