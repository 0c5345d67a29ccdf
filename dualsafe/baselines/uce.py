"""Unified concept editing (Gandikota et al., arXiv 2308.14761): keys and values of concepts, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .edited import cross_attention
from .protocol import concepts


@dataclass(frozen=True)
class UCE:
    """Every concept's keys and values become those of the empty text, in all cross-attentions (eq. 7):

    W = (lambda W_old + sum_i v_i c_i') (lambda I + sum_i c_i c_i')^-1,

    c_i the embedding of a concept's last token, v_i = W_old c_0 with c_0 that of the empty text. This is the released
    code's form (rohitgandikota/unified-concept-editing, uce_sd_erase.py), with its defaults: a lambda, which the
    paper's eq. 7 does not write, so that the inverse exists; last tokens only; and no concept that is to be kept.

    Attributes:
        regularisation: lambda.
    """

    regularisation: float = 0.5

    @torch.no_grad()
    def __call__(self, pipe: DualLatentMixin, unet: nn.Module, policy: Policy) -> None:
        told = last_tokens(pipe, concepts(policy))
        instead = last_tokens(pipe, [""]).expand_as(told)
        for layer in cross_attention(unet, "to_k", "to_v").values():
            layer.weight.copy_(closed_form(layer.weight.float(), told, instead, self.regularisation))


def closed_form(old: Tensor, told: Tensor, instead: Tensor, regularisation: float) -> Tensor:
    """The weights (out, in) that give for `told` (K, in) what `old` gives for `instead`, and else stay near `old`."""
    wanted = regularisation * old + old @ instead.T @ told
    seen = regularisation * torch.eye(old.shape[1], device=old.device) + told.T @ told
    return torch.linalg.solve(seen, wanted.T).T  # `seen` is symmetric


def last_tokens(pipe: DualLatentMixin, texts: Sequence[str]) -> Tensor:
    """The embedding of each text's last token before the end, (K, W); of the empty text that of its start."""
    embeds = pipe.encode_texts(list(texts))["prompt_embeds"].float()
    tokenizer = pipe.tokenizer
    at = [len(tokenizer(text, truncation=True).input_ids) - 2 for text in texts]
    return embeds[torch.arange(len(at)), at]
