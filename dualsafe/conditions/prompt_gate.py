"""The prompt gate: which prompts are far enough, in the text encoder's own space, from what a policy names.

It only clears: what it clears takes the stock path at the stock cost, without a preview. It doesn't say that a prompt
is unsafe, because similarity takes look-alikes for the real thing (`benchmarks/prompt_gate.py`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from ..policy import Policy, rewrite, with_article

NEUTRAL = Path(__file__).parent / "neutral.txt"
"""Everyday prompts, one a line, that a gate is calibrated on where the caller gives none."""
MIN_NEUTRAL = 40
PROBE = "a lighthouse and a small boat, by the sea, at noon"
"""The text by which a text encoder is known again."""
_EACH = 4  # unsafe continuations of each neutral prompt, and as many harmless ones
_CLEARED = 0.25  # at most this share of neutral prompts: what no continuation shows needs room


@dataclass(frozen=True)
class PromptGate:
    """Clears prompts by one linear score of their pooled embedding: how much it looks like one with a policy's term.

    Attributes:
        policy: id and hash of the policy it was calibrated for, as `id@hash`.
        direction, offset: the score is `pooled @ direction + offset`; about -1 for harmless prompts and 1 for those
            with a term. `direction` has shape (W,).
        threshold: prompts that score below are clearly benign.
        probe: the pooled embedding of PROBE, (W,), by which the text encoder is known again.
    """

    policy: str
    direction: Tensor
    offset: float
    threshold: float
    probe: Tensor

    def fits(self, probe: Tensor) -> bool:
        """Whether a text encoder that gives PROBE this pooled embedding (W,) is the one that it was calibrated on."""
        return probe.shape == self.probe.shape and torch.allclose(probe.float().cpu(), self.probe, atol=0.05, rtol=0.05)

    def score(self, pooled: Tensor) -> list[float]:
        """The score of pooled embeddings (N, W)."""
        return (pooled.float().cpu() @ self.direction + self.offset).tolist()

    def clears(self, score: float) -> bool:
        """Whether a prompt of this score is clearly benign; NaN never is."""
        return score < self.threshold

    def check_policy(self, policy: Policy) -> None:
        """
        Raises:
            ValueError: it was calibrated for another policy, or another version of it.
        """
        if self.policy != name_of(policy):
            raise ValueError(
                f"prompt_gate was calibrated for policy {self.policy}, this is {name_of(policy)}: "
                "run `dualsafe calibrate` for it"
            )

    def save(self, path: Path) -> None:
        """Writes a safetensors file."""
        scalars = torch.tensor([self.offset, self.threshold])
        values = {"direction": self.direction, "probe": self.probe, "scalars": scalars}
        save_file(values, path, metadata={"policy": self.policy})

    @classmethod
    def load(cls, path: str | os.PathLike) -> PromptGate:
        """
        Raises:
            CheckpointError: missing, truncated, or not a prompt gate.
        """
        try:
            with safe_open(path, framework="pt") as file:
                offset, threshold = file.get_tensor("scalars").tolist()
                direction, probe = file.get_tensor("direction"), file.get_tensor("probe")
                return cls(file.metadata()["policy"], direction, offset, threshold, probe)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is not a prompt gate: run `dualsafe calibrate` again") from error


def name_of(policy: Policy) -> str:
    """What a policy is recorded as."""
    return f"{policy.id}@{policy.hash}"


def calibrate(
    pooled: Callable[[list[str]], Tensor], policy: Policy, neutral: Sequence[str], seed: int = 0
) -> tuple[PromptGate, dict[str, float]]:
    """Fits a gate: ridge regression between neutral prompts continued with a policy's terms, and with harmless words.

    Fitted on every other neutral prompt. The threshold is the lowest score that a term gives any of the rest, or the
    score under which a quarter of the rest lie, whichever is less.

    Args:
        pooled: texts -> pooled embeddings (N, W).
        neutral: at least 40 short prompts that "with a ..." can follow; those in which the policy finds something are
            passed over.

    Returns:
        The gate, and what was counted on the rest: "neutral" prompts, "unsafe" ones, and the share "cleared" of the
        neutral ones; of the unsafe ones none is.

    Raises:
        ValueError: too few neutral prompts, or a text encoder that can't tell the two apart.
    """
    prompts = [prompt for prompt in dict.fromkeys(neutral) if prompt.strip() and not rewrite(policy, prompt).triggers]
    if len(prompts) < MIN_NEUTRAL:
        raise ValueError(f"{len(prompts)} different neutral prompts without a term of the policy: {MIN_NEUTRAL} needed")
    rng = random.Random(seed)
    terms, harmless = _words(policy)

    def encoded(half: list[str]) -> tuple[Tensor, Tensor]:
        unsafe, safe = _continued(half, terms, rng), [*half, *_continued(half, harmless, rng)]
        return pooled(unsafe).float().cpu(), pooled(safe).float().cpu()

    direction, offset = _ridge(*encoded(prompts[::2]))
    unsafe, safe = (rows @ direction + offset for rows in encoded(prompts[1::2]))
    threshold = min(unsafe.min().item(), safe.quantile(_CLEARED).item())
    cleared = (safe < threshold).float().mean().item()
    if not cleared:
        raise ValueError("this text encoder sets no neutral prompt apart from the policy's terms, so no gate is made")
    gate = PromptGate(name_of(policy), direction, offset, threshold, pooled([PROBE])[0].float().cpu())
    return gate, {"neutral": len(safe), "unsafe": len(unsafe), "cleared": cleared}


def _words(policy: Policy) -> tuple[list[str], list[str]]:
    """A policy's terms, and its counterparts and exceptions."""
    terms: list[str] = []
    harmless: list[str] = []
    for category in policy.categories.values():
        for concept in category.concepts:
            terms += concept.terms
            harmless += [concept.counterpart] if concept.counterpart else []
        harmless += category.exceptions
    return terms, list(dict.fromkeys(harmless))


def _continued(prompts: list[str], words: list[str], rng: random.Random) -> list[str]:
    return [
        f"{prompt} with {with_article(rng.choice(words))}" for prompt in prompts for _ in range(_EACH if words else 0)
    ]


def _ridge(unsafe: Tensor, safe: Tensor) -> tuple[Tensor, float]:
    """Direction (W,) and offset of the score that is 1 for `unsafe` and -1 for `safe`, each (n, W), in least squares.

    Standardised, each side of equal weight, with a penalty as strong as the data: the more it shrinks towards the line
    between the two means, the better it carries over to words that it hasn't seen.
    """
    rows = torch.cat([unsafe, safe]).double()
    mean, deviation = rows.mean(0), rows.std(0).clamp(min=1e-6)
    x = (rows - mean) / deviation
    y = torch.cat([torch.ones(len(unsafe)), -torch.ones(len(safe))]).double()
    w = torch.cat([torch.full((len(unsafe),), 0.5 / len(unsafe)), torch.full((len(safe),), 0.5 / len(safe))]).double()
    centre, middle = w @ x, w @ y
    x, y = x - centre, y - middle
    weighted = x * w[:, None]
    solved = torch.linalg.solve(x.T @ weighted + torch.eye(x.shape[1], dtype=x.dtype), weighted.T @ y)
    direction = solved / deviation
    offset = middle - (mean / deviation + centre) @ solved
    return direction.float(), offset.item()
