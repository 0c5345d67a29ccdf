"""One noise for two trajectories: what the stock pipeline draws for N samples is the start of 2N."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from diffusers import DiffusionPipeline
from torch import Tensor, cat

PREPARING = ("prepare_latents", "prepare_mask_latents")


@dataclass(frozen=True)
class OneNoise:
    """Stands in for a pipeline's own preparation of latents, so that its draws are the stock draws.

    Attributes:
        samples: N.
    """

    samples: int

    def around(self, pipe: DiffusionPipeline) -> dict[str, Callable]:
        """Stand-ins for those of PREPARING that the pipeline has."""
        return {name: self._doubling(getattr(pipe, name)) for name in PREPARING if hasattr(pipe, name)}

    def _doubling(self, prepare: Callable) -> Callable:
        signature = inspect.signature(prepare)

        @wraps(prepare)
        def both(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.arguments["batch_size"] = self.samples
            generators = bound.arguments.get("generator")
            if isinstance(generators, list):
                bound.arguments["generator"] = generators[: self.samples]
            if isinstance(timestep := bound.arguments.get("timestep"), Tensor):
                bound.arguments["timestep"] = timestep[: self.samples]
            guided = bool(bound.arguments.get("do_classifier_free_guidance"))
            prepared = prepare(*bound.args, **bound.kwargs)
            if isinstance(generators, list):  # what was drawn here was drawn for both
                for original, twin in zip(generators[: self.samples], generators[self.samples :]):
                    twin.set_state(original.get_state())
            return self._twice(prepared, guided)

        return both

    def _twice(self, value: Any, guided: bool) -> Any:
        """Latents (N, ...), or guidance groups of them, for both branches; ids without a batch stay."""
        if isinstance(value, tuple):
            return tuple(self._twice(item, guided) for item in value)
        if not isinstance(value, Tensor) or value.ndim < 3:
            return value
        groups = value.chunk(2) if guided else (value,)
        return cat([half for group in groups for half in (group, group)])
