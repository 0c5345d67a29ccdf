"""Geometry of a text encoder's space: pooled vectors of phrases, and what a policy's concepts span. Pure tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """Texts through one text encoder.

    Attributes:
        tokens: (N, T, W).
        lengths: real tokens of each text, with those of start and end.
    """

    tokens: Tensor
    lengths: list[int]

    @property
    def pooled(self) -> Tensor:
        """The last real token of each text, (N, W): in a causal encoder the one that has seen them all."""
        rows = torch.arange(len(self.lengths), device=self.tokens.device)
        last = torch.tensor(self.lengths, device=self.tokens.device) - 1
        return self.tokens[rows, last].float()


def projector(vectors: Tensor) -> Tensor:
    """The projector (W, W) on the span of (K, W) vectors; near-dependent directions are dropped."""
    _, sizes, directions = torch.linalg.svd(vectors.float(), full_matrices=False)
    basis = directions[sizes > 1e-3 * sizes.max()]
    return basis.T @ basis


def safree_triggers(without: Tensor, concepts: Tensor, alpha: float = 0.01) -> Tensor:
    """Which parts of a prompt carry the concepts (SAFREE, arXiv 2410.12761, eq. 4).

    Args:
        without: pooled vectors of the prompt with part i left out, (parts, W).
        concepts: projector P_C on the concepts' span, (W, W).
        alpha: how much farther than the mean of the others a prompt must get without the part.

    Returns:
        bool (parts,): removing part i takes the prompt away from the concepts, d_i >= (1 + alpha) mean_{j != i} d_j.
    """
    distances = (without - without @ concepts).norm(dim=-1)
    if len(distances) < 2:
        return torch.ones_like(distances, dtype=torch.bool)
    others = (distances.sum() - distances) / (len(distances) - 1)
    return distances >= (1 + alpha) * others


def safree_projection(tokens: Tensor, without: Tensor, concepts: Tensor) -> Tensor:
    """Tokens (n, W) moved off the concepts but kept in the prompt's own span: (I - P_C) P_I e (SAFREE, eq. 5)."""
    inside = tokens.float() @ projector(without)
    return (inside - inside @ concepts).to(tokens.dtype)


def shift_direction(safe: Tensor, unsafe: Tensor) -> Tensor:
    """The safety-context direction (W,): from the mean of unsafe pooled phrases (K, W) to that of safe ones."""
    return safe.mean(0) - unsafe.mean(0)
