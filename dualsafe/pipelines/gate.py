"""The prompt gate in a pipeline: where it is kept, and which prompts it clears."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..conditions import PROBE, Decision, PromptGate, name_of
from ..policy import Policy

if TYPE_CHECKING:
    from .dual import DualLatentMixin

logger = logging.getLogger(__name__)


def gate_file(checkpoint: str | os.PathLike, policy: Policy) -> Path:
    """Where a checkpoint's gate for a policy is kept: beside its `model_index.json`."""
    return Path(checkpoint) / f"prompt_gate_{policy.id}.safetensors"


def find_gate(
    pipe: DualLatentMixin, policy: Policy, prompt_gate: PromptGate | str | os.PathLike | None
) -> PromptGate | None:
    """The gate that a call asks for; None where there is none.

    Raises:
        ValueError: something else than a gate, "auto", a file or None, or a gate of another policy or text encoder.
        CheckpointError: a file that can't be read.
    """
    if prompt_gate is None:
        return None
    if isinstance(prompt_gate, str) and prompt_gate == "auto":
        checkpoint = pipe.config.get("_name_or_path")
        file = gate_file(checkpoint, policy) if checkpoint else None
        if file is None or not file.is_file():
            return None
        gate = PromptGate.load(file)
        if gate.policy != name_of(policy) or not _fits(gate, pipe):
            logger.warning("%s isn't used: it is of another policy or text encoder; run dualsafe calibrate", file)
            return None
        return gate
    if isinstance(prompt_gate, (str, os.PathLike)):
        prompt_gate = PromptGate.load(prompt_gate)
    if not isinstance(prompt_gate, PromptGate):
        raise ValueError(f"prompt_gate={prompt_gate!r} must be 'auto', a PromptGate, its file, or None")
    prompt_gate.check_policy(policy)
    if not _fits(prompt_gate, pipe):
        raise ValueError("prompt_gate was calibrated on another text encoder: run `dualsafe calibrate` on this one")
    return prompt_gate


def _fits(gate: PromptGate, pipe: DualLatentMixin) -> bool:
    return gate.fits(pipe._pooled([PROBE])[0])


def passed(
    pipe: DualLatentMixin, gate: PromptGate, decisions: list[Decision], texts: dict[str, list[str]]
) -> list[Decision]:
    """The decisions, with the gate's score of each benign prompt; the largest, where it has several texts."""
    scores = [gate.score(pipe._pooled(each)) for each in texts.values()]
    return [
        replace(decision, prompt_score=max(each), cleared=all(map(gate.clears, each)))
        if decision.kind == "benign"
        else decision
        for decision, each in zip(decisions, zip(*scores))
    ]
