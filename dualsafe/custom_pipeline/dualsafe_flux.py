"""What diffusers finds here is the one class that is named."""

from dualsafe import DualLatentFluxPipeline

__all__ = ["DualLatentFluxPipeline"]
