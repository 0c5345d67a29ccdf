"""The dual-latent method: two predictions in, one prediction out. Pure tensors; no model, no scheduler, no policy.

Symbols: z latents, g guided prediction, x0 predicted clean latents, alpha and sigma of the noise level
(z = alpha x0 + sigma noise), W the weight of the safe branch in [0, 1]; subscripts u (original) and s (safe).
After "Safety Without Semantic Disruptions" (arXiv 2411.13982), which leaves the space of the sum open: here it is
the predicted clean latents, because a changed prediction is what every solver expects.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

NoiseLevel = tuple[Tensor, Tensor]
"""(alpha, sigma), zero-dimensional."""

_X0: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": lambda z, g, alpha, sigma: (z - sigma * g) / alpha,
    "v_prediction": lambda z, g, alpha, sigma: alpha * z - sigma * g,
    "flow": lambda z, g, alpha, sigma: z - sigma * g,
    "sample": lambda z, g, alpha, sigma: g,
}
_SLOPE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "epsilon": lambda alpha, sigma: alpha / sigma,
    "v_prediction": lambda alpha, sigma: 1 / sigma,
    "flow": lambda alpha, sigma: 1 / sigma,
    "sample": lambda alpha, sigma: -torch.ones_like(alpha),
}
_PREDICTION: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": lambda z, x0, alpha, sigma: (z - alpha * x0) / sigma,
    "v_prediction": lambda z, x0, alpha, sigma: (alpha * z - x0) / sigma,
    "flow": lambda z, x0, alpha, sigma: (z - x0) / sigma,
    "sample": lambda z, x0, alpha, sigma: x0,
}
PREDICTION_TYPES: tuple[str, ...] = tuple(_X0)


def noise_level(alpha_squared: float) -> NoiseLevel:
    """alpha and sigma of the variance preserving form, from alpha^2 (diffusers' `alphas_cumprod`) in [0, 1]."""
    return torch.tensor(alpha_squared**0.5), torch.tensor((1 - alpha_squared) ** 0.5)


def flow_level(sigma: float) -> NoiseLevel:
    """alpha = 1 - sigma and sigma of a rectified flow, sigma in [0, 1]."""
    return torch.tensor(1 - sigma), torch.tensor(sigma)


def guide(unconditional: Tensor, conditional: Tensor, guidance_scale: float) -> Tensor:
    """Classifier-free guidance, in the order of operations of diffusers, so that results agree to the bit."""
    return unconditional + guidance_scale * (conditional - unconditional)


def clean_latents(z: Tensor, g: Tensor, level: NoiseLevel, prediction_type: str) -> Tensor:
    """x0 from a guided prediction, for every prediction type of PREDICTION_TYPES."""
    return _X0[prediction_type](z, g, *level)


def prediction(z: Tensor, x0: Tensor, level: NoiseLevel, prediction_type: str) -> Tensor:
    """The guided prediction whose clean latents are x0: what `clean_latents` undoes."""
    return _PREDICTION[prediction_type](z, x0, *level)


def blend(g_s: Tensor, x0_s: Tensor, x0_u: Tensor, weight: Tensor, level: NoiseLevel, prediction_type: str) -> Tensor:
    """The safe branch's prediction whose clean latents are W x0_s + (1 - W) x0_u.

    Written as g_s plus a correction (for epsilon: g_s + (1 - W)(alpha / sigma)(x0_s - x0_u)), so that W = 1 is g_s to
    the bit.

    Args:
        weight: W, broadcastable to the latents, in [0, 1].
    """
    return g_s + (1 - weight) * _SLOPE[prediction_type](*level) * (x0_s - x0_u)


def difference(x0_s: Tensor, x0_u: Tensor) -> Tensor:
    """How far two clean latents (N, C, h, w) are apart, per place, in latent standard deviations: (N, 1, h, w)."""
    return (x0_s - x0_u).abs().mean(1, keepdim=True)


def farthest(difference: Tensor) -> Tensor:
    """The largest of a sample's differences, smoothed 3x3 as for the mask: (N,)."""
    return _smoothed(difference).amax((1, 2, 3))


def difference_mask(difference: Tensor, floor: float, least: Tensor | float = 0.0) -> Tensor:
    """Where the conditions differ: smoothed 3x3, over a floor, dilated by one, feathered; in [0, 1].

    A sample's own floor is at most 0.6 of its largest difference, so that a faint change is not passed over.

    Args:
        least: (N, 1, 1, 1), how low a sample's own floor may be; over 0, two agreeing branches give an empty mask.
    """
    smooth = _smoothed(difference)
    own = (0.6 * smooth.amax((1, 2, 3), keepdim=True)).clamp(max=floor)
    own = torch.maximum(own, torch.as_tensor(least, device=own.device))
    found = F.max_pool2d((smooth > own).to(difference.dtype), 3, stride=1, padding=1)
    return torch.maximum(found, F.avg_pool2d(found, 3, stride=1, padding=1))


def _smoothed(difference: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(difference, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def composite(safe: Tensor, original: Tensor, mask: Tensor, feather: int = 2) -> Tensor:
    """The safe picture inside the mask, the original's exact pixels outside.

    Args:
        safe, original: pictures (N, 3, H, W).
        mask: (N, 1, H, W); where it is 0 the original stays to the bit. The feather, in pixels, runs inward.
    """
    size = 2 * feather + 1
    inside = (mask > 0).to(safe.dtype)
    eroded = -F.max_pool2d(-inside, size, stride=1, padding=feather)
    # No place outside has an eroded one within reach, so that its weight is 0.
    weight = F.avg_pool2d(F.pad(eroded, (feather,) * 4, mode="replicate"), size, stride=1)
    return torch.where(weight > 0, original + weight * (safe - original), original)
