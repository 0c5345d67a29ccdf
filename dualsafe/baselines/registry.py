"""Safety methods by name."""

from __future__ import annotations

from collections.abc import Callable

from ..config import PRESETS
from ..judges import Judge
from ..registry import Registry
from .casg import CASG
from .dng import DNG
from .edited import Edited
from .esd import ESD
from .ours import LOOPS, Dualsafe, options_of
from .protocol import SafetyMethod
from .safree import SAFREE
from .sega import SEGA
from .sld import PRESETS as SLD_PRESETS
from .sld import SLDByCategory, presets_of
from .stock import Stock
from .uce import UCE

_OTHERS: list[SafetyMethod] = [
    Stock(),
    Stock("negative-prompt", negative=True),
    *SLD_PRESETS,
    *presets_of(SLDByCategory, "sld-{}-by-category"),
    *presets_of(CASG, "casg-sld-{}"),
    SAFREE(),
    SAFREE("safree+negative", negative=True),
    SEGA(),
    DNG(),
    Edited("uce", UCE()),
    Edited("esd-x", ESD()),
    Stock("safe-prompt", rewritten=True),
]
METHODS: dict[str, SafetyMethod] = {method.name: method for method in _OTHERS}
"""Methods that need no judge, but ours."""

OURS: dict[str, tuple[str, str]] = {
    f"dualsafe-{level}{loop}": (level, loop) for loop in LOOPS for level in PRESETS if level != "off"
}
"""Our methods: dualsafe-LEVEL, then +preview or +verify; after a colon, settings: dualsafe-max:tau=0.1,mask=none."""


def names() -> list[str]:
    """Every method that can be asked for."""
    return _REGISTRY.names()


def create(name: str, judge: Judge | None = None) -> SafetyMethod:
    """A method by its name.

    Other packages add to them by an entry point of the group "dualsafe.methods": a function of what stands after the
    name's colon, and the judge, that returns a method.

    Args:
        judge: for +preview and +verify; never the one that measures.

    Raises:
        ValueError: an unknown name, or no judge for a method that needs one.
    """
    return _REGISTRY.load(name, judge)


def _other(name: str) -> Callable[[str, Judge | None], SafetyMethod | None]:
    return lambda rest, judge: None if rest else METHODS[name]


def _ours(name: str) -> Callable[[str, Judge | None], SafetyMethod | None]:
    level, loop = OURS[name]

    def load(rest: str, judge: Judge | None) -> SafetyMethod | None:
        if loop and judge is None:
            raise ValueError(f"method {name!r} needs a judge in its loop, other than those that measure")
        return Dualsafe(f"{name}:{rest}" if rest else name, level, LOOPS[loop], judge, options_of(rest))

    return load


_REGISTRY = Registry(
    "method", {name: _other(name) for name in METHODS} | {name: _ours(name) for name in OURS}, group="dualsafe.methods"
)
