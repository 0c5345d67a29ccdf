"""What the predictions under concepts say of a picture in the making. Pure tensors.

Symbols: e_0 the prediction without text, e_p under the prompt, e_k under concept k, all at the same latents and
timestep, and before guidance. The comparison is that of CASG (arXiv 2602.20880), which takes the length of e_p - e_0
along e_k - e_0; here it is the cosine, and harmless things are set against the concepts.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def similarity(e_p: Tensor, e_k: Tensor, e_0: Tensor) -> Tensor:
    """cos(e_p - e_0, e_k - e_0), (N, K) in [-1, 1]: how far the prompt pulls where each concept would.

    Args:
        e_p, e_0: (N, ...).
        e_k: (N, K, ...).
    """
    prompt, concepts = (e_p - e_0).flatten(1).float(), (e_k - e_0[:, None]).flatten(2).float()
    return F.cosine_similarity(prompt[:, None], concepts, dim=-1)


def margin(similarities: Tensor, concepts: int) -> Tensor:
    """The largest similarity to a concept less the largest to a harmless thing, (N,) in [-2, 2].

    Args:
        similarities: (N, K), those of the `concepts` first, then those of harmless things.
    """
    return similarities[:, :concepts].amax(1) - similarities[:, concepts:].amax(1)
