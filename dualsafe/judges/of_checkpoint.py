"""The judge that comes with a checkpoint."""

from __future__ import annotations

from pathlib import Path

from diffusers import DiffusionPipeline

from .judge import Judge


def judge_of(pipe: DiffusionPipeline) -> Judge:
    """The guard beside picto's weights, or the safety checker of a Stable Diffusion checkpoint.

    Raises:
        ValueError: the checkpoint has neither.
    """
    folder = Path(str(pipe.config.get("_name_or_path", ""))) / "guard"
    if folder.is_dir():
        from .picto import PictoJudge

        return PictoJudge.from_pretrained(folder).eval().to(pipe.device)
    if getattr(pipe, "safety_checker", None) is not None:
        from .safety_checker import SafetyCheckerJudge

        return SafetyCheckerJudge(pipe.safety_checker, pipe.feature_extractor)
    raise ValueError(f"checkpoint {pipe.config.get('_name_or_path')!r} brings no judge: give one of your own")
