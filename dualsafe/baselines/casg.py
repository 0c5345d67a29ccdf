"""CASG-SLD (arXiv 2602.20880): safe latent diffusion on the one category that the prediction leans to."""

from __future__ import annotations

import torch
from torch import Tensor

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .protocol import category_texts
from .sld import SLD


class CASG(SLD):
    """At every step, for each sample, k* = argmax_k <e_p - e_0, e_k - e_0> / ||e_k - e_0||, then SLD on k* alone.

    2 + K rows a step. The released code (tmllab/2026_CVPR_CASG) has 3 + K: it computes the row of all concepts too and
    leaves it unused. It takes a prompt at a time; here each sample of a batch has its own k*. Its script takes
    SLD's preset max. The momentum is one over all categories, as in the code.
    """

    def texts(self, pipe: DualLatentMixin, policy: Policy) -> list[str]:
        return category_texts(pipe, policy)

    def direction(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor]) -> Tensor:
        e_k = torch.stack(e_c)
        strongest = projections(e_0, e_p, e_k).argmax(0)
        return super().direction(e_0, e_p, [e_k[strongest, torch.arange(len(e_p), device=e_p.device)]])


def projections(e_0: Tensor, e_p: Tensor, e_k: Tensor) -> Tensor:
    """How far each sample's e_p - e_0 reaches along each category's e_k - e_0: (K, N) of (K, N, C, h, w)."""
    towards = (e_k - e_0).flatten(2).float()
    return (towards * (e_p - e_0).flatten(1).float()).sum(2) / (towards.norm(dim=2) + 1e-12)
