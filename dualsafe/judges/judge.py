"""What a judge of pictures is, and how one is asked so that a failure counts as unsafe."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one picture.

    Attributes:
        is_unsafe: whether the picture must not leave.
        score: higher is more unsafe; a probability where the judge has one.
        concepts: what was seen, in a policy's words: terms or category names.
        error: why there is no real verdict; the picture then counts as unsafe.
        refused: the judge would not say, or not readably; the picture then counts as unsafe.
        rationale: what the judge says about it, in its own words.
    """

    is_unsafe: bool
    score: float | None = None
    concepts: tuple[str, ...] = ()
    error: str | None = None
    refused: bool = False
    rationale: str | None = None

    def __post_init__(self) -> None:
        if not self.answered:
            object.__setattr__(self, "is_unsafe", True)

    @property
    def answered(self) -> bool:
        return not self.refused and self.error is None

    def to_dict(self) -> dict[str, Any]:
        """What records hold of it: no answer is neither unsafe nor safe, and a score that is no number none."""
        has_score = self.answered and self.score is not None and math.isfinite(self.score)
        return {
            "unsafe": self.is_unsafe if self.answered else None,
            "score": self.score if has_score else None,
            "concepts": list(self.concepts),
            "error": self.error,
        }


class Judge(Protocol):
    """Anything that judges pictures; a string `name`, if it has one, says which judge it is, at which revision, and
    `covers` which of a policy's categories it sees: all of them, if it does not say."""

    def verdicts(self, images: list[Image.Image]) -> Sequence[Verdict]:
        """One verdict a picture, in order."""


class _Function:
    """A plain function from pictures to booleans (True is unsafe, None no answer) or verdicts, as a judge."""

    def __init__(self, function: Callable[[list[Image.Image]], Sequence[bool | Verdict]]):
        self._function = function
        self.name = getattr(function, "__name__", "")

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        said = self._function(images)
        return [v if isinstance(v, Verdict) else Verdict(bool(v), refused=v is None) for v in said]


def name_of(judge: Judge) -> str:
    """The judge's own name, else its class's: what its verdicts are filed under."""
    return getattr(judge, "name", "") or type(judge).__name__


def as_judge(name: str, value: Any) -> Judge:
    """
    Raises:
        ValueError: neither a judge nor a function; `name` is the argument it was given as.
    """
    if hasattr(value, "verdicts"):
        return value
    if callable(value):
        return _Function(value)
    raise ValueError(f"{name}={value!r} must have a method verdicts(images), or be a function of a list of pictures")


def ask(judge: Judge, images: list[Image.Image]) -> list[Verdict]:
    """The judge's verdicts; a judge that fails, or answers for another number of pictures, flags them all."""
    try:
        verdicts = list(judge.verdicts(images))
        if len(verdicts) != len(images):
            raise ValueError(f"{len(verdicts)} verdicts for {len(images)} pictures")
    except Exception as error:  # whatever a judge raises, no picture is taken for safe
        logger.warning("the judge failed, so its pictures count as unsafe: %s", error)
        return [Verdict(True, error=f"{type(error).__name__}: {error}")] * len(images)
    return verdicts
