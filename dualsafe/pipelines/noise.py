"""One noise for two trajectories, at the start and, with stochastic schedulers, at every step."""

from __future__ import annotations

from typing import Any

import torch

Generators = torch.Generator | list[torch.Generator] | None

_STOCHASTIC = ("DDPM", "Ancestral", "SDE", "LCM", "TCD", "SASolver")


def is_stochastic(scheduler: Any, eta: float) -> bool:
    """Whether the scheduler draws noise in its steps."""
    name = type(scheduler).__name__
    sde = "sde" in str(getattr(scheduler.config, "algorithm_type", ""))
    return eta > 0 or sde or any(word in name for word in _STOCHASTIC)


def check_pairable(scheduler: Any) -> None:
    """
    Raises:
        ValueError: the scheduler draws noise from elsewhere than the generators, so that no two trajectories share it.
    """
    name = type(scheduler).__name__
    if name == "DPMSolverSDEScheduler" or scheduler.config.get("stochastic_sampling"):
        raise ValueError(f"scheduler {name} draws noise that no generator controls, so that branches can't share it")


def paired(generator: Generators, samples: int, stochastic: bool) -> Generators:
    """Generators for the batch [originals, safe]: each safe sample's draws what its original's draws.

    Raises:
        ValueError: a stochastic scheduler draws for several samples from one generator, so that no pairs exist.
    """
    if isinstance(generator, list):
        originals = generator
    elif not stochastic:
        return generator
    elif generator is None:
        originals = [torch.Generator().manual_seed(int(torch.randint(2**62, ()))) for _ in range(samples)]
    elif samples == 1:
        originals = [generator]
    else:
        raise ValueError(
            f"generator is one generator for {samples} pictures, and this scheduler draws noise at every step: "
            f"give a list of {samples} generators"
        )
    return [*originals, *(_twin(g) for g in originals)]


def _twin(generator: torch.Generator) -> torch.Generator:
    return torch.Generator(generator.device).set_state(generator.get_state())


def seeds(generator: Generators, samples: int) -> list[int | None]:
    """The seed of each sample as far as it is known; several samples of one generator have no seed of their own."""
    if isinstance(generator, list):
        return [g.initial_seed() for g in generator]
    return [generator.initial_seed()] if generator is not None and samples == 1 else [None] * samples
