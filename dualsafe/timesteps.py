"""The timestep of a denoiser call as a number, without waiting for the device at every step."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class Timesteps:
    """Reads what a stock loop hands the denoiser.

    Most loops hand on a view of the scheduler's own table, which is copied to the host once and looked up from then on;
    what isn't one is read from the device, which waits for all that it has yet to do.
    """

    def __init__(self, scheduler: Any):
        self._scheduler = scheduler
        self._table: Tensor | None = None
        self._values: list[float] = []

    def read(self, told: Tensor | float) -> float:
        """The value of a number, or of a tensor whose entries are all equal."""
        if not isinstance(told, Tensor):
            return float(told)
        table = getattr(self._scheduler, "timesteps", None)
        if not isinstance(table, Tensor) or told._base is None or told._base is not _root(table):
            return float(told.flatten()[0])
        if table is not self._table:
            self._table, self._values = table, table.tolist()
        return float(self._values[(told.storage_offset() - table.storage_offset()) // table.stride(0)])


def _root(tensor: Tensor) -> Tensor:
    return tensor if tensor._base is None else tensor._base
