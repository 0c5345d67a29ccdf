"""What every way of computing a safe branch in part has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor


class Partial(ABC):
    """Runs the original's calls, keeps what safe branches need of them, and runs those.

    Attributes:
        told: what a call may tell the denoiser; all else is refused.
        needs_mask: whether safe branches are computed at the places of a mask alone.

    Raises:
        TypeError: the denoiser is set up in a way that hides its parts.
    """

    told: ClassVar[frozenset[str]]
    needs_mask: ClassVar[bool]

    def __init__(self, model: Any):
        if model._compiled_call_impl is not None:
            raise TypeError(f"sparse=True takes no {type(model).__name__} that is compiled: set sparse=False")
        self._model = model

    @abstractmethod
    def keep(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What the model says of the original, to the bit."""

    def run(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        """Predictions (n, C, h, w) of safe branches; of no meaning out of `places`.

        Args:
            args, kwargs: the loop's call, cut to the n rows of the safe branches.
            rows: (n,), which row of the original's kept batch each of them follows.
            places: as `places` gave them, one for each row.

        Raises:
            ValueError: the call tells the denoiser what only all of it can be told.
        """
        more = [name for name in kwargs.keys() - self.told if kwargs[name] is not None]
        if more:
            raise ValueError(f"sparse=True takes no {', '.join(sorted(more))} of a call: set sparse=False")
        return self._run(args, kwargs, rows, places)

    @abstractmethod
    def places(self, mask: Tensor) -> Tensor:
        """Where (n, h', w') safe branches are computed, by masks (n, 1, h, w)."""

    @abstractmethod
    def _run(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor: ...
