"""Safe text-to-image generation in latent space, without training and without touching a weight."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bundled import PICTO
    from .config import PRESETS, MethodSettings
    from .errors import CheckpointError, NonFiniteLatentsError, PolicyError, PolicyViolation
    from .pipelines import (
        AutoDualLatentPipeline,
        DualLatentAuraFlowPipeline,
        DualLatentChromaPipeline,
        DualLatentControlNetImg2ImgPipeline,
        DualLatentControlNetPipeline,
        DualLatentFlux2KleinPipeline,
        DualLatentFlux2Pipeline,
        DualLatentFluxImg2ImgPipeline,
        DualLatentFluxInpaintPipeline,
        DualLatentFluxPipeline,
        DualLatentImg2ImgPipeline,
        DualLatentInpaintPipeline,
        DualLatentLumina2Pipeline,
        DualLatentOutput,
        DualLatentPipeline,
        DualLatentPixArtSigmaPipeline,
        DualLatentQwenImagePipeline,
        DualLatentSanaPipeline,
        DualLatentSD3Img2ImgPipeline,
        DualLatentSD3InpaintPipeline,
        DualLatentSD3Pipeline,
        DualLatentXLControlNetImg2ImgPipeline,
        DualLatentXLControlNetPipeline,
        DualLatentXLImg2ImgPipeline,
        DualLatentXLInpaintPipeline,
        DualLatentXLPipeline,
        DualLatentZImagePipeline,
        SafetyReport,
    )
    from .policy import Policy

__version__ = "0.1.0"

_HOME = {
    "PICTO": "bundled",
    "PRESETS": "config",
    "MethodSettings": "config",
    "CheckpointError": "errors",
    "NonFiniteLatentsError": "errors",
    "Policy": "policy",
    "PolicyError": "errors",
    "PolicyViolation": "errors",
    "AutoDualLatentPipeline": "pipelines",
    "DualLatentAuraFlowPipeline": "pipelines",
    "DualLatentChromaPipeline": "pipelines",
    "DualLatentZImagePipeline": "pipelines",
    "DualLatentQwenImagePipeline": "pipelines",
    "DualLatentLumina2Pipeline": "pipelines",
    "DualLatentFlux2Pipeline": "pipelines",
    "DualLatentFlux2KleinPipeline": "pipelines",
    "DualLatentControlNetImg2ImgPipeline": "pipelines",
    "DualLatentControlNetPipeline": "pipelines",
    "DualLatentFluxImg2ImgPipeline": "pipelines",
    "DualLatentFluxInpaintPipeline": "pipelines",
    "DualLatentFluxPipeline": "pipelines",
    "DualLatentImg2ImgPipeline": "pipelines",
    "DualLatentInpaintPipeline": "pipelines",
    "DualLatentOutput": "pipelines",
    "DualLatentPipeline": "pipelines",
    "DualLatentPixArtSigmaPipeline": "pipelines",
    "DualLatentSD3Img2ImgPipeline": "pipelines",
    "DualLatentSD3InpaintPipeline": "pipelines",
    "DualLatentSD3Pipeline": "pipelines",
    "DualLatentSanaPipeline": "pipelines",
    "DualLatentXLControlNetImg2ImgPipeline": "pipelines",
    "DualLatentXLControlNetPipeline": "pipelines",
    "DualLatentXLImg2ImgPipeline": "pipelines",
    "DualLatentXLInpaintPipeline": "pipelines",
    "DualLatentXLPipeline": "pipelines",
    "SafetyReport": "pipelines",
}
__all__ = [
    "PICTO",
    "PRESETS",
    "AutoDualLatentPipeline",
    "CheckpointError",
    "DualLatentAuraFlowPipeline",
    "DualLatentChromaPipeline",
    "DualLatentControlNetImg2ImgPipeline",
    "DualLatentControlNetPipeline",
    "DualLatentFlux2KleinPipeline",
    "DualLatentFlux2Pipeline",
    "DualLatentFluxImg2ImgPipeline",
    "DualLatentFluxInpaintPipeline",
    "DualLatentFluxPipeline",
    "DualLatentImg2ImgPipeline",
    "DualLatentInpaintPipeline",
    "DualLatentLumina2Pipeline",
    "DualLatentOutput",
    "DualLatentPipeline",
    "DualLatentPixArtSigmaPipeline",
    "DualLatentQwenImagePipeline",
    "DualLatentSD3Img2ImgPipeline",
    "DualLatentSD3InpaintPipeline",
    "DualLatentSD3Pipeline",
    "DualLatentSanaPipeline",
    "DualLatentXLControlNetImg2ImgPipeline",
    "DualLatentXLControlNetPipeline",
    "DualLatentXLImg2ImgPipeline",
    "DualLatentXLInpaintPipeline",
    "DualLatentXLPipeline",
    "DualLatentZImagePipeline",
    "MethodSettings",
    "NonFiniteLatentsError",
    "Policy",
    "PolicyError",
    "PolicyViolation",
    "SafetyReport",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `import dualsafe` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
