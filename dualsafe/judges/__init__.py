"""Judges: what reads a picture and says whether it is unsafe; one adapter a file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .judge import Judge, Verdict, as_judge, ask, name_of
from .registry import load_judge

if TYPE_CHECKING:
    from .classifier import ClassifierJudge as ClassifierJudge
    from .clip import ClipJudge as ClipJudge
    from .endpoint import EndpointJudge as EndpointJudge
    from .llavaguard import LlavaGuardJudge as LlavaGuardJudge
    from .nudenet import NudeNetJudge as NudeNetJudge
    from .of_checkpoint import judge_of as judge_of
    from .of_checkpoint import own_judge as own_judge
    from .picto import PictoJudge as PictoJudge
    from .q16 import Q16Judge as Q16Judge
    from .safety_checker import SafetyCheckerJudge as SafetyCheckerJudge
    from .shieldgemma import ShieldGemmaJudge as ShieldGemmaJudge
    from .trained import GuardJudge as GuardJudge

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
__all__ = ["Judge", "Verdict", "as_judge", "ask", "load_judge", "name_of", *_HOME]


def __getattr__(name: str) -> object:
    """Adapters are imported when first used, since each brings its own libraries."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
