"""Conditions: from a prompt and a policy to what the safe branch is told."""

from .decide import Decision, decide

__all__ = ["Decision", "decide"]
