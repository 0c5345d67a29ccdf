"""Policies: what is unsafe, what may stand in for it, and what only looks like it. No torch in here."""

from .table import Policy, Rewrite, Trigger, builtin

__all__ = ["Policy", "Rewrite", "Trigger", "builtin"]
