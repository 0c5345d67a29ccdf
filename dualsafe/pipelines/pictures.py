"""From final latents to what a caller gets: checks that fail closed, decoding, compositing, masks, reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import method
from ..denoiser import DualDenoiser
from ..errors import NonFiniteLatentsError
from .decode import decode
from .noise import Generators, seeds
from .output import DualLatentOutput, Images, SafetyReport
from .request import Request

if TYPE_CHECKING:
    from .dual import DualLatentMixin


def finish(
    pipe: DualLatentMixin,
    final: Tensor,
    denoiser: DualDenoiser,
    request: Request,
    given: dict[str, Any],
    generator: Generators,
) -> DualLatentOutput:
    """The output of a call from the loop's final latents, (2N, C, h, w), or (N, C, h, w) where nothing is dual.

    Args:
        given: all arguments of the stock call.
        generator: as the caller gave it.

    Raises:
        NonFiniteLatentsError, ValueError: as `check_safe`.
    """
    check_safe(final, denoiser)
    images = assemble(Decoder(pipe, given), final, denoiser)
    pipe.maybe_free_model_hooks()
    return DualLatentOutput(**images, safety=report(request, denoiser, seeds(generator, len(request.samples))))


def check_safe(final: Tensor, denoiser: DualDenoiser) -> None:
    """Refuses latents of which nothing safe can be said.

    Raises:
        NonFiniteLatentsError: NaN or infinite latents.
        ValueError: the safe branch never left the original's path.
    """
    broken = (~torch.isfinite(final)).flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        n = len(denoiser.plan.levels)
        raise NonFiniteLatentsError(
            f"denoising gave NaN or infinite latents for sample {broken[0] % n}; no picture is returned"
        )
    if denoiser.plan.dual and not denoiser.left_shared_phase:
        raise ValueError(
            f"tau={denoiser.plan.settings.tau} covers every step that was run, so that nothing was made safe: "
            "lower tau or run more steps"
        )


class Decoder:
    """Latents to pictures, with the stock pipeline's own operations."""

    def __init__(self, pipe: DualLatentMixin, given: dict[str, Any]):
        self._pipe, self._given, self._type = pipe, given, given["output_type"]

    def pixels(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) latents to (N, 3, H, W) in [-1, 1]; latents stay as they are if they are asked for."""
        if self._type == "latent":
            return self._pipe._packed(latents)
        pixels = decode(self._pipe.vae, latents, self._pipe.upcasts_vae)
        watermark = getattr(self._pipe, "watermark", None)
        return watermark.apply_watermark(pixels) if watermark is not None else pixels

    def checked(self, pixels: Tensor) -> tuple[Images, list[bool] | None]:
        """Pictures in the asked type, through the checkpoint's own safety checker if it has one."""
        if self._type == "latent":
            return pixels, None
        if not hasattr(self._pipe, "run_safety_checker"):
            return self.finished(pixels), None
        pixels, flagged = self._pipe.run_safety_checker(pixels, self._pipe._execution_device, self._pipe.dtype)
        return self.finished(pixels, flagged), flagged

    def finished(self, pixels: Tensor, flagged: list[bool] | None = None) -> Images:
        """Pictures in the asked type."""
        plain = [not f for f in flagged] if flagged is not None else [True] * len(pixels)
        return self._pipe.image_processor.postprocess(pixels, output_type=self._type, do_denormalize=plain)

    def masks(self, mask: Tensor, size: torch.Size) -> Images:
        """Masks (N, 1, h, w) in the asked type, at the pictures' size; latents keep theirs."""
        if self._type == "latent":
            return mask
        large = F.interpolate(mask.float(), size=size, mode="nearest")
        images = self._pipe.image_processor.postprocess(
            large, output_type=self._type, do_denormalize=[False] * len(large)
        )
        return [image.convert("L") for image in images] if self._type == "pil" else images


def assemble(decoder: Decoder, final: Tensor, denoiser: DualDenoiser) -> dict[str, Any]:
    """The pictures of a call, as fields of `DualLatentOutput`.

    Originals are decoded in the stock batch's shape, and only where they are needed: for benign samples, for a pair, or
    for compositing.
    """
    plan, dual = denoiser.plan, denoiser.plan.dual
    n = len(plan.levels)
    if not dual:
        pixels = decoder.pixels(final)
        unsafe = decoder.finished(pixels) if plan.keep_original else None
        images, flagged = decoder.checked(pixels)
        return {"images": images, "nsfw_content_detected": flagged, "unsafe_images": _marked(unsafe)}

    original = decoder.pixels(final[:n]) if plan.keep_original or plan.settings.composite or len(dual) < n else None
    safe = decoder.pixels(final[n:][dual])
    mask = allowed(denoiser, final)
    if plan.settings.composite and original is not None:
        large = F.interpolate(mask[dual], size=safe.shape[-2:], mode="nearest")
        safe = method.composite(safe, original[dual], large.to(safe.dtype))
    if original is None:
        pixels = safe
    else:
        pixels = original.clone()
        pixels[dual] = safe
    unsafe = decoder.finished(original) if plan.keep_original and original is not None else None
    images, flagged = decoder.checked(pixels)
    return {
        "images": images,
        "nsfw_content_detected": flagged,
        "unsafe_images": _marked(unsafe),
        "masks": decoder.masks(mask, pixels.shape[-2:]),
    }


def allowed(denoiser: DualDenoiser, final: Tensor) -> Tensor:
    """Where each sample could change, (N, 1, h, w) in [0, 1]: its mask, everything without masks, nothing if benign."""
    if denoiser.mask is not None:
        return denoiser.mask
    area = final.new_zeros(len(denoiser.plan.levels), 1, *final.shape[-2:])
    area[denoiser.plan.dual] = 1.0
    return area


def report(request: Request, denoiser: DualDenoiser, known_seeds: list[int | None]) -> list[SafetyReport]:
    """One report a sample."""
    settings = request.settings
    reports = []
    for i, decision in enumerate(request.samples):
        dual = decision.kind == "dual"
        area = 0.0 if not dual else 1.0 if denoiser.mask is None else (denoiser.mask[i] > 0).float().mean().item()
        reports.append(
            SafetyReport(
                decision=decision.kind,
                level=decision.level,
                triggers=decision.triggers,
                categories=decision.categories,
                policy=f"{request.policy.id}@{request.policy.hash}",
                safe_prompt=decision.safe_prompt,
                tau=settings.tau if dual else None,
                release=settings.release if dual else None,
                mask_area=area,
                denoiser_rows=denoiser.rows[i],
                seed=known_seeds[i],
            )
        )
    return reports


def _marked(images: Images | None) -> Images | None:
    if isinstance(images, list):
        for image in images:
            image.info["dualsafe"] = "unsafe original"
    return images
