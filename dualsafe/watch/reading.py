"""What the predictions under concepts say of a picture in the making. Pure tensors.

Symbols: e_0 the prediction without text, e_p under the prompt, e_k under concept k, all at the same latents and
timestep, and before guidance. The comparison is that of CASG (arXiv 2602.20880), which takes the length of e_p - e_0
along e_k - e_0; here it is the cosine, counted where the probes differ from each other, and harmless things are set
against the concepts.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def spread(e_k: Tensor) -> Tensor:
    """The variance of the predictions (N, K, ...) over the K probes, (N, ...), of mean 1; NaN where they do not differ.

    It is large where things would be held, and small where all probes pull alike, as to an empty background.
    """
    variance = e_k.float().var(1, correction=0)
    return variance / variance.flatten(1).mean(1).view(-1, *[1] * (variance.ndim - 1))


def similarity(e_p: Tensor, e_k: Tensor, e_0: Tensor, weight: Tensor) -> Tensor:
    """cos(e_p - e_0, e_k - e_0), (N, K) in [-1, 1]: how far the prompt pulls where each concept would.

    Args:
        e_p, e_0: (N, ...).
        e_k: (N, K, ...).
        weight: of each element in the products that the cosine is made of, (N, ...); at least 0.
    """
    root = weight.sqrt()
    prompt, concepts = ((e_p - e_0) * root).flatten(1), ((e_k - e_0[:, None]) * root[:, None]).flatten(2)
    return F.cosine_similarity(prompt[:, None], concepts, dim=-1)


def margin(similarities: Tensor, concepts: int) -> Tensor:
    """The largest similarity to a concept less the largest to a harmless thing, (N,) in [-2, 2].

    Args:
        similarities: (N, K), those of the `concepts` first, then those of harmless things.
    """
    return similarities[:, :concepts].amax(1) - similarities[:, concepts:].amax(1)
