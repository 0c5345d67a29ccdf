"""The method as its equations say it: one sample, two plain loops over the scheduler, no stand-in. Slow, and short."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from schedulers import level_of
from torch import Tensor

LOUD = 3.0
"""Deviation of embeddings."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""Guided prediction of latents (1, C, h, w) at a timestep."""


def loops(
    pipe: DiffusionPipeline,
    predict: tuple[Predict, Predict],
    noise: Tensor,
    steps: int,
    flow: bool,
    after: Callable[[int], None] = lambda k: None,
    mask_by: tuple[Predict, Predict] | None = None,
    **settings: Any,
) -> tuple[Tensor, Tensor, list[tuple[Tensor, float]]]:
    """Final latents of the original and of the safe branch, and each step's mask and largest difference.

    Args:
        predict: the guided predictions under the prompt and under the safe prompt.
        noise: (1, C, h, w).
        after: is called after each step.
        mask_by: predictions to find the mask from, if others.
        settings: tau, weight, and the mask, or the floor that finds it.
    """
    set_timesteps(pipe, noise, steps)
    u, s = deepcopy(pipe.scheduler), deepcopy(pipe.scheduler)
    generators = [torch.Generator().manual_seed(5) for _ in "us"]
    z_u = z_s = noise * getattr(u, "init_noise_sigma", 1.0)
    masks = []
    count = len(u.timesteps)
    shared = 0
    for k, t in enumerate(u.timesteps):
        in_u, in_s = scaled(u, z_u, t), scaled(s, z_s, t)
        alpha, sigma = level_of(u, t, flow)
        kind = "flow" if flow else u.config.prediction_type
        g_u = predict[0](in_u, t)
        if shared == k and k < count - 8 and progress_of(u, alpha, sigma, flow) < settings["tau"]:
            shared, g_s = k + 1, g_u
        else:
            own = predict[1](in_s, t)
            x0_u, x0_s = x0_of(in_u, g_u, alpha, sigma, kind), x0_of(in_s, own, alpha, sigma, kind)
            seen = (x0_s, x0_u)
            if mask_by is not None:
                both = (mask_by[1](in_s, t), mask_by[0](in_u, t))
                seen = tuple(x0_of(z, g, alpha, sigma, kind) * settings["scale"] for z, g in zip((in_s, in_u), both))
            mask, largest = (settings["mask"], 1.0) if "mask" in settings else mask_of(*seen, settings["floor"])
            masks.append((mask, largest))
            w = settings["weight"] * mask
            g_s = prediction_of(in_s, w * x0_s + (1 - w) * x0_u, alpha, sigma, kind)
        z_u, z_s = advance(u, g_u, t, z_u, generators[0]), advance(s, g_s, t, z_s, generators[1])
        after(k)
    return z_u, z_s, masks


