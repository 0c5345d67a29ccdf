"""Judges by name, for command lines and configuration files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..bundled import PICTO
from ..registry import Registry
from .judge import Judge

ADDRESS = re.compile(r"(https?://[^/:]+(?::\d+)?(?:/[^:]*)?):(.+)")
"""Where an endpoint is, and its model there; either may hold colons."""


def load_judge(spec: str, device: str = "cpu") -> Judge:
    """The judge that a text of one of `JUDGES.forms` names.

    Other packages add to them by an entry point of the group "dualsafe.judges": a function of what stands after the
    name's colon, and the device, that returns a judge.

    Args:
        spec: a PATH is a folder, or a repository's name on the hub; a POLICY a shipped one's name (i2p if none is
            given), or a YAML file.
        device: torch device of judges that run here.

    Raises:
        ValueError: none of these forms.
        PolicyError: no such policy.
        CheckpointError: its checkpoint cannot be loaded, or lacks weights.
        ImportError: the judge's package is not installed.
    """
    return JUDGES.load(spec, device)


def _checkpoint(
    name: str, form: str = "(.+)", second: Callable[[str], Any] = str
) -> Callable[[str, str], Judge | None]:
    """Loads a class of this package from what `form` finds: a path, and what `second` makes of what stands behind."""

    def load(rest: str, device: str) -> Judge | None:
        found = re.fullmatch(form, rest)
        if found is None:
            return None
        path, *more = found.groups()
        return _named(name).from_pretrained(path, *map(second, more), device=device)

    return load


def _picto(folder: str) -> Callable[[str, str], Judge | None]:
    def load(rest: str, device: str) -> Judge | None:
        return None if rest else _named("PictoJudge").from_pretrained(Path(PICTO) / folder).eval().to(device)

    return load


def _picto_clip(rest: str, device: str) -> Judge | None:
    return None if rest else load_judge(f"clip:{Path(PICTO) / 'clip'}:picto", device)


def _nudenet(rest: str, device: str) -> Judge | None:
    return None if rest else _named("NudeNetJudge")()


def _endpoint(rest: str, device: str) -> Judge | None:
    found = ADDRESS.fullmatch(rest)
    return _named("EndpointJudge")(*found.groups()) if found else None


def _policy(name: str) -> Any:
    from ..policy import resolve

    return resolve(name or "i2p")


def _named(name: str) -> Any:
    """A class of this package, which imports it with its libraries now."""
    from .. import judges

    return getattr(judges, name)


JUDGES = Registry(
    "judge",
    {
        "picto": _picto("judge"),
        "picto-guard": _picto("guard"),
        "picto-examiner": _picto("examiner"),
        "picto-clip": _picto_clip,
        "clip:PATH[:POLICY]": _checkpoint("ClipJudge", "([^:]+):?(.*)", _policy),
        "safety-checker:PATH": _checkpoint("SafetyCheckerJudge"),
        "q16:CLIP_PATH:PROMPTS.safetensors": _checkpoint("Q16Judge", "(.+):(.+)"),
        "nudenet": _nudenet,
        "classifier:PATH:label,label": _checkpoint("ClassifierJudge", "(.+):(.+)", lambda labels: labels.split(",")),
        "llavaguard:PATH": _checkpoint("LlavaGuardJudge"),
        "shieldgemma:PATH": _checkpoint("ShieldGemmaJudge"),
        "guard:PATH": _checkpoint("GuardJudge"),
        "endpoint:BASE_URL:MODEL": _endpoint,
    },
    group="dualsafe.judges",
)
