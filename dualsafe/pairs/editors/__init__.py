"""Editors: what makes the two sides of a pair; one a file."""

from .editor import Editor
from .registry import create_editor

__all__ = ["Editor", "create_editor"]
