"""Blocks for diffusers' modular pipelines of SDXL and Flux: a safe text beside the prompt, and two trajectories.

They do text to image. Judges, the watch and compositing are the pipelines' only.
"""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.modular_pipelines import FluxAutoBlocks, ModularPipelineBlocks, StableDiffusionXLAutoBlocks
from diffusers.modular_pipelines.flux.denoise import FluxDenoiseStep
from diffusers.modular_pipelines.modular_pipeline_utils import InputParam, OutputParam
from diffusers.modular_pipelines.stable_diffusion_xl.denoise import StableDiffusionXLDenoiseStep
from torch import Tensor

from .conditions import decide
from .config import MethodSettings
from .denoiser import DualDenoiser
from .noise_level import Schedule
from .pipelines.arguments import levels_per_prompt, safe_prompts_per_prompt
from .pipelines.call import check_safe
from .pipelines.noise import OneNoise, check_pairable
from .plan import Guidance, Plan
from .policy import resolve
from .stand_in import StandIn, standing_in

_EMBEDS = ("prompt_embeds", "pooled_prompt_embeds")
_ELSEWHERE = ("mask", "controlnet_cond", "ip_adapter_embeds")
"""What a state has where another denoising step would be needed."""


@dataclass(frozen=True)
class _Family:
    """
    Attributes:
        blocks: of diffusers.
        step: its denoising step for text to image.
        denoiser: the component that denoises.
        timestep_scale: factor from the timestep that it is told to the scheduler's.
        stacked: what of a state has a row a picture in that step.
    """

    blocks: type
    step: type
    denoiser: str
    timestep_scale: float
    stacked: tuple[str, ...]


_FAMILIES = {
    "xl": _Family(
        StableDiffusionXLAutoBlocks,
        StableDiffusionXLDenoiseStep,
        "unet",
        1.0,
        (
            *("latents", *_EMBEDS, "negative_prompt_embeds", "negative_pooled_prompt_embeds"),
            *("add_time_ids", "negative_add_time_ids", "timestep_cond"),
        ),
    ),
    "flux": _Family(FluxAutoBlocks, FluxDenoiseStep, "transformer", 1000.0, ("latents", *_EMBEDS, "guidance")),
}


def dual_blocks(family: str) -> ModularPipelineBlocks | Any:
    """diffusers' blocks of a family, "xl" or "flux", with two of them exchanged for ours.

    They take `safe_prompt`, `safety_level`, `policy` and `settings` beside the stock inputs, as the pipelines do, and
    give `unsafe_latents`, the originals' as the loop has them, and `denoiser_rows` beside the stock outputs.

    Raises:
        ValueError: another family.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family={family!r} is not one of {', '.join(_FAMILIES)}")
    found = _FAMILIES[family]
    blocks: Any = deepcopy(found.blocks())  # diffusers makes some blocks once for all
    blocks.sub_blocks["text_encoder"] = SafeText(blocks.sub_blocks["text_encoder"])
    blocks.sub_blocks["denoise"].sub_blocks["denoise"] = DualDenoise(found)
    return blocks


class _Around(ModularPipelineBlocks):
    """A block that runs a stock block, with inputs and outputs of its own.

    Args:
        stock: the block.
    """

    more_inputs: tuple[InputParam, ...] = ()
    more_outputs: tuple[OutputParam, ...] = ()

    def __init__(self, stock: ModularPipelineBlocks):
        super().__init__()
        self._stock, self.model_name = stock, stock.model_name

    @property
    def description(self) -> str:
        return f"{self.__class__.__doc__}\n{self._stock.description}"

    @property
    def expected_components(self) -> list:
        return self._stock.expected_components

    @property
    def expected_configs(self) -> list:
        return self._stock.expected_configs

    @property
    def inputs(self) -> list[InputParam]:
        return [*self._stock.inputs, *self.more_inputs]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [*self._stock.intermediate_outputs, *self.more_outputs]


class SafeText(_Around):
    """Finds a policy's terms in the prompts, and encodes what the safe branch is told."""

    more_inputs = (
        InputParam("safe_prompt"),
        InputParam("safety_level", default="max"),
        InputParam("policy", default="i2p"),
    )
    more_outputs = (
        *(OutputParam(f"safe_{name}") for name in _EMBEDS),
        OutputParam("safety_levels", description="of each prompt; 0 where nothing is to be changed"),
    )

    @torch.no_grad()
    def __call__(self, components: Any, state: Any) -> tuple[Any, Any]:
        asked = state.get("prompt")
        prompts = [asked] if isinstance(asked, str) else list(asked)
        level = "max" if (given := state.get("safety_level")) is None else given
        levels = levels_per_prompt(level, len(prompts))
        safe = safe_prompts_per_prompt(state.get("safe_prompt"), len(prompts))
        decisions = decide({"prompt": prompts}, levels, safe, False, resolve(state.get("policy") or "i2p"))
        dual = [decision.kind == "dual" for decision in decisions]
        told = [d.safe_texts["prompt"] if d.kind == "dual" else text for d, text in zip(decisions, prompts)]
        self._stock(components, state)
        own = {name: state.get(name) for name in _EMBEDS}
        apart = copy(state)
        apart.values = state.values | {"prompt": told, "prompt_2": None}
        self._stock(components, apart)
        for name, value in own.items():
            state.set(f"safe_{name}", apart.get(name))
            state.set(name, value)
        state.set("safety_levels", [d.level if is_dual else 0.0 for d, is_dual in zip(decisions, dual)])
        return components, state


