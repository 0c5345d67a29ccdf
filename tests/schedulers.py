"""Schedulers that a dual call runs under, and what a test needs to know of them from their own formulas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import diffusers
from torch import Tensor

TRAINED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass(frozen=True)
class Sampler:
    """A scheduler class with options over the checkpoint's."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    flow: bool = False

    def make(self, config: dict[str, Any] | None = None) -> Any:
        """The scheduler, on the rest of a checkpoint's configuration."""
        cls = getattr(diffusers, self.name)
        if self.flow:
            return cls(**self.options)
        return cls.from_config(config or TRAINED | {"clip_sample": False}, **self.options)

    @property
    def prediction_type(self) -> str:
        return "flow" if self.flow else self.options.get("prediction_type", "epsilon")

    @property
    def is_deterministic(self) -> bool:
        random = ("DDPM", "Ancestral", "SASolver", "LCM", "TCD")
        return not any(word in self.name for word in random) and "sde" not in self.options.get("algorithm_type", "")


_FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler("DDIMScheduler"),
    "ddim-trailing": Sampler("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "ddpm": Sampler("DDPMScheduler", {"variance_type": "fixed_small"}),
    "pndm": Sampler("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": Sampler("LMSDiscreteScheduler"),
    "euler": Sampler("EulerDiscreteScheduler"),
    "euler-karras": Sampler("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "euler-continuous": Sampler(
        "EulerDiscreteScheduler", {"timestep_type": "continuous", "prediction_type": "v_prediction"}
    ),
    "euler-a": Sampler("EulerAncestralDiscreteScheduler"),
    "heun": Sampler("HeunDiscreteScheduler"),
    "kdpm2": Sampler("KDPM2DiscreteScheduler"),
    "kdpm2-karras": Sampler("KDPM2DiscreteScheduler", {"use_karras_sigmas": True}),
    "kdpm2-a": Sampler("KDPM2AncestralDiscreteScheduler"),
    "dpm++": Sampler("DPMSolverMultistepScheduler"),
    "dpm++-karras": Sampler("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm++-exponential": Sampler("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}),
    "dpm++-beta": Sampler("DPMSolverMultistepScheduler", {"use_beta_sigmas": True}),
    "dpm++-sde": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++-single": Sampler("DPMSolverSinglestepScheduler"),
    "deis": Sampler("DEISMultistepScheduler"),
    "unipc": Sampler("UniPCMultistepScheduler"),
    "sa": Sampler("SASolverScheduler"),
    "lcm": Sampler("LCMScheduler"),
    "tcd": Sampler("TCDScheduler"),
    "flow-euler": Sampler("FlowMatchEulerDiscreteScheduler", {"shift": 2.0}, flow=True),
    "flow-heun": Sampler("FlowMatchHeunDiscreteScheduler", flow=True),
    "flow-dpm++": Sampler("DPMSolverMultistepScheduler", _FLOW, flow=True),
    "flow-unipc": Sampler("UniPCMultistepScheduler", _FLOW, flow=True),
}


def level_of(scheduler: Any, t: Tensor, flow: bool) -> tuple[float, float]:
    """(alpha, sigma) of what the denoiser is given at this call, by the scheduler's state and the papers' formulas."""
    if not hasattr(scheduler, "sigmas"):
        squared = float(scheduler.alphas_cumprod[int(t)])
        return squared**0.5, (1 - squared) ** 0.5
    index = scheduler.step_index
    if index is None:
        index = scheduler.begin_index or 0
    sigma = float(scheduler.sigmas[index])
    if hasattr(scheduler, "sigmas_interpol") and not scheduler.state_in_first_order:
        sigma = float(scheduler.sigmas_interpol[index - ("Ancestral" in type(scheduler).__name__)])
    return (1 - sigma, sigma) if flow else (1 / (1 + sigma**2) ** 0.5, sigma / (1 + sigma**2) ** 0.5)
