"""Stand-ins for a pipeline instance's components and methods, for the length of a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from diffusers import DiffusionPipeline


@contextmanager
def standing_in(pipe: DiffusionPipeline, stand_ins: Mapping[str, Any]) -> Iterator[None]:
    """Puts stand-ins in the place of the pipeline instance's components and methods for a while.

    Written into the instance's `__dict__`, past diffusers' setter, so that its config stays as it is.
    """
    before = {name: pipe.__dict__[name] for name in stand_ins if name in pipe.__dict__}
    pipe.__dict__.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del pipe.__dict__[name]
        pipe.__dict__.update(before)
