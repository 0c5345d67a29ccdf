"""SAFREE (Yoon et al., arXiv 2410.12761): tokens off the concepts' span, while they matter; latents are left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from ..stand_in import StandIn, standing_in
from .protocol import Drawn, concept_text, concepts
from .steps import Steps
from .stock import draw

_STEPS = 50  # that the filter counts in
_MASKED = 0  # token id that stands in for a masked one


@dataclass(frozen=True)
class SAFREE:
    """Projects the tokens that carry the policy's concepts, in the steps that the self-validating filter allows.

    Attributes:
        negative: also give the concepts as the negative prompt, as the released code does.
        slope, offset, upper: k, t0 and the most steps (of 50) of the filter.
    """

    name: str = "safree"
    negative: bool = False
    slope: float = 2.5
    offset: float = 5.333
    upper: int = 10

    @torch.no_grad()
    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        if pipe.denoiser_name != "unet" or getattr(pipe, "text_encoder_2", None) is not None:
            raise ValueError("safree needs a Stable Diffusion 1.x or 2.x checkpoint: one text encoder and a UNet")
        sampling = pipe.sampling_defaults() | sampling
        scale = sampling["num_inference_steps"] / _STEPS
        found = self.told(pipe, prompts, policy)
        safe = torch.stack([tokens for tokens, _ in found])
        last = [round(steps * scale) for _, steps in found]
        denoiser = _Switching(pipe.unet, Steps(pipe.scheduler), safe, last)
        call = {"negative_prompt": [concept_text(pipe, policy)] * len(prompts)} if self.negative else {}
        with standing_in(pipe, {"unet": StandIn(pipe.unet, denoiser)}):
            return draw(pipe, prompts, seeds, policy, **call, **sampling)

    @torch.no_grad()
    def told(self, pipe: DualLatentMixin, prompts: list[str], policy: Policy) -> list[tuple[Tensor, int]]:
        """Each prompt's safe tokens (T, W), and the last step, of 50, that takes them (eq. 4 to 7)."""
        c = projector(_pooled(pipe, _ids(pipe, concepts(policy))))
        return [self._safe(pipe, prompt, c) for prompt in prompts]

    def _safe(self, pipe: DualLatentMixin, prompt: str, concept: Tensor) -> tuple[Tensor, int]:
        ids = _ids(pipe, [prompt])
        real = int((ids[0] == pipe.tokenizer.eos_token_id).nonzero()[0]) - 1
        tokens = pipe.encode_texts([prompt])["prompt_embeds"][0]
        if not real:
            return tokens, -1
        masked = ids.repeat(real, 1)
        masked[torch.arange(real), torch.arange(1, real + 1)] = _MASKED
        m = _pooled(pipe, masked)
        projected = projection(tokens, m, concept)
        kept = torch.cosine_similarity(tokens[1 : real + 1].float(), projected[1 : real + 1].float(), dim=-1).mean()
        steps = round(self.upper * torch.sigmoid(2 * self.slope * (10 * (1 - kept) - self.offset)).item())
        changed = tokens.clone()
        at = 1 + triggers(m, concept).nonzero().flatten()
        changed[at] = projected[at]
        return changed, steps


class _Switching:
    """Called in place of the UNet: gives each sample its safe tokens until its own last step."""

    def __init__(self, model: Any, steps: Steps, safe: Tensor, last: list[int]):
        self.model, self._steps, self.safe, self.last = model, steps, safe, last

    def __call__(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        step, told, n = self._steps.at(timestep), encoder_hidden_states.clone(), len(self.last)
        for i, last in enumerate(self.last):
            if step <= last:
                told[len(told) - n + i] = self.safe[i].to(told)
        return self.model(sample, timestep, encoder_hidden_states=told, **kwargs)


def _ids(pipe: DualLatentMixin, texts: list[str]) -> Tensor:
    tokenizer = pipe.tokenizer
    options = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
    return tokenizer(texts, return_tensors="pt", **options).input_ids.to(pipe._execution_device)


def _pooled(pipe: DualLatentMixin, ids: Tensor) -> Tensor:
    """The state of the end token of each text, (N, W)."""
    states = pipe.text_encoder(ids)[0]
    end = (ids == pipe.tokenizer.eos_token_id).int().argmax(-1)
    return states[torch.arange(len(ids)), end].float()


def projector(vectors: Tensor) -> Tensor:
    """The projector (W, W) on the span of (K, W) vectors; near-dependent directions are dropped."""
    _, sizes, directions = torch.linalg.svd(vectors.float(), full_matrices=False)
    basis = directions[sizes > 1e-3 * sizes.max()]
    return basis.T @ basis


def triggers(without: Tensor, concepts: Tensor, alpha: float = 0.01) -> Tensor:
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


def projection(tokens: Tensor, without: Tensor, concepts: Tensor) -> Tensor:
    """Tokens (n, W) moved off the concepts but kept in the prompt's own span: (I - P_C) P_I e (SAFREE, eq. 5)."""
    inside = tokens.float() @ projector(without)
    return (inside - inside @ concepts).to(tokens.dtype)
