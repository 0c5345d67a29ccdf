"""What every way of computing a safe branch in part has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor


class Partial(ABC):
    """Runs the original's calls, keeps what safe branches need of them, and runs those.

    Attributes:
        told: what a call may tell the denoiser; all else is refused.
        in_mask: whether predictions in part hold at some places alone, those of a mask.

    Raises:
        TypeError: the denoiser is set up in a way that hides its parts.
    """

    told: ClassVar[frozenset[str]]
    in_mask: ClassVar[bool]

    def __init__(self, model: Any):
        if model._compiled_call_impl is not None:
            raise TypeError(f"sparse=True takes no {type(model).__name__} that is compiled: set sparse=False")
        self._model = model

    @abstractmethod
    def keep(self, args: tuple, kwargs: dict[str, Any], stale: Tensor) -> Any:
        """What the model says of the originals, to the bit.

        Args:
            stale: rows of which is kept what was: they are computed for the sake of others alone, and a sample does the
                same in every batch.
        """

    def whole(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, samples: list[int]) -> Any:
        """What the model says of safe branches, all of it computed.

        Args:
            rows: (groups * samples,), the rows of the original's kept batch that they belong to.
        """
        return self._model(*args, **kwargs)

    @abstractmethod
    def places(self, safe: list[int], masks: Tensor | None, is_between: bool) -> dict[int, Tensor]:
        """Those of the samples `safe` that may be computed in part at this step, and where, (h', w').

        Args:
            masks: (safe, 1, h, w), as they stand; None where some have none yet.
            is_between: whether no original is due at this step.
        """

    def run(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        """Predictions (n, C, h, w) of safe branches, computed in part; `in_mask` says where they hold.

        Args:
            args, kwargs: the loop's call, cut to the n rows of the safe branches.
            rows: (n,), which row of the original's kept batch each of them follows.
            places: (n, h', w'), as `places` gave them.

        Raises:
            ValueError: the call tells the denoiser what only all of it can be told.
        """
        more = [name for name in kwargs.keys() - self.told if kwargs[name] is not None]
        if more:
            raise ValueError(f"sparse=True takes no {', '.join(sorted(more))} of a call: set sparse=False")
        return self._run(args, kwargs, rows, places)

    @abstractmethod
    def _run(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor: ...