class DualDenoise(_Around):
    """Denoises two trajectories from one noise; the latents it leaves are the safe ones."""

    more_inputs = (
        *(InputParam(f"safe_{name}", required=True) for name in _EMBEDS),
        InputParam("safety_levels", required=True),
        InputParam("settings"),
        InputParam("generator"),
    )
    more_outputs = (
        OutputParam("unsafe_latents", type_hint=torch.Tensor, description="the originals'"),
        OutputParam(
            "denoiser_rows", description="spent on each picture with its original; None where nothing was changed"
        ),
    )

    def __init__(self, family: _Family):
        super().__init__(family.step())
        self._family = family

    @torch.no_grad()
    def __call__(self, components: Any, state: Any) -> tuple[Any, Any]:
        """
        Raises:
            ValueError: another kind of task or of guidance, or a scheduler that the method does not cover.
            NonFiniteLatentsError: NaN or infinite latents.
        """
        for name in _ELSEWHERE:
            if state.get(name) is not None:
                raise ValueError(f"{name} is for a denoising step of its own, which has no dual block: leave it out")
        count = len(state.get("latents"))
        each = count // len(state.get("safety_levels"))
        levels = [level for level in state.get("safety_levels") for _ in range(each)]
        settings = state.get("settings") or MethodSettings()
        weights = [settings.weight_of(level) if level else 0.0 for level in levels]
        if not any(weights):
            self._stock(components, state)
            return self._done(components, state, state.get("latents"), None)
        scheduler, model = components.scheduler, getattr(components, self._family.denoiser)
        check_pairable(scheduler)
        guidance = _guidance(components)
        plan = Plan(weights=weights, settings=settings, guidance=lambda: guidance, keep_original=True)
        denoiser = DualDenoiser(model, plan, Schedule.of(scheduler, self._family.timestep_scale))
        rows, generator = list(range(count)), state.get("generator")
        noise = OneNoise(generator, count, components._execution_device)
        before = {name: state.get(name) for name in (*self._family.stacked, "generator")}
        for name in self._family.stacked:
            state.set(name, _both(state, name, each))
        state.set("generator", noise.generator(rows, 2, True))
        with (
            standing_in(components, {self._family.denoiser: StandIn(model, denoiser)}),
            standing_in(scheduler, noise.steps(scheduler, rows, 2, True)),
        ):
            self._stock(components, state)
        final = state.get("latents")
        for name, value in before.items():
            state.set(name, value)
        check_safe(final, denoiser)
        original, safe = final.chunk(2)
        parted = [weight > 0 and i not in denoiser.agreed for i, weight in enumerate(weights)]
        chosen = torch.stack([safe[i] if apart else original[i] for i, apart in enumerate(parted)])
        state.set("latents", chosen)
        return self._done(components, state, original, denoiser.rows)

    def _done(self, components: Any, state: Any, original: Tensor, rows: list[int] | None) -> tuple[Any, Any]:
        state.set("unsafe_latents", original)
        state.set("denoiser_rows", rows)
        return components, state


def _both(state: Any, name: str, each: int) -> Tensor | None:
    """A value's rows for both branches: the safe one's own, if there is such, once for each picture of a prompt."""
    value, safe = state.get(name), state.get(f"safe_{name}")
    if value is None:
        return None
    return torch.cat([value, value if safe is None else safe.repeat_interleave(each, 0).to(value)])


def _guidance(components: Any) -> Guidance:
    """As the loop applies it, each prediction in a call of its own.

    Raises:
        ValueError: a guider that does something else, or that rescales what it guides.
    """
    guider = getattr(components, "guider", None)
    if guider is None:
        return Guidance(1.0)
    if type(guider) is not ClassifierFreeGuidance or guider.use_original_formulation or guider.guidance_rescale > 0:
        raise ValueError(
            f"guider={guider.__class__.__name__} is not plain classifier-free guidance: use that, not rescaled"
        )
    return Guidance(guider.guidance_scale, apart=True)
