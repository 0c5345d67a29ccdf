"""What diffusers finds here is the one class that is named."""

from dualsafe import DualLatentSD3Pipeline

__all__ = ["DualLatentSD3Pipeline"]
