"""What can be asked of a drawing, wherever it is asked: the command, the service, the app and a call check it here."""

from __future__ import annotations

import math
from contextlib import suppress
from numbers import Real
from typing import Any

from .errors import ArgumentError

MAX_SEED = 2**53 - 1
"""The largest seed: every JSON reader has it to the bit."""
MAX_PROMPT = 4000
"""Characters of a prompt, by default."""


def check_prompt(prompt: str, most: int = MAX_PROMPT, name: str = "prompt") -> None:
    """
    Raises:
        ArgumentError: nothing but spaces, too long, or no text that can be written.
    """
    if not prompt.strip():
        raise ArgumentError(name, f"{prompt!r}: say what to draw")
    if len(prompt) > most:
        raise ArgumentError(name, f"{prompt[:20]!r}...: {len(prompt)} characters, over the {most} accepted here")
    if not prompt.isascii():
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            half = prompt[error.start]
            raise ArgumentError(name, f"has {half!r} at character {error.start}, half of a surrogate pair") from None


def level_of(safety_level: Any, name: str = "safety_level") -> float:
    """A safety level, a number as text too, as a number in [0, 1].

    Raises:
        ArgumentError: not a number in [0, 1], and no name of one.
    """
    from .config import resolve_level  # which imports numpy

    if isinstance(safety_level, str):
        with suppress(ValueError):
            safety_level = float(safety_level)
    try:
        return resolve_level(safety_level)
    except ValueError as error:
        said = f"{safety_level!r}: give a number in [0, 1], or off, low, medium, high, max"
        raise ArgumentError(name, said) from error


def check_number(name: str, value: Any, least: float, most: float = math.inf) -> None:
    """
    Raises:
        ArgumentError: not a finite number within [least, most].
    """
    whole = isinstance(value, int) and not isinstance(value, bool)  # of any length: too long for isfinite
    if not whole and not (isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)):
        raise ArgumentError(name, f"{value!r} must be a finite number")
    if value < least:
        raise ArgumentError(name, f"{_short(value)}: the least that is accepted here is {least:g}")
    if value > most:
        raise ArgumentError(name, f"{_short(value)}: the most that is accepted here is {most:g}")


def check_seed(seed: int, pictures: int = 1) -> None:
    """
    Args:
        pictures: the k-th is drawn from `seed + k`.

    Raises:
        ArgumentError: one of the seeds is no whole number in [0, MAX_SEED].
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED - pictures + 1:
        raise ArgumentError(
            "seed", f"{_short(seed)} must be a whole number, from 0 to {MAX_SEED} with one for each picture"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
