"""One noise for all trajectories of a picture: what stock draws for N pictures goes to every branch and every pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import count
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from torch import Tensor
from torch.overrides import TorchFunctionMode

from . import control

Generators = torch.Generator | list[torch.Generator] | None

PREPARING = ("prepare_latents", "prepare_mask_latents", *control.PREPARING)


class _States(NamedTuple):
    """Where generators stand: the caller's, and torch's own of the pipeline's device."""

    given: list[torch.Generator]
    default: torch.Generator | None


class OneNoise:
    """Draws as the stock call does, whatever the form of its generator, and hands out rows of that.

    A list has a generator for each picture: a safe branch's draws what its original's draws. One generator, or torch's
    own, draws for all N pictures at once: so it does here, and each branch gets its rows of that.

    Args:
        generator: the caller's.
        pictures: N.
        device: where torch's own generator draws, if none is given.
    """

    def __init__(self, generator: Generators, pictures: int, device: torch.device):
        self._generator, self._pictures = generator, pictures
        self._default = _default_generator(device)
        self._prepared: dict[str, Any] = {}
        self._started = self._ended = self._states()

    def start(self, pipe: DiffusionPipeline, rows: list[int], branches: int) -> dict[str, Callable]:
        """Stand-ins for those of PREPARING that the pipeline has, and for its ControlNet, for one pass over `rows` in
        `branches` copies."""
        prepared = {
            name: self._preparing(name, getattr(pipe, name), rows, branches)
            for name in PREPARING
            if hasattr(pipe, name)
        }
        return prepared | control.stand_ins(pipe, len(rows), branches)

    def steps(self, scheduler: Any, rows: list[int], branches: int, first: bool) -> dict[str, Callable]:
        """A stand-in for the scheduler's `step` in that pass; a later one draws what the first has drawn."""
        step, default = scheduler.step, None if first else _copy(self._started.default)

        @wraps(step)
        def stepping(*args: Any, **kwargs: Any) -> Any:
            with self._drawing(rows, branches, default):
                return step(*args, **kwargs)

        return {"step": stepping}

    def generator(self, rows: list[int], branches: int, first: bool) -> Generators:
        """What the stock call is given in that pass."""
        if not first:
            return self._copies(self._started, rows * branches)
        if isinstance(self._generator, list) and branches == 2:
            return [*self._generator, *map(_copy, self._generator)]
        return self._generator

    def end_first_pass(self) -> None:
        """From here on pictures may be decoded."""
        self._ended = self._states()

    @contextmanager
    def decoding(self, rows: list[int]) -> Iterator[Generators]:
        """The generator with which stock would decode the pictures `rows`, for an autoencoder that draws noise."""
        with self._drawing(rows, 1, _copy(self._ended.default)):
            yield self._copies(self._ended, rows)

    def _preparing(self, name: str, prepare: Callable, rows: list[int], branches: int) -> Callable:
        signature, calls = inspect.signature(prepare), count()

        @wraps(prepare)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            bound, key = signature.bind(*args, **kwargs), f"{name} {next(calls)}"
            told = bound.arguments
            guided = bool(told.get("do_classifier_free_guidance")) and not told.get("guess_mode")
            if name in control.PREPARING and hasattr(told["image"], "__len__"):
                told["num_images_per_prompt"] = max(1, self._pictures // len(told["image"]))
            if key not in self._prepared:
                self._prepared[key] = self._prepare(prepare, bound)
            return _rows(self._prepared[key], torch.tensor(rows), branches, 2 if guided else 1)

        return prepared

    def _prepare(self, prepare: Callable, bound: inspect.BoundArguments) -> Any:
        """The stock draw for N pictures; a twin's generator skips what its original's has drawn."""
        bound.arguments["batch_size"] = self._pictures
        generators = bound.arguments.get("generator")
        if isinstance(generators, list):
            bound.arguments["generator"] = generators[: self._pictures]
        if isinstance(timestep := bound.arguments.get("timestep"), Tensor):
            bound.arguments["timestep"] = timestep[: self._pictures]
        drawn = prepare(*bound.args, **bound.kwargs)
        self._started = self._ended = self._states()
        if isinstance(generators, list):
            for given, follower in zip(self._started.given, generators[self._pictures :]):
                follower.set_state(given.get_state())
        return drawn

    def _states(self) -> _States:
        given = self._generator if isinstance(self._generator, list) else [self._generator] if self._generator else []
        return _States([_copy(each) for each in given], _copy(self._default))

    def _copies(self, states: _States, rows: list[int]) -> Generators:
        if isinstance(self._generator, list):
            return [_copy(states.given[i]) for i in rows]
        return _copy(states.given[0]) if states.given else None

    def _drawing(self, rows: list[int], branches: int, default: torch.Generator | None) -> _ForAll:
        return _ForAll(self._pictures, rows * branches, isinstance(self._generator, list), default)


class _ForAll(TorchFunctionMode):
    """Where noise for a batch of rows is drawn from one generator: draws it for all pictures, and hands out the rows.

    Args:
        rows: of the batch, by picture.
        listed: whether generators that are given are each one picture's own.
        default: draws in place of torch's own generator, if any.
    """

    def __init__(self, pictures: int, rows: list[int], listed: bool, default: torch.Generator | None):
        super().__init__()
        self._pictures, self._rows, self._listed, self._default = pictures, rows, listed, default

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is not torch.randn or not isinstance(args[0], (tuple, list)):
            return func(*args, **kwargs)
        own = kwargs.get("generator") is not None
        if not own and self._default is not None and _device(kwargs) == self._default.device.type:
            kwargs["generator"] = self._default
        shape = tuple(args[0])
        if shape[0] != len(self._rows) or (own and self._listed):
            return func(*args, **kwargs)
        drawn = func((self._pictures, *shape[1:]), **kwargs)
        return drawn[torch.tensor(self._rows, device=drawn.device)]


def _device(kwargs: dict[str, Any]) -> str:
    return torch.device(kwargs.get("device") or "cpu").type


def _default_generator(device: torch.device) -> torch.Generator | None:
    """Torch's own generator of a device, where it can be had."""
    if device.type == "cpu":
        return torch.default_generator
    module = torch.get_device_module(device)
    each = getattr(module, "default_generators", ())
    index = module.current_device() if device.index is None and each else device.index or 0
    return each[index] if index < len(each) else None


def _copy(generator: torch.Generator | None) -> Any:
    return None if generator is None else torch.Generator(generator.device).set_state(generator.get_state())


def check_pairable(scheduler: Any) -> None:
    """
    Raises:
        ValueError: the scheduler draws noise for its whole batch as one path, so that no two trajectories share it.
    """
    name = type(scheduler).__name__
    if name == "DPMSolverSDEScheduler":
        raise ValueError(f"scheduler {name} draws noise that no generator controls, so that branches cannot share it")


def seeds(generator: Generators, pictures: int) -> list[int | None]:
    """The seed of each picture as far as it is known; several pictures of one generator have no seed of their own."""
    if isinstance(generator, list):
        return [g.initial_seed() for g in generator]
    return [generator.initial_seed()] if generator is not None and pictures == 1 else [None] * pictures


def _rows(value: Any, rows: Tensor, branches: int, groups: int) -> Any:
    """`rows` of latents (N, ...), or of guidance groups of them, for each branch; ids without a batch stay."""
    if isinstance(value, tuple):
        return tuple(_rows(item, rows, branches, groups) for item in value)
    if not isinstance(value, Tensor) or value.ndim < 3:
        return value
    parts = [group[rows.to(value.device)] for group in value.chunk(groups)]
    return torch.cat([part for part in parts for _ in range(branches)])
