"""The judge that comes with a checkpoint."""

from __future__ import annotations

from pathlib import Path

from diffusers import DiffusionPipeline

from .judge import Judge

_GUARD = "_dualsafe_guard"


def judge_of(pipe: DiffusionPipeline) -> Judge:
    """The guard beside picto's weights, or the safety checker of a Stable Diffusion checkpoint.

    Raises:
        ValueError: the checkpoint has neither.
    """
    judge = own_judge(pipe)
    if judge is None:
        raise ValueError(f"checkpoint {pipe.config.get('_name_or_path')!r} brings no judge: give one of your own")
    return judge


def own_judge(pipe: DiffusionPipeline) -> Judge | None:
    """The same; None where the checkpoint brings none."""
    folder = Path(str(pipe.config.get("_name_or_path", ""))) / "guard"
    if folder.is_dir():
        from .picto import PictoJudge

        if _GUARD not in pipe.__dict__:  # asked for by every call
            pipe.__dict__[_GUARD] = PictoJudge.from_pretrained(folder).eval()
        return pipe.__dict__[_GUARD].to(pipe.device)
    if getattr(pipe, "safety_checker", None) is not None:
        from .safety_checker import SafetyCheckerJudge

        return SafetyCheckerJudge(pipe.safety_checker, pipe.feature_extractor)
    return None
