"""Attacks on safety methods: what disguises, rewords or searches for prompts that get through."""

from .disguise import DISGUISES, disguised
from .search import ATTACKS, Attempt, Oracle, attack

__all__ = ["ATTACKS", "DISGUISES", "Attempt", "Oracle", "attack", "disguised"]
