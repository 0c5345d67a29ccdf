"""Alpha, sigma and progress at a step of any diffusers scheduler: the solver's own, and no wait for the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from . import method

_COVERED = "use one that steps by alphas_cumprod, by sigmas made of them, or by the sigmas of a flow"


@dataclass(frozen=True)
class Step:
    """Where a denoiser call stands.

    Attributes:
        index: in the scheduler's table of timesteps.
        again: whether the call before was at the same index (a negative prompt's own call).
        progress: 0 is pure noise, 1 the finished picture: 1 - t / T, of a flow 1 - sigma.
        level: alpha and sigma of the latents as the denoiser is given them, on the host: as numbers without dimensions
            they go with tensors of any device, and need no copy to it.
    """

    index: int
    again: bool
    progress: float
    level: method.NoiseLevel


class Schedule:
    """The noise levels of a scheduler, read from what its solver itself steps by.

    The timestep that a model is told is rounded, by some schedulers and by half precision. `sigmas` at the step's
    index, or `alphas_cumprod` where there are none, are what the solver computes with. They are copied to the host once
    a run.

    Attributes:
        prediction_type: one of `method.PREDICTION_TYPES`.
    """

    def __init__(self, scheduler: Any, prediction_type: str, timestep_scale: float):
        self.prediction_type = prediction_type
        self._scheduler, self._scale = scheduler, timestep_scale
        self._training = np.zeros(0)
        if prediction_type != "flow":
            self._training = scheduler.alphas_cumprod.double().cpu().numpy()
        self._table: Tensor | None = None
        self._timesteps: list[float] = []
        self._progress: list[float] = []
        self._sigmas: list[float] | None = None
        self._first = self._latest = -1

    @classmethod
    def of(cls, scheduler: Any, timestep_scale: float = 1.0) -> Schedule:
        """Reads a diffusers scheduler.

        Args:
            timestep_scale: factor from what the denoiser is told to the scheduler's timesteps.

        Raises:
            ValueError: its prediction type or its noise levels are not what the method covers.
        """
        name, config = type(scheduler).__name__, scheduler.config
        kind, flow_sigmas = config.get("prediction_type", "epsilon"), config.get("use_flow_sigmas", False)
        if name.startswith("FlowMatch") or kind == "flow_prediction":
            if config.get("invert_sigmas") or not (name.startswith("FlowMatch") or flow_sigmas):
                raise ValueError(f"scheduler {name} does not step by a flow's own sigmas: {_COVERED}")
            return cls(scheduler, "flow", timestep_scale)
        if kind not in method.PREDICTION_TYPES:
            raise ValueError(f"prediction_type={kind!r} of the scheduler is not one of {method.PREDICTION_TYPES}")
        if not hasattr(scheduler, "alphas_cumprod") or flow_sigmas:
            raise ValueError(f"scheduler {name} has no alphas_cumprod to go by: {_COVERED}")
        return cls(scheduler, kind, timestep_scale)

    def at(self, told: Tensor | float) -> Step:
        """Where a denoiser call stands that is told this timestep, a number or a tensor of equal ones."""
        if self._scheduler.timesteps is not self._table:
            self._read_tables()
        index = self._index(told)
        again, self._latest = index == self._latest, index
        if self._first < 0:
            self._first = index
        return Step(index, again, self.progress(index), self.level(index))

    def level(self, index: int) -> method.NoiseLevel:
        """Alpha and sigma at an index of the table."""
        if self.prediction_type == "flow":
            return method.flow_level(self._sigma(index))
        return method.noise_level(self._alpha_squared(index))

    def progress(self, index: int) -> float:
        """In [0, 1], at an index of the table; to six digits, so that what is equal compares as equal."""
        return self._progress[index]

    def parts_at(self, tau: float, own_calls: int) -> int:
        """The index at which the safe branch leaves the original, in the run that `at` has seen begin.

        It is that of the first call from progress `tau` on, or of the one that leaves `own_calls` if that is earlier.
        """
        run = range(self._first, len(self._timesteps))
        from_tau = next((index for index in run if self.progress(index) >= tau), run.stop)
        return max(min(from_tau, run.stop - own_calls), run.start)

    def _read_tables(self) -> None:
        scheduler = self._scheduler
        self._table, self._timesteps = scheduler.timesteps, scheduler.timesteps.tolist()
        self._sigmas = scheduler.sigmas.tolist() if hasattr(scheduler, "sigmas") else None
        if hasattr(scheduler, "sigmas_interpol"):  # KDPM2 evaluates every second call between two sigmas
            between, shift = scheduler.sigmas_interpol.tolist(), "Ancestral" in type(scheduler).__name__
            self._sigmas = [between[i - shift] if i % 2 else sigma for i, sigma in enumerate(scheduler.sigmas.tolist())]
        self._progress = self._all_progress().round(6).tolist()
        self._first = self._latest = -1

    def _all_progress(self) -> np.ndarray:
        every = range(len(self._timesteps))
        if self.prediction_type == "flow":
            return np.array([1 - self._sigma(index) for index in every])
        training, here = (
            np.log(1 / np.clip(squared, 1e-12, 1 - 1e-12) - 1)
            for squared in (self._training, [self._alpha_squared(index) for index in every])
        )
        return 1 - np.interp(here, training, range(len(training))) / len(training)

    def _sigma(self, index: int) -> float:
        assert self._sigmas is not None
        return self._sigmas[index]

    def _alpha_squared(self, index: int) -> float:
        """Of a variance preserving form, in which every denoiser is given its latents; sigmas are over alpha."""
        if self._sigmas is not None:
            return 1 / (1 + self._sigmas[index] ** 2)
        return float(self._training[int(self._timesteps[index])])

    def _index(self, told: Tensor | float) -> int:
        """The solver's own index; before its first step, and where it keeps none, that of the timestep."""
        index = getattr(self._scheduler, "step_index", None)
        if index is None:
            index = getattr(self._scheduler, "begin_index", None)
        return self._looked_up(told) if index is None else index

    def _looked_up(self, told: Tensor | float) -> int:
        """The index of a view of the table, which most loops hand on; of others the nearest, read from the device."""
        table = self._table
        if isinstance(told, Tensor) and table is not None and told._base is not None and told._base is _root(table):
            index = (told.storage_offset() - table.storage_offset()) // table.stride(0)
        else:
            value = float(told.flatten()[0] if isinstance(told, Tensor) else told) * self._scale
            index = int(np.abs(np.subtract(self._timesteps, value)).argmin())
        if self._first < 0 and hasattr(self._scheduler, "step_index"):  # solvers start at the second of equal ones
            equal = [i for i, value in enumerate(self._timesteps) if value == self._timesteps[index]]
            return equal[1] if len(equal) > 1 else index
        return index


def _root(tensor: Tensor) -> Tensor:
    return tensor if tensor._base is None else tensor._base
