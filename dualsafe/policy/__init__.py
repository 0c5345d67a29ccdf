"""Policies: what is unsafe, what may stand in for it, and what only looks like it. No torch in here."""

from .english import with_article
from .match import Match, find
from .minors import refuse_sexualised_minors
from .model import Category, Concept, Policy
from .rewrite import Rewrite, Trigger, rewrite
from .shipped import SHIPPED, resolve

__all__ = [
    "SHIPPED",
    "Category",
    "Concept",
    "Match",
    "Policy",
    "Rewrite",
    "Trigger",
    "find",
    "refuse_sexualised_minors",
    "resolve",
    "rewrite",
    "with_article",
]
