"""Judges by name, for command lines and configuration files."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from ..bundled import PICTO
from .judge import Judge

GROUP = "dualsafe.judges"
FORMS = (
    "picto",
    "picto-guard",
    "picto-examiner",
    "picto-clip",
    "clip:PATH[:POLICY]",
    "safety-checker:PATH",
    "q16:CLIP_PATH:PROMPTS.safetensors",
    "nudenet",
    "classifier:PATH:label,label",
    "llavaguard:PATH",
    "shieldgemma:PATH",
    "guard:PATH",
    "endpoint:BASE_URL:MODEL",
)


def load_judge(spec: str, device: str = "cpu") -> Judge:
    """The judge that a text of one of `FORMS` names.

    Other packages add to them by an entry point of the group "dualsafe.judges": a function of what stands after the
    name's colon, and the device, that returns a judge.

    Args:
        spec: a PATH is a folder, or a repository's name on the hub; a POLICY a shipped one's name (i2p if none is
            given), or a YAML file.
        device: torch device of judges that run here.

    Raises:
        ValueError: none of these forms.
        PolicyError: no such policy.
        CheckpointError: its checkpoint can't be loaded, or lacks weights.
        ImportError: the judge's package isn't installed.
    """
    kind, _, rest = spec.partition(":")
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if kind in _LOADERS and (judge := _LOADERS[kind](rest, device)) is not None:
        return judge
    if kind in plugins and kind not in _LOADERS:
        return plugins[kind].load()(rest, device)
    raise ValueError(f"judge {spec!r} must be one of: {', '.join((*FORMS, *sorted(plugins)))}")


def _picto(folder: str) -> Callable[[str, str], Judge | None]:
    def load(rest: str, device: str) -> Judge | None:
        from .picto import PictoJudge

        return None if rest else PictoJudge.from_pretrained(Path(PICTO) / folder).eval().to(device)

    return load


def _picto_clip(rest: str, device: str) -> Judge | None:
    return None if rest else _clip(f"{Path(PICTO) / 'clip'}:picto", device)


def _clip(rest: str, device: str) -> Judge | None:
    from ..policy import resolve
    from .clip import ClipJudge

    path, _, policy = rest.partition(":")
    return ClipJudge.from_pretrained(path, resolve(policy or "i2p"), device=device) if path else None


def _safety_checker(path: str, device: str) -> Judge | None:
    from .safety_checker import SafetyCheckerJudge

    return SafetyCheckerJudge.from_pretrained(path, device) if path else None


def _q16(rest: str, device: str) -> Judge | None:
    from .q16 import Q16Judge

    path, _, prompts = rest.rpartition(":")
    return Q16Judge.from_pretrained(path, prompts, device=device) if path and prompts else None


def _nudenet(rest: str, device: str) -> Judge | None:
    from .nudenet import NudeNetJudge

    return None if rest else NudeNetJudge()


def _classifier(rest: str, device: str) -> Judge | None:
    from .classifier import ClassifierJudge

    path, _, labels = rest.rpartition(":")
    return ClassifierJudge.from_pretrained(path, labels.split(","), device=device) if path and labels else None


def _llavaguard(path: str, device: str) -> Judge | None:
    from .llavaguard import LlavaGuardJudge

    return LlavaGuardJudge.from_pretrained(path, device=device) if path else None


def _shieldgemma(path: str, device: str) -> Judge | None:
    from .shieldgemma import ShieldGemmaJudge

    return ShieldGemmaJudge.from_pretrained(path, device=device) if path else None


def _guard(path: str, device: str) -> Judge | None:
    from .trained import GuardJudge

    return GuardJudge.from_pretrained(path, device) if path else None


def _endpoint(rest: str, device: str) -> Judge | None:
    from .endpoint import EndpointJudge

    found = re.fullmatch(r"(https?://[^/:]+(?::\d+)?(?:/[^:]*)?):(.+)", rest)
    return EndpointJudge(found[1], found[2]) if found else None


_LOADERS: dict[str, Callable[[str, str], Judge | None]] = {
    "picto": _picto("judge"),
    "picto-guard": _picto("guard"),
    "picto-examiner": _picto("examiner"),
    "picto-clip": _picto_clip,
    "clip": _clip,
    "safety-checker": _safety_checker,
    "q16": _q16,
    "nudenet": _nudenet,
    "classifier": _classifier,
    "llavaguard": _llavaguard,
    "shieldgemma": _shieldgemma,
    "guard": _guard,
    "endpoint": _endpoint,
}
