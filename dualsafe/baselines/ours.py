"""Our own method at its presets, under any settings, with and without judges in the loop."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..config import UNCALIBRATED, MethodSettings
from ..judges import Judge
from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .protocol import Drawn
from .stock import draw

LOOPS: dict[str, tuple[str, ...]] = {"": (), "+preview": ("preview",), "+verify": ("preview", "verify")}
_WORDS = {"none": None, "true": True, "false": False, "uncalibrated": UNCALIBRATED}
_SETTINGS = tuple(each.name for each in fields(MethodSettings))
_CALL = tuple(
    name
    for name, parameter in inspect.signature(DualLatentMixin.__call__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("policy", "settings")
)


@dataclass(frozen=True)
class Dualsafe:
    """`DualLatentPipeline` and its kin.

    Attributes:
        level: a preset of the dial.
        judges: the arguments of the call that get a judge; without, not even the checkpoint's own previews.
        judge: never the one that measures.
        options: further arguments of the call.
    """

    name: str
    level: str
    judges: tuple[str, ...] = ()
    judge: Judge | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        loop: dict[str, Any] = {"preview": None} | dict.fromkeys(self.judges, self.judge)
        asked = {"safety_level": self.level} | loop | self.options
        return draw(pipe, prompts, seeds, policy, **asked, **sampling)


def options_of(text: str) -> dict[str, Any]:
    """Arguments of the call from "KEY=VALUE,...": settings of the method, or other arguments that a word can say.

    Values are numbers, none, true, false, uncalibrated (of `dial`), or words.

    Raises:
        ValueError: not of that form, an unknown key, or a value that the settings do not accept.
    """
    settings: dict[str, Any] = {}
    call: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in (*_SETTINGS, *_CALL):
            keys = ", ".join(dict.fromkeys(_SETTINGS + _CALL))
            raise ValueError(f"{part!r} must be KEY=VALUE, its key one of {keys}")
        parsed = _value(value)
        no_judge = key in _CALL and parsed is None  # the settings' preview is a number, the call's a judge
        (settings if key in _SETTINGS and not no_judge else call)[key] = parsed
    return call | ({"settings": replace(MethodSettings(), **settings)} if settings else {})


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    try:
        return float(text)
    except ValueError:
        return text
