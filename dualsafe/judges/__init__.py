"""Judges: what reads a picture and says whether it is unsafe; one adapter a file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .judge import Judge, Verdict, as_judge, ask, name_of
from .registry import load_judge

if TYPE_CHECKING:
    from .classifier import ClassifierJudge
    from .clip import ClipJudge
    from .endpoint import EndpointJudge
    from .llavaguard import LlavaGuardJudge
    from .nudenet import NudeNetJudge
    from .of_checkpoint import judge_of, own_judge
    from .picto import PictoJudge
    from .q16 import Q16Judge
    from .safety_checker import SafetyCheckerJudge
    from .shieldgemma import ShieldGemmaJudge
    from .trained import GuardJudge

_HOME = {
    "ClassifierJudge": "classifier",
    "ClipJudge": "clip",
    "EndpointJudge": "endpoint",
    "GuardJudge": "trained",
    "LlavaGuardJudge": "llavaguard",
    "NudeNetJudge": "nudenet",
    "PictoJudge": "picto",
    "Q16Judge": "q16",
    "SafetyCheckerJudge": "safety_checker",
    "ShieldGemmaJudge": "shieldgemma",
    "judge_of": "of_checkpoint",
    "own_judge": "of_checkpoint",
}
__all__ = [
    "ClassifierJudge",
    "ClipJudge",
    "EndpointJudge",
    "GuardJudge",
    "Judge",
    "LlavaGuardJudge",
    "NudeNetJudge",
    "PictoJudge",
    "Q16Judge",
    "SafetyCheckerJudge",
    "ShieldGemmaJudge",
    "Verdict",
    "as_judge",
    "ask",
    "judge_of",
    "load_judge",
    "name_of",
    "own_judge",
]


def __getattr__(name: str) -> object:
    """Adapters are imported when first used, since each brings its own libraries."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
