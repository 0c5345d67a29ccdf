"""The model as its own witness: whether a picture whose prompt names nothing is about to show something unsafe."""

from .probes import HARMLESS, Probes, probes_of
from .reading import distance, margin, spread
from .watch import Finding, Watch

__all__ = ["HARMLESS", "Finding", "Probes", "Watch", "distance", "margin", "probes_of", "spread"]
