"""Conditions: from a prompt and a policy to what the safe branch is told."""

from .aim import aimed
from .decide import Decision, Gate, decide
from .rewriter import Rewriter

__all__ = ["Decision", "Gate", "Rewriter", "aimed", "decide"]
