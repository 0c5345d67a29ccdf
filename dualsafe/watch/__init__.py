"""The model as its own witness: whether a picture whose prompt names nothing is about to show something unsafe."""

from .probes import HARMLESS, Probes, probes_of
from .reading import margin, similarity
from .watch import LOOKS_BEFORE, Finding, Watch

__all__ = ["HARMLESS", "LOOKS_BEFORE", "Finding", "Probes", "Watch", "margin", "probes_of", "similarity"]