def in_two_loops(
    pipe: DiffusionPipeline, call: Callable[[Any, list[str]], Tensor], prompts: list[str], safe: list[str], flow: bool
) -> tuple[Tensor, Tensor]:
    """Final latents of both branches by the stock pipeline itself, called once for each: half the weight, left half.

    What it hands to the scheduler's step is the guided prediction, however it guides. The first call's are kept, the
    second's blended with them as the equations say.

    Args:
        call: draws prompts with a pipeline, whose latents go to the scheduler unscaled.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def stepping(blend: bool) -> Callable:
        taken = iter(list(seen))

        def step(g: Tensor, t: Any, z: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not blend:
                seen.append((z, g))
            else:
                alpha, sigma = level_of(pipe.scheduler, t, flow)
                kind = "flow" if flow else pipe.scheduler.config.prediction_type
                x0_u, x0_s = (x0_of(*each, alpha, sigma, kind) for each in (next(taken), (z, g)))
                mixed = torch.where(left_half(z), 0.5 * x0_s + 0.5 * x0_u, x0_u)
                g = prediction_of(z, mixed, alpha, sigma, kind)
            return type(pipe.scheduler).step(pipe.scheduler, g, t, z, *args, **kwargs)

        return wraps(pipe.scheduler.step)(step)

    found = []
    for texts, blend in ((prompts, False), (safe, True)):
        pipe.scheduler.step = stepping(blend)
        try:
            found.append(call(pipe, texts))
        finally:
            del pipe.scheduler.step
    return found[0], found[1]


def left_half(z: Tensor) -> Tensor:
    """Which of the loop's latents, spatial or tokens of square pictures, are in the left half."""
    if z.ndim == 4:
        return (torch.arange(z.shape[-1], device=z.device) < z.shape[-1] // 2).expand(z.shape)
    side = round(z.shape[1] ** 0.5)
    return (torch.arange(z.shape[1], device=z.device) % side < side // 2)[:, None].expand(z.shape)


def scaled(scheduler: Any, z: Tensor, t: Tensor) -> Tensor:
    return scheduler.scale_model_input(z, t) if hasattr(scheduler, "scale_model_input") else z


def x0_of(z: Tensor, g: Tensor, alpha: float, sigma: float, kind: str) -> Tensor:
    if kind == "epsilon":
        return (z - sigma * g) / alpha
    return alpha * z - sigma * g if kind == "v_prediction" else z - sigma * g


def prediction_of(z: Tensor, x0: Tensor, alpha: float, sigma: float, kind: str) -> Tensor:
    if kind == "epsilon":
        return (z - alpha * x0) / sigma
    return (alpha * z - x0) / sigma if kind == "v_prediction" else (z - x0) / sigma


def mask_of(x0_s: Tensor, x0_u: Tensor, floor: float) -> tuple[Tensor, float]:
    """The mask, place by place, and the largest difference."""
    d = (x0_s - x0_u).abs().mean(1)[0]
    h, w = d.shape

    def around(x: Tensor, i: int, j: int, repeat: bool) -> Tensor:
        at = [(a, b) for a in range(i - 1, i + 2) for b in range(j - 1, j + 2)]
        if repeat:
            at = [(min(max(a, 0), h - 1), min(max(b, 0), w - 1)) for a, b in at]
        return torch.stack([x[a, b] if 0 <= a < h and 0 <= b < w else x.new_zeros(()) for a, b in at])

    def everywhere(x: Tensor, of: Callable, repeat: bool = False) -> Tensor:
        return torch.stack([torch.stack([of(around(x, i, j, repeat)) for j in range(w)]) for i in range(h)])

    smooth = everywhere(d, torch.mean, repeat=True)
    dilated = everywhere((smooth > min(floor, max(0.6 * float(smooth.max()), floor / 2))).float(), torch.max)
    return torch.maximum(dilated, everywhere(dilated, torch.mean))[None, None], float(smooth.max())


def progress_of(scheduler: Any, alpha: float, sigma: float, flow: bool) -> float:
    if flow:
        return 1 - sigma
    squared = scheduler.alphas_cumprod.double()
    nearest = int((squared / (1 - squared)).log().sub(2 * float(np.log(alpha / sigma))).abs().argmin())
    return 1 - nearest / len(squared)


def advance(scheduler: Any, g: Tensor, t: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
    """One step of the solver, with what stock pipelines tell it."""
    known = inspect.signature(scheduler.step).parameters
    options = {"generator": generator, "eta": 0.0}
    return scheduler.step(g, t, z, **{name: value for name, value in options.items() if name in known}).prev_sample


def set_timesteps(pipe: DiffusionPipeline, noise: Tensor, steps: int) -> None:
    config = pipe.scheduler.config
    if not config.get("use_dynamic_shifting"):
        return pipe.scheduler.set_timesteps(steps)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(noise.shape[-1] * noise.shape[-2] // 4, *(config[name] for name in names))
    return pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)


def embeddings(pipe: DiffusionPipeline, names: tuple[str | None, ...], seed: int) -> dict[str, Tensor]:
    """Embeddings of some prompt, as arguments of a call: large ones, for random weights hardly heed those of words."""
    wanted, given = inspect.signature(pipe.encode_prompt).parameters, {"prompt": "a man", "device": "cpu"}
    given |= {"num_images_per_prompt": 1, "do_classifier_free_guidance": True}
    empty = {n: None for n, p in wanted.items() if p.default is p.empty}
    found = dict(zip(names, pipe.encode_prompt(**empty | {n: v for n, v in given.items() if n in wanted})))
    generator = torch.Generator().manual_seed(seed)
    return {n: LOUD * torch.randn(like.shape, generator=generator) for n, like in found.items() if n}


def guided(
    pipe: DiffusionPipeline, name: str, embeds: dict[str, Tensor], scale: Callable[[], float], rescale: float = 0.0
) -> Predict:
    """The stock pipeline's own guided prediction of one picture of 16x16."""
    if name == "flux":
        told, pooled = embeds["prompt_embeds"], embeds["pooled_prompt_embeds"]

        def flux(z: Tensor, t: Tensor) -> Tensor:
            n, c, h, w = z.shape
            positions = pipe._prepare_latent_image_ids(n, h // 2, w // 2, "cpu", z.dtype)
            packed, guidance = pipe._pack_latents(z, n, c, h, w), torch.tensor([scale()])
            ids = torch.zeros(told.shape[1], 3)
            out = pipe.transformer(packed, told, pooled, t.expand(1) / 1000, positions, ids, guidance)
            return pipe._unpack_latents(out.sample, h * 2, w * 2, 2)

        return flux
    told = torch.cat([embeds["negative_prompt_embeds"], embeds["prompt_embeds"]])
    pools = [embeds[key] for key in ("negative_pooled_prompt_embeds", "pooled_prompt_embeds") if key in embeds]
    added = {"time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)}

    def model(z: Tensor, t: Tensor) -> Tensor:
        both = torch.cat([z, z])
        if name == "sd3":
            return pipe.transformer(both, told, torch.cat(pools), t.expand(2)).sample
        more = {"added_cond_kwargs": added | {"text_embeds": torch.cat(pools)}} if pools else {}
        return pipe.unet(both, t, told, **more).sample

    def predict(z: Tensor, t: Tensor) -> Tensor:
        without, with_prompt = model(z, t).chunk(2)
        g = without + scale() * (with_prompt - without)
        deviations = (with_prompt.std((1, 2, 3), keepdim=True), g.std((1, 2, 3), keepdim=True))
        return rescale * g * deviations[0] / deviations[1] + (1 - rescale) * g

    return predict
