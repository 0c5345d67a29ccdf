"""Half the weight, inside a mask, under every scheduler and family: against the equations in a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from families import FAMILIES, dual_of
from reference import Predict, embeddings, guided, loops
from schedulers import SAMPLERS
from torch import Tensor

from dualsafe import MethodSettings
from dualsafe.config import UNCALIBRATED

STEPS, SCALE, TAU = 12, 3.0, 0.3
LEFT = torch.zeros(1, 1, 8, 8)
LEFT[..., :4] = 1.0
IMAGES = ("sd1", "sd2", "xl")
EVERY = [(name, sampler) for sampler in SAMPLERS for name in (("sd3",) if SAMPLERS[sampler].flow else IMAGES)]
ONCE = {(IMAGES[i % 3], sampler) for i, sampler in enumerate(s for s in SAMPLERS if not SAMPLERS[s].flow)}
ONCE |= {("sd3", sampler) for sampler in SAMPLERS if SAMPLERS[sampler].flow}


def marked(name: str, sampler: str):
    return pytest.param(name, sampler, marks=() if (name, sampler) in ONCE else pytest.mark.slow)


def fade(module: torch.nn.Module, args: tuple, output: Any) -> None:
    """Lets what random weights predict fade from left to right, so that a mask has an edge."""
    predicted = output[0]
    side = predicted.shape[-1] if predicted.ndim == 4 else round(predicted.shape[1] ** 0.5)
    fading = 0.3 ** torch.linspace(0, 3, side)
    predicted.mul_(fading if predicted.ndim == 4 else fading.repeat(side)[:, None])


class Compared:
    """A dual call at level 0.5, and the same by the equations."""

    def __init__(self, name: str, pipe: DiffusionPipeline, scale: Callable[[], float] = lambda: SCALE):
        self.name, self.pipe, self.scale = name, pipe, scale
        self.noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
        self.dual = dual_of(pipe)
        self.u, self.s = (embeddings(pipe, self.dual.pattern.embeds, seed) for seed in (1, 2))
        self.s |= {key: value for key, value in self.u.items() if key.startswith("negative")}

    def predicted(self, embeds: dict[str, Tensor], rescale: float = 0.0) -> Predict:
        return guided(self.pipe, self.name.split("-")[0], embeds, self.scale, rescale)

    def check(
        self,
        predict: tuple[Predict, Predict],
        tau: float,
        more: dict[str, Any],
        find: bool = False,
        steps: int = STEPS,
        **reference: Any,
    ) -> None:
        """Compares both branches inside a mask of the left half, or with `find` inside the one that is found."""
        flow, floor = FAMILIES[self.name].flow, 1.0
        options = {"tau": tau, "weight": 0.5} | reference
        if find:
            (getattr(self.pipe, "unet", None) or self.pipe.transformer).register_forward_hook(fade)
            *_, masks = loops(self.pipe, predict, self.noise, steps, flow, floor=1e9, **options)
            floor = 1.2 * sum(largest for _, largest in masks[-3:]) / 3  # as large as what random weights make
        options |= {"floor": floor} if find else {"mask": LEFT}
        u, s, masks = loops(self.pipe, predict, self.noise, steps, flow, **options)
        packs = self.name.startswith("flux")
        call = {
            **FAMILIES["sd1"].options,
            **self.u,
            **{f"safe_{key}": value for key, value in self.s.items() if not key.startswith("negative")},
            "safety_level": 0.5,
            "settings": MethodSettings(tau=tau, mask_floor=floor, latent_gate=None, dial=UNCALIBRATED),
            "mask": "auto" if find else LEFT[0, 0],
            "return_pair": True,
            "guidance_scale": self.scale(),
            "num_inference_steps": steps,
            "latents": self.pipe._pack_latents(self.noise, 1, 4, 8, 8) if packs else self.noise,
            "generator": [torch.Generator().manual_seed(5)],
            "output_type": "latent",
        }
        drawn = self.dual(**call | more)
        found = [self.pipe._unpack_latents(z, 16, 16, 2) if packs else z for z in (drawn.unsafe_images, drawn.images)]
        moved = float((s - u).abs().max())  # by how much the method changed the picture: what an error is measured by
        # 0.02 of it is well over the rounding of float32, 6e-8 of the largest.
        assert 0 < masks[-1][0].mean() < 1 and moved > 2e-5 * float(u.abs().max())
        assert torch.allclose(found[0], u, atol=0.02 * moved)
        assert torch.allclose(found[1], s, atol=0.02 * moved)
        assert torch.allclose(drawn.masks.float(), masks[-1][0], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("name", "sampler"), [*(marked(*pair) for pair in EVERY), ("flux", None)])
def test_half_weight_in_a_mask_is_what_the_equations_say(name, sampler):
    pipe = FAMILIES[name].make()
    if sampler is not None:
        pipe.scheduler = SAMPLERS[sampler].make(pipe.scheduler.config)
    compared = Compared(name, pipe)
    compared.check((compared.predicted(compared.u), compared.predicted(compared.s)), TAU, {}, steps=8)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "sampler"),
    [("sd1", "ddim"), ("sd2", "dpm++-karras"), ("xl", "euler"), ("sd3", "flow-euler"), ("flux", None)],
)
def test_the_mask_that_is_found_is_what_the_equations_say(name, sampler):
    pipe = FAMILIES[name].make()
    if sampler is not None:
        pipe.scheduler = SAMPLERS[sampler].make(pipe.scheduler.config)
    compared = Compared(name, pipe)
    compared.check((compared.predicted(compared.u), compared.predicted(compared.s)), TAU, {}, find=True)


@torch.no_grad()
def test_a_callback_that_changes_guidance_changes_it_for_both_branches():
    scale = {"now": 5.0}
    compared = Compared("sd1", FAMILIES["sd1"].make(), lambda: scale["now"])

    def after(k: int) -> None:
        scale["now"] = 1.5 if 5 <= k < STEPS - 1 else 5.0

    def change(pipe, step, timestep, tensors):
        after(step)
        pipe._guidance_scale = scale["now"]
        return tensors

    predict = compared.predicted(compared.u), compared.predicted(compared.s)
    compared.check(predict, 0.0, {"callback_on_step_end": change}, after=after)


@torch.no_grad()
def test_rescaled_guidance():
    compared = Compared("sd1", FAMILIES["sd1"].make())
    predict = compared.predicted(compared.u, 0.7), compared.predicted(compared.s, 0.7)
    compared.check(predict, 0.0, {"guidance_rescale": 0.7})


@torch.no_grad()
def test_a_negative_prompt_in_a_call_of_its_own():
    compared, scale = Compared("flux-true-cfg", FAMILIES["flux-true-cfg"].make()), 2.0
    away = embeddings(compared.pipe, compared.dual.pattern.embeds, 3)
    u, s, negative = map(compared.predicted, (compared.u, compared.s, away))

    def true_cfg(predict: Predict) -> Predict:
        return lambda z, t: negative(z, t) + scale * (predict(z, t) - negative(z, t))

    more = {f"negative_{key}": value for key, value in away.items()} | {"true_cfg_scale": scale}
    compared.check((true_cfg(u), true_cfg(s)), 0.0, more, find=True, scale=scale, mask_by=(u, s))
