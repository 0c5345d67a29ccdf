"""Safe text-to-image generation in latent space, without training and without touching a weight."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bundled import PICTO as PICTO
    from .config import PRESETS as PRESETS
    from .config import MethodSettings as MethodSettings
    from .errors import CheckpointError as CheckpointError
    from .errors import NonFiniteLatentsError as NonFiniteLatentsError
    from .errors import PolicyError as PolicyError
    from .errors import PolicyViolation as PolicyViolation
    from .pipelines import AutoDualLatentPipeline as AutoDualLatentPipeline
    from .pipelines import DualLatentOutput as DualLatentOutput
    from .pipelines import SafetyReport as SafetyReport
    from .pipelines.families import *  # noqa: F403
    from .policy import Policy as Policy

__version__ = "0.1.0"

_HOME = {
    "PICTO": "bundled",
    "PRESETS": "config",
    "MethodSettings": "config",
    "CheckpointError": "errors",
    "NonFiniteLatentsError": "errors",
    "PolicyError": "errors",
    "PolicyViolation": "errors",
    "Policy": "policy",
    "AutoDualLatentPipeline": "pipelines",
    "SafetyReport": "pipelines",
}
"""Where a public name is; all that begin with DualLatent are in `pipelines`; `pipelines.families` lists them."""


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `import dualsafe` costs nothing."""
    if name == "__all__":
        return sorted({*_HOME, *import_module(".pipelines", __name__).__all__, "__version__"})
    home = "pipelines" if name.startswith("DualLatent") else _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
