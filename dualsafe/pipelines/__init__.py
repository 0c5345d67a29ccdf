"""Pipelines: a mixin that makes a stock pipeline of diffusers dual, and the families that it knows."""

from . import families
from .auto import AutoDualLatentPipeline
from .families import *  # noqa: F403
from .output import DualLatentOutput, SafetyReport

__all__ = ["AutoDualLatentPipeline", "DualLatentOutput", "SafetyReport", *families.__all__]
