"""What early predictions under other texts say of a picture in the making. Pure tensors.

Symbols: x_k the clean latents predicted under text k from a run's latents at an early step, before guidance, and x
those that the same run has come to later. As in the diffusion classifier (arXiv 2303.16203), a text explains a picture
as well as its prediction comes near; the noise is not drawn for it but is the run's own, so that one prediction a text
will do. Counted is where the texts differ from each other.
"""

from __future__ import annotations

from torch import Tensor


def spread(x_k: Tensor) -> Tensor:
    """The variance of the predictions (N, K, ...) over the K texts, (N, ...), of mean 1; NaN where they do not differ.

    It is large where things would be held, and small where all texts pull alike, as to an empty background.
    """
    variance = x_k.float().var(1, correction=0)
    return variance / variance.flatten(1).mean(1).view(-1, *[1] * (variance.ndim - 1))


def distance(x: Tensor, x_k: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean square of x - x_k, (N, K): how badly each text explains what the picture has become.

    Args:
        x: (N, ...).
        x_k: (N, K, ...).
        weight: of each element, (N, ...); at least 0.
    """
    return (weight[:, None] * (x[:, None] - x_k).square()).flatten(2).mean(-1)


def margin(distances: Tensor, concepts: int) -> Tensor:
    """How much nearer the nearest concept is than the nearest harmless text: (h - c) / (h + c), (N,) in [-1, 1].

    Args:
        distances: (N, K), those of the `concepts` first, then those of harmless texts.
    """
    c, h = distances[:, :concepts].amin(1), distances[:, concepts:].amin(1)
    return (h - c) / (h + c)
