"""From drawn samples to what a caller gets: checks that fail closed, pictures in the asked type, masks, reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..denoiser import DualDenoiser
from ..errors import NonFiniteLatentsError
from .noise import Generators, seeds
from .output import DualLatentOutput, Images, SafetyReport

if TYPE_CHECKING:
    from .call import Call, Sample
    from .dual import DualLatentMixin


def check_safe(final: Tensor, denoiser: DualDenoiser) -> None:
    """Refuses latents of which nothing safe can be said.

    Raises:
        NonFiniteLatentsError: NaN or infinite latents.
        ValueError: the safe branch never left the original's path.
    """
    broken = (~torch.isfinite(final)).flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        n = len(denoiser.plan.weights)
        raise NonFiniteLatentsError(
            f"denoising gave NaN or infinite latents for sample {broken[0] % n}; no picture is returned"
        )
    if denoiser.plan.dual and not denoiser.left_shared_phase:
        raise ValueError(
            f"tau={denoiser.plan.settings.tau} covers every step that was run, so that nothing was made safe: "
            "lower tau or run more steps"
        )


def finish(call: Call, generator: Generators) -> DualLatentOutput:
    """The output of a call whose samples are drawn; `generator` as the caller gave it."""
    pipe, samples = call.pipe, call.samples
    dual = any(sample.safe is not None for sample in samples)
    images = _latents(call) if call.given["output_type"] == "latent" else _pictures(call)
    masks = _masks(call) if dual else None
    pipe.maybe_free_model_hooks()
    reports = [_report(call, sample, seed) for sample, seed in zip(samples, seeds(generator, len(samples)))]
    return DualLatentOutput(**images, masks=masks, safety=reports)


def _latents(call: Call) -> dict[str, Any]:
    latents = call.original_latents.clone()
    for i, sample in enumerate(call.samples):
        if sample.safe is not None:
            latents[i] = sample.safe
        if sample.withheld:
            latents[i] = 0
    unsafe = call.pipe._packed(call.original_latents) if call.request.return_pair else None
    return {"images": call.pipe._packed(latents), "unsafe_images": unsafe}


def _pictures(call: Call) -> dict[str, Any]:
    """Pictures in the asked type; the safe ones through the checkpoint's own safety checker, if it has one."""
    pipe, kind = call.pipe, call.given["output_type"]
    pixels = call.pixels()
    withheld = [sample.withheld for sample in call.samples]
    pixels[withheld] = -1.0
    unsafe = _of_type(pipe, call.originals(), kind) if call.request.return_pair else None
    flagged = None
    if hasattr(pipe, "run_safety_checker"):
        pixels, flagged = pipe.run_safety_checker(pixels, pipe._execution_device, pipe.dtype)
    plain = None if flagged is None else [not f for f in flagged]
    return {
        "images": _of_type(pipe, pixels, kind, plain),
        "nsfw_content_detected": flagged,
        "unsafe_images": _marked(unsafe),
    }


def _of_type(pipe: DualLatentMixin, pixels: Tensor, kind: str, denormalize: list[bool] | None = None) -> Images:
    denormalize = [True] * len(pixels) if denormalize is None else denormalize
    return pipe.image_processor.postprocess(pixels, output_type=kind, do_denormalize=denormalize)


def _masks(call: Call) -> Images:
    """Where each picture could change, (N, 1, h, w) in [0, 1]: its mask, everything without one, nothing if benign."""
    kind, latents = call.given["output_type"], call.original_latents
    area = latents.new_zeros(len(latents), 1, *latents.shape[-2:], dtype=torch.float32)
    for i, sample in enumerate(call.samples):
        if sample.safe is not None:
            area[i] = 1.0 if sample.mask is None else sample.mask
    if kind == "latent":
        return area
    factor = call.pipe.vae_scale_factor
    large = F.interpolate(area, scale_factor=factor, mode="nearest")
    images = _of_type(call.pipe, large, kind, [False] * len(large))
    return [image.convert("L") for image in images] if kind == "pil" else images


def _report(call: Call, sample: Sample, seed: int | None) -> SafetyReport:
    decision, settings = sample.decision, sample.settings
    dual = sample.safe is not None
    verdict = sample.verdicts[-1] if sample.verdicts else None
    area = 0.0 if not dual else 1.0 if sample.mask is None else (sample.mask > 0).float().mean().item()
    return SafetyReport(
        decision=decision.kind,
        level=decision.level,
        gate=decision.gate,
        score=verdict.score if verdict else None,
        seen=tuple(dict.fromkeys(concept for v in sample.verdicts for concept in v.concepts)),
        tries=sample.tries,
        withheld=sample.withheld,
        triggers=decision.triggers,
        categories=decision.categories,
        policy=f"{call.request.policy.id}@{call.request.policy.hash}",
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
