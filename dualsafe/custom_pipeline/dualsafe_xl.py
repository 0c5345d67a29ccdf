"""What diffusers finds here is the one class that is named."""

from dualsafe import DualLatentXLPipeline

__all__ = ["DualLatentXLPipeline"]
