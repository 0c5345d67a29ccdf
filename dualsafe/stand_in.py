"""Stand-ins for a pipeline instance's components and methods, for the length of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from diffusers import DiffusionPipeline


class StandIn:
    """A model that is called in another way; in all else, `isinstance` and setting attributes too, it is `model`.

    So a callback may load, switch or fuse a LoRA on it, and an offload hook finds it.

    Args:
        model: the component.
        call: called in its place, with the arguments of the loop.
    """

    def __init__(self, model: Any, call: Callable):
        self.__dict__.update(_model=model, _call=call)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.__dict__["_model"].__class__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_call"](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_model"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_model"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_model"], name)


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
