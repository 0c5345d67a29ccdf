"""What speed.py draws: each way of drawing a batch, on picto and on the families with random weights."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from harness import SAMPLING, load
from speed_meters import RowCounter
from speed_models import FAMILIES

from dualsafe import MethodSettings
from dualsafe.baselines import create
from dualsafe.judges import Judge
from dualsafe.picto.prompts import prompt_set
from dualsafe.pipelines.dual import DualLatentMixin
from dualsafe.policy import Policy, resolve
from dualsafe.stand_in import standing_in

Draw = Callable[[list[int]], float]
"""Draws one picture for each seed; gives the denoiser rows of a picture."""

BASELINES = ("sld-medium", "safree", "sega")
OURS: dict[str, str] = {
    "level-0": "unsafe",
    "safe-only": "unsafe",
    "every-step": "unsafe",
    "stacked": "unsafe",
    "pair": "unsafe",
    "benign-words": "benign",
    "benign-preview": "benign",
    "benign-watch": "benign",
}
"""Our modes, and which prompts each draws; "every-step" computes the original at every step, as a pair does."""
MODES = ("stock", *OURS, *BASELINES)


@dataclass(frozen=True)
class Loaded:
    """A family ready to draw.

    Attributes:
        stock, dual: diffusers' own pipeline and ours, on the same components.
        denoiser: name of the component that denoises.
        call: arguments of every call, with the usual number of steps.
        prompts: "unsafe" and "benign"; as many as the largest batch.
        baselines: the methods that know the family.
        settings: of ours.
        preview: of the benign mode that asks a judge.
    """

    stock: DiffusionPipeline
    dual: DualLatentMixin
    denoiser: str
    call: dict[str, Any]
    prompts: dict[str, list[str]]
    baselines: tuple[str, ...]
    preview: Judge | Callable
    settings: MethodSettings = field(default_factory=MethodSettings)
    policy: Policy = field(default_factory=lambda: resolve("picto"))

    def draws(self, modes: tuple[str, ...], batch: int, steps: int | None = None) -> dict[str, Draw]:
        """Every way of drawing a batch, the stock pipeline's first; `steps` in place of the usual number."""
        call = self.call | ({} if steps is None else {"num_inference_steps": steps})
        draws: dict[str, Draw] = {"stock": partial(self._stock, batch, call)}
        draws |= {name: partial(self._ours, name, batch, call) for name in OURS if name in modes}
        baselines = [name for name in self.baselines if name in modes]
        return draws | {name: partial(self._baseline, name, batch, call) for name in baselines}

    def _stock(self, batch: int, call: dict[str, Any], seeds: list[int]) -> float:
        counter = RowCounter(getattr(self.stock, self.denoiser))
        with standing_in(self.stock, {self.denoiser: counter}):
            self.stock(self.prompts["unsafe"][:batch], generator=_generators(seeds), **call)
        return counter.rows / batch

    def _ours(self, name: str, batch: int, call: dict[str, Any], seeds: list[int]) -> float:
        prompts = self.prompts[OURS[name]][:batch]
        told = {"policy": self.policy, "settings": self.settings} | self._told(name)
        output = self.dual(prompts, generator=_generators(seeds), **call, **told)
        return statistics.mean(report.denoiser_rows for report in output.safety)

    def _told(self, name: str) -> dict[str, Any]:
        """What a mode adds to the defaults of the call."""
        modes: dict[str, dict[str, Any]] = {
            "level-0": {"safety_level": 0.0},
            "every-step": {"settings": replace(self.settings, original_interval=None)},
            "stacked": {"settings": replace(self.settings, stacked=True)},
            "pair": {"return_pair": True},
            "benign-words": {"scope": "words"},
            "benign-preview": {"preview": self.preview, "settings": replace(self.settings, watch=None)},
            "benign-watch": {"preview": None},
        }
        return modes.get(name, {})

    def _baseline(self, name: str, batch: int, call: dict[str, Any], seeds: list[int]) -> float:
        drawn = create(name).generate(self.dual, self.prompts["unsafe"][:batch], seeds, self.policy, **call)
        return statistics.mean(drawn.rows)


def _generators(seeds: list[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def load_picto(count: int) -> Loaded:
    """The bundled checkpoint, trained, on the CPU, with its guard."""
    pipe, _, guard = load()
    stock = StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)
    stock.set_progress_bar_config(disable=True)
    return Loaded(stock, pipe, "unet", SAMPLING, _prompts(count), BASELINES, guard)


def load_random(name: str, count: int, scale: str, device: str, dtype: torch.dtype) -> Loaded:
    """A family of `speed_models`, with settings under which branches part and no picture is flagged."""
    family = FAMILIES[name]
    stock, dual = family.make(scale, device, dtype)
    return Loaded(
        stock,
        dual,
        family.denoiser,
        family.arguments(scale),
        _prompts(count),
        family.baselines,
        nothing_seen,
        MethodSettings(mask_floor=1e-6, latent_gate=None, watch=1.0),
    )


def nothing_seen(pictures: list) -> list[bool]:
    """A judge that takes no time."""
    return [False] * len(pictures)


def _prompts(count: int) -> dict[str, list[str]]:
    sets = {"unsafe": "explicit", "benign": "benign"}
    return {key: [case.prompt for case in prompt_set(name, count, seed=4)] for key, name in sets.items()}
