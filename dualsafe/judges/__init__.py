"""Judges: what reads a picture and says whether it is unsafe; one adapter a file."""

from .judge import Judge, Verdict, as_judge, ask
from .of_checkpoint import judge_of

__all__ = ["Judge", "Verdict", "as_judge", "ask", "judge_of"]
