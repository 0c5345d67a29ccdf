"""Pipelines: one short module a model family, each a thin subclass of the diffusers pipeline."""

from .output import DualLatentOutput, SafetyReport
from .sd import DualLatentPipeline

__all__ = ["DualLatentOutput", "DualLatentPipeline", "SafetyReport"]
