"""Conditions: from a prompt and a policy to what the safe branch is told."""

from .aim import aimed
from .decide import Decision, Gate, decide
from .embedding import SOURCES, Stream, unwanted
from .embedding import apply as apply_sources
from .rewriter import Rewriter

__all__ = [
    "SOURCES",
    "Decision",
    "Gate",
    "Rewriter",
    "Stream",
    "aimed",
    "apply_sources",
    "decide",
    "unwanted",
]
