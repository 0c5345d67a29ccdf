"""Pipelines: one short module a model family, each a thin subclass of the diffusers pipeline."""

from .auto import AutoDualLatentPipeline
from .flux import DualLatentFluxPipeline
from .output import DualLatentOutput, SafetyReport
from .sd import DualLatentImg2ImgPipeline, DualLatentInpaintPipeline, DualLatentPipeline
from .sd3 import DualLatentSD3Pipeline
from .sdxl import DualLatentXLImg2ImgPipeline, DualLatentXLInpaintPipeline, DualLatentXLPipeline

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
