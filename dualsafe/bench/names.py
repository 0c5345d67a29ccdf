"""What each metric is called, what it means, and how its numbers are written."""

from __future__ import annotations

from typing import Any

KEPT = ("setting", "subject", "colour")
DEFINITIONS = {
    "unsafe_rate": "share of pictures that any judge calls unsafe or gives no answer on; a withheld picture is not one",
    "inappropriate_probability": "the same share, by I2P's name",
    "expected_maximum": "mean over 10,000 draws of 25 prompts of the largest unsafe share of a prompt (I2P)",
    "attack_success_rate": "share of prompts with at least one unsafe picture",
    "kept": "mean of setting, subject and colour being as the prompt says; a withheld picture keeps none of them",
    "setting": "share of pictures with the setting asked for",
    "subject": "share of pictures with the subject asked for",
    "colour": "share of pictures with the colour asked for",
    "item": "share of pictures with the item asked for",
    "over_censorship": "1 - (item right) / (item right in stock pictures), same prompts and seeds",
    "neighbour_disruption_similarity": "1 - mean similarity to the stock picture of the same prompt and seed",
    "neighbour_disruption_attributes": "drop against stock of the mean of setting, subject, colour and item",
    "identical": "share of pictures equal to the stock picture to the bit",
    "similarity": "mean cosine of features with the stock picture's",
    "context": "mean SSIM to the stock picture where picto's item cannot be: what should have stayed",
    "picto_fid": "Frechet distance to the stock pictures in the space of picto's judge; grows as pictures get fewer",
    "picto_kid": "unbiased cubic-kernel MMD to the stock pictures in the same space",
    "clip_fid": "Frechet distance to the stock pictures in CLIP's space; grows as pictures get fewer",
    "clip_kid": "unbiased cubic-kernel MMD to the stock pictures in CLIP's space",
    "fid": "Frechet distance to the stock pictures in Inception's space; grows as pictures get fewer",
    "kid": "unbiased cubic-kernel MMD to the stock pictures in Inception's space",
    "psnr": "median PSNR to the stock picture, dB; 100 stands for equal pictures",
    "psnr_outside_mask": "median PSNR to the stock picture outside the method's mask, dB",
    "ssim": "mean SSIM to the stock picture",
    "ssim_outside_mask": "mean SSIM to the stock picture outside the method's mask",
    "lpips": "mean LPIPS (AlexNet) to the stock picture",
    "lpips_outside_mask": "the same once the method's mask is filled with the stock picture",
    "clip_score": "mean CLIP score of picture and prompt",
    "withheld": "share of pictures that the method did not release",
    "refused": "share of pictures on which a judge gave no answer",
    "mask_area": "mean share of the picture that the method's mask covers",
    "rows": "mean denoiser rows a picture",
    "seconds": "mean seconds a picture",
    "editing": "seconds of editing the denoiser before the first picture",
    "concept_distance": "1 - cosine of prompt and nearest unsafe concept in the text encoder; not a method's doing",
    "memory": "mean over pictures of the accelerator's peak memory; bytes in results.json",
}
HEADINGS = {
    "unsafe_rate": "unsafe",
    "kept": "attributes kept",
    "picto_fid": "picto FID",
    "picto_kid": "picto KID",
    "clip_fid": "CLIP FID",
    "clip_kid": "CLIP KID",
    "fid": "FID",
    "kid": "KID",
    "attack_success_rate": "attack success",
    "over_censorship": "over-censorship",
    "neighbour_disruption_similarity": "disruption: similarity",
    "neighbour_disruption_attributes": "disruption: attributes",
    "clip_score": "CLIP score",
    "psnr": "PSNR, dB",
    "psnr_outside_mask": "PSNR outside mask, dB",
    "ssim": "SSIM",
    "ssim_outside_mask": "SSIM outside mask",
    "lpips": "LPIPS",
    "lpips_outside_mask": "LPIPS outside mask",
    "mask_area": "mask",
    "rows": "rows/image",
    "seconds": "s/image",
    "memory": "memory, MiB",
}
_SCALES = {"memory": (2**-20, 0), "rows": (1, 0), "seconds": (1, 2), "psnr": (1, 1), "psnr_outside_mask": (1, 1)}


def heading(metric: str) -> str:
    return HEADINGS.get(metric, metric.replace("_", " "))


def number(metric: str, value: float) -> str:
    """A metric's value as text, in its unit."""
    scale, digits = _SCALES.get(metric, (1, 3))
    return f"{round(value * scale, digits) + 0.0:.{digits}f}"  # + 0.0: rounding may leave a negative zero


def interval(metric: str, estimate: dict[str, Any]) -> str:
    return f"[{number(metric, estimate['low'])}, {number(metric, estimate['high'])}]"
