"""What diffusers' `custom_pipeline` can name, for those who know no other door.

    DiffusionPipeline.from_pretrained(path, custom_pipeline=path_of("xl"), trust_remote_code=True)

diffusers asks for `trust_remote_code` with every pipeline that is not its own; the code that it trusts is this package.
"""

from __future__ import annotations

from pathlib import Path

FAMILIES = ("sd", "xl", "sd3", "flux")


def path_of(family: str = "sd") -> str:
    """For Stable Diffusion 1.x and 2.x ("sd") this folder, for "xl", "sd3" and "flux" a file in it.

    diffusers keeps all folders' `pipeline.py` as one module, in which a second class would be one too many.

    Raises:
        ValueError: another family.
    """
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} is not one of {', '.join(FAMILIES)}")
    here = Path(__file__).parent
    return str(here if family == "sd" else here / f"dualsafe_{family}.py")
