"""What diffusers finds here is the one class that is named."""

from dualsafe import DualLatentPipeline

__all__ = ["DualLatentPipeline"]
