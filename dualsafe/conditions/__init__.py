"""Conditions: from a prompt and a policy to what the safe branch is told."""

from .aim import aimed
from .decide import Decision, Gate, decide
from .embedding import SOURCES, Stream, unwanted
from .embedding import apply as apply_sources
from .prompt_gate import NEUTRAL, PROBE, PromptGate, calibrate, name_of
from .rewriter import Rewriter
from .words import differing_tokens

__all__ = [
    "NEUTRAL",
    "PROBE",
    "SOURCES",
    "Decision",
    "Gate",
    "PromptGate",
    "Rewriter",
    "Stream",
    "aimed",
    "apply_sources",
    "calibrate",
    "decide",
    "differing_tokens",
    "name_of",
    "unwanted",
]
