"""One noise for all trajectories of a sample: what stock draws for N samples starts every branch and pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

PREPARING = ("prepare_latents", "prepare_mask_latents")


class OneNoise:
    """Stands in for a pipeline's own preparation of latents: draws once, as stock does, and hands out rows of that.

    Args:
        samples: N, the pictures of the call.
    """

    def __init__(self, samples: int):
        self.samples = samples
        self._prepared: dict[str, Any] = {}
        self._states: list[tuple[torch.device, Tensor]] | None = None

    def around(self, pipe: DiffusionPipeline, rows: list[int], branches: int) -> dict[str, Callable]:
        """Stand-ins for those of PREPARING that the pipeline has, for one pass over `rows` in `branches` copies."""
        return {
            name: self._preparing(name, getattr(pipe, name), rows, branches)
            for name in PREPARING
            if hasattr(pipe, name)
        }

    def generators(self, rows: list[int]) -> list[torch.Generator] | None:
        """Generators in the state in which the start left those of the first pass; None where none was known."""
        if self._states is None:
            return None
        return [torch.Generator(device).set_state(state) for device, state in map(self._states.__getitem__, rows)]

    def _preparing(self, name: str, prepare: Callable, rows: list[int], branches: int) -> Callable:
        signature = inspect.signature(prepare)

        @wraps(prepare)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            guided = bool(bound.arguments.get("do_classifier_free_guidance"))
            if name not in self._prepared:
                self._prepared[name] = self._draw(prepare, bound)
            return _rows(self._prepared[name], torch.tensor(rows), branches, 2 if guided else 1)

        return prepared

    def _draw(self, prepare: Callable, bound: inspect.BoundArguments) -> Any:
        """The stock draw for N samples; a twin's generator skips what its original's has drawn."""
        bound.arguments["batch_size"] = self.samples
        generators = bound.arguments.get("generator")
        if isinstance(generators, list):
            bound.arguments["generator"] = generators[: self.samples]
        if isinstance(timestep := bound.arguments.get("timestep"), Tensor):
            bound.arguments["timestep"] = timestep[: self.samples]
        drawn = prepare(*bound.args, **bound.kwargs)
        if isinstance(generators, list):
            self._states = [(generator.device, generator.get_state()) for generator in generators[: self.samples]]
            for (_, state), follower in zip(self._states, generators[self.samples :]):
                follower.set_state(state)
        elif isinstance(generators, torch.Generator) and self.samples == 1:
            self._states = [(generators.device, generators.get_state())]
        return drawn


def _rows(value: Any, rows: Tensor, branches: int, groups: int) -> Any:
    """`rows` of latents (N, ...), or of guidance groups of them, for each branch; ids without a batch stay."""
    if isinstance(value, tuple):
        return tuple(_rows(item, rows, branches, groups) for item in value)
    if not isinstance(value, Tensor) or value.ndim < 3:
        return value
    parts = [group[rows.to(value.device)] for group in value.chunk(groups)]
    return torch.cat([part for part in parts for _ in range(branches)])
