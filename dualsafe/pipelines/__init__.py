"""Pipelines: a mixin that makes a stock pipeline of diffusers dual, and the families that it knows."""

from .auto import AutoDualLatentPipeline
from .families import (
    DualLatentFluxPipeline,
    DualLatentImg2ImgPipeline,
    DualLatentInpaintPipeline,
    DualLatentPipeline,
    DualLatentSD3Pipeline,
    DualLatentXLImg2ImgPipeline,
    DualLatentXLInpaintPipeline,
    DualLatentXLPipeline,
)
from .output import DualLatentOutput, SafetyReport

__all__ = [
    "AutoDualLatentPipeline",
    "DualLatentFluxPipeline",
    "DualLatentImg2ImgPipeline",
    "DualLatentInpaintPipeline",
    "DualLatentOutput",
    "DualLatentPipeline",
    "DualLatentSD3Pipeline",
    "DualLatentXLImg2ImgPipeline",
    "DualLatentXLInpaintPipeline",
    "DualLatentXLPipeline",
    "SafetyReport",
]
