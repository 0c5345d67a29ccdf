"""Safety methods side by side, ours among them, behind one small protocol."""

from .protocol import Drawn, SafetyMethod
from .registry import METHODS, create

__all__ = ["METHODS", "Drawn", "SafetyMethod", "create"]
