"""From drawn samples to what a caller gets: pictures in the asked type, masks, reports."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from .call import Call
from .noise import seeds
from .output import DualLatentOutput, Images, SafetyReport
from .sample import Sample


def finish(call: Call) -> DualLatentOutput:
    """The output of a call whose samples are drawn."""
    samples = call.samples
    dual = any(sample.safe is not None for sample in samples)
    images = _latents(call) if call.request.output_type == "latent" else _pictures(call)
    masks = _masks(call) if dual else None
    call.stock.pipe.maybe_free_model_hooks()
    each = seeds(call.request.given.get("generator"), len(samples))
    reports = [_report(call, sample, seed) for sample, seed in zip(samples, each)]
    return DualLatentOutput(**images, masks=masks, safety=reports)


def _latents(call: Call) -> dict[str, Any]:
    latents = call.original_latents.clone()
    for i, sample in enumerate(call.samples):
        if sample.safe is not None:
            latents[i] = sample.safe
        if sample.withheld:
            latents[i] = 0
    unsafe = call.stock.packed(call.original_latents) if call.request.return_pair else None
    return {"images": call.stock.packed(latents), "unsafe_images": unsafe}


def _pictures(call: Call) -> dict[str, Any]:
    """Pictures in the asked type; the safe ones through the checkpoint's own safety checker, if it has one."""
    stock, kind = call.stock, call.request.output_type
    pixels = call.pixels()
    withheld = [sample.withheld for sample in call.samples]
    pixels[withheld] = -1.0
    unsafe = stock.images(call.originals(), kind) if call.request.return_pair else None
    pixels, flagged = stock.flagged(pixels)
    plain = None if flagged is None else [not f for f in flagged]
    return {
        "images": stock.images(pixels, kind, plain),
        "nsfw_content_detected": flagged,
        "unsafe_images": _marked(unsafe),
    }


def _masks(call: Call) -> Images:
    """Where each picture could change, (N, 1, h, w) in [0, 1]: its mask, everything without one, nothing if benign."""
    kind, latents = call.request.output_type, call.original_latents
    area = latents.new_zeros(len(latents), 1, *latents.shape[-2:], dtype=torch.float32)
    for i, sample in enumerate(call.samples):
        if sample.safe is not None:
            area[i] = 1.0 if sample.mask is None else sample.mask
    if kind == "latent":
        return area
    large = F.interpolate(area, scale_factor=call.stock.pipe.vae_scale_factor, mode="nearest")
    images = call.stock.images(large, kind, [False] * len(large))
    return [image.convert("L") for image in images] if kind == "pil" else images


def _report(call: Call, sample: Sample, seed: int | None) -> SafetyReport:
    decision, settings, policy = sample.decision, sample.settings, call.request.policy
    dual = sample.safe is not None
    verdict = sample.verdicts[-1] if sample.verdicts else None
    area = 0.0 if not dual else 1.0 if sample.mask is None else (sample.mask > 0).float().mean().item()
    return SafetyReport(
        decision=decision.kind,
        level=decision.level,
        gate=decision.gate,
        watched=sample.finding.score if sample.finding else None,
        score=verdict.score if verdict else None,
        seen=tuple(dict.fromkeys(concept for v in sample.verdicts for concept in v.concepts)),
        tries=sample.tries,
        withheld=sample.withheld,
        triggers=decision.triggers,
        categories=decision.categories,
        unread=call.unread(sample),
        policy=f"{policy.id}@{policy.hash}",
        safe_prompt=decision.safe_prompt,
        tau=settings.tau if dual else None,
        original_interval=settings.original_interval if dual else None,
        mask_area=area,
        denoiser_rows=sample.rows,
        seed=seed,
    )


def _marked(images: Images | None) -> Images | None:
    if isinstance(images, list):
        for image in images:
            image.info["dualsafe"] = "unsafe original"
    return images
