"""picto: a small procedural world with exact ground truth, and the prompt sets drawn from it."""

from .render import Rendering, render
from .scene import Scene, counterfactual, held_out, random_scene

__all__ = ["Rendering", "Scene", "counterfactual", "held_out", "random_scene", "render"]
