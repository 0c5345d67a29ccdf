"""Who looks at a call's pictures: the watch, and judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..config import MethodSettings
from ..judges import Judge, as_judge, own_judge
from ..policy import Policy

SCOPES = ("all", "words")


@dataclass(frozen=True)
class Judges:
    """
    Attributes:
        preview, verify: judges of half-made and of finished pictures.
        watched: the policy's categories that the watch looks for.
    """

    preview: Judge | None = None
    verify: Judge | None = None
    watched: tuple[str, ...] = ()


def judges_of(pipe: Any, policy: Policy, scope: Any, preview: Any, verify: Any, settings: MethodSettings) -> Judges:
    """What a call's `scope`, `preview`, `verify` and `settings.watch` mean for this checkpoint.

    Raises:
        ValueError: an unknown scope, or what is no judge.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope={scope!r} is not one of {', '.join(SCOPES)}")
    looks = _judge(pipe, "preview", None if preview == "auto" and scope == "words" else preview)
    checks = _judge(pipe, "verify", verify)
    if checks is None and getattr(pipe, "safety_checker", None) is not None:
        checks = own_judge(pipe)  # else the stock pipeline would blacken what it flags, without another try
    if scope == "words" or settings.watch is None:
        return Judges(looks, checks)
    return Judges(looks, checks, tuple(name for name, category in policy.categories.items() if category.level != 0))


def _judge(pipe: Any, name: str, value: Any) -> Judge | None:
    if value is None:
        return None
    return own_judge(pipe) if isinstance(value, str) and value == "auto" else as_judge(name, value)
