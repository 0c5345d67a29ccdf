"""Editors by name, for command lines and specs of runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...bundled import PICTO
from ...policy import Policy
from ...registry import Registry
from ..pair import Kind
from .editor import Editor


def create_editor(
    name: str,
    *,
    model: str = "picto",
    policy: str | Policy | None = None,
    device: str = "cpu",
    **options: Any,
) -> Editor:
    """The editor that a text of one of `EDITORS.forms` names.

    Other packages add to them by an entry point of the group "dualsafe.editors": a function of what stands after the
    name's colon, with the arguments below, as far as they are given, as keywords, that returns an editor.

    Args:
        model: checkpoint of "dual" and "img2img": "picto", a folder, or a repository's name on the hub.
        policy: None is picto's for picto, else i2p's.
        device: torch device.
        **options: of the editor: "steps", "guidance_scale", "guard", "strength", "kind" and "scope", as `PairSpec` has
            them, with the guard loaded; an editor passes over what it has no use for, and has its own defaults.

    Raises:
        ValueError: none of these forms.
        CheckpointError: its checkpoint cannot be loaded, or is not of a family that it takes.
        PolicyError: there is no such policy.
    """
    is_picto = model in ("picto", PICTO)
    options |= {"model": PICTO if is_picto else model, "policy": policy or ("picto" if is_picto else "i2p")}
    return EDITORS.load(name, device=device, **options)


def _dual(rest: str, *, model: str, device: str, strength: float = 0, **options: Any) -> Editor | None:
    from .dual import DualEditor

    return None if rest else DualEditor(_dual_pipeline(model, device), **options)


def _img2img(rest: str, *, model: str, device: str, kind: Kind = "real_edit", **options: Any) -> Editor | None:
    from .img2img import ImageToImageEditor

    return None if rest else ImageToImageEditor(_image_to_image(_dual_pipeline(model, device)), **options)


def _instructed(editor: str, family: str, half: str) -> Callable[..., Editor | None]:
    """The loader of an editor that follows instructions, for checkpoints of a family of diffusers."""

    def load(path: str, *, policy: Any, device: str, **options: Any) -> Any:
        if not path:
            return None
        import diffusers

        from . import instruction

        taken = {name: options[name] for name in ("steps", "guidance_scale") if name in options}
        return getattr(instruction, editor)(_stock(getattr(diffusers, family), path, device, half), policy, **taken)

    return load


def _exact(rest: str, *, kind: Kind = "counterfactual", **_: Any) -> Editor | None:
    from .exact import ExactEditor

    return None if rest else ExactEditor(kind)


def _null(rest: str, **_: Any) -> Editor | None:
    from .null import NullEditor

    return None if rest else NullEditor()


EDITORS = Registry(
    "editor",
    {
        "dual": _dual,
        "img2img": _img2img,
        "pix2pix:PATH": _instructed("InstructPix2PixEditor", "StableDiffusionInstructPix2PixPipeline", "float16"),
        "kontext:PATH": _instructed("FluxKontextEditor", "FluxKontextPipeline", "bfloat16"),  # float16 overflows
        "exact": _exact,
        "null": _null,
    },
    group="dualsafe.editors",
)


def _dual_pipeline(model: str, device: str) -> Any:
    from ...pipelines import AutoDualLatentPipeline

    family = AutoDualLatentPipeline.family_of(model)
    return _quiet(family.from_pretrained(model, dtype=_dtype(device, family.pattern.half)), device)


def _image_to_image(pipe: Any) -> Any:
    """The image-to-image pipeline on a text-to-image pipeline's components."""
    from ...errors import CheckpointError
    from ...pipelines import (
        DualLatentImg2ImgPipeline,
        DualLatentPipeline,
        DualLatentXLImg2ImgPipeline,
        DualLatentXLPipeline,
    )

    families: dict[Any, Any] = {
        DualLatentPipeline: DualLatentImg2ImgPipeline,
        DualLatentXLPipeline: DualLatentXLImg2ImgPipeline,
    }
    if type(pipe) in families.values():
        return pipe
    if type(pipe) not in families:
        raise CheckpointError(f"editor 'img2img' takes Stable Diffusion 1, 2 and XL, not {type(pipe).__name__}")
    return _quiet(families[type(pipe)].from_pipe(pipe))


def _stock(family: Any, path: str, device: str, half: str) -> Any:
    from ...errors import CheckpointError
    from ...pipelines.checkpoint import load

    found = load(family.load_config, path)["_class_name"]
    if found != family.__name__:  # it would load, and follow no instruction
        raise CheckpointError(f"{path} is a {found}, not a {family.__name__}")
    return _quiet(load(family.from_pretrained, path, dtype=_dtype(device, half)), device)


def _dtype(device: str, half: Any) -> Any:
    """Full precision on a CPU, else the half one, a dtype or its name."""
    import torch

    return torch.float32 if device == "cpu" else getattr(torch, half) if isinstance(half, str) else half


def _quiet(pipe: Any, device: str | None = None) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe if device is None else pipe.to(device)
