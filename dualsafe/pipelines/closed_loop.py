"""From the first pass to pictures that may leave: what judges flag is drawn again, and at last withheld."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..conditions import Gate, aimed
from ..config import MethodSettings
from ..judges import Judge, ask
from .call import Call, Sample

LADDER: tuple[dict[str, Any], ...] = (
    {"tau": 0.1},
    {"tau": 0.0, "mask_floor": None, "composite": False},
)
"""What each try changes in the settings, the last one for all further tries; every try is at level 1."""


def draw_all(call: Call) -> None:
    """Draws every sample of `call`, as often as its judges ask for.

    Raises:
        NonFiniteLatentsError: NaN or infinite latents.
        ValueError: a shared phase over all steps.
    """
    request = call.request
    everything = list(range(len(call.samples)))
    undecided = [i for i in everything if call.samples[i].decision.is_open]
    call.draw(everything, request.preview if undecided else None)
    flagged = [i for i in undecided if any(verdict.is_unsafe for verdict in call.samples[i].verdicts)]
    if flagged:
        _aim(call, flagged, "preview", call.request.settings)
    if request.verify:
        _verify(call, request.verify)


def _verify(call: Call, judge: Judge) -> None:
    """Judges every picture that a level asks to be safe; tries again, then withholds."""
    pending = [i for i, sample in enumerate(call.samples) if sample.decision.level > 0]
    for step in range(call.request.max_tries + 1):
        pending = _flagged(call, [i for i in pending if not call.samples[i].withheld], judge)
        if not pending:
            return
        if step < call.request.max_tries:
            settings = replace(call.request.settings, **LADDER[min(step, len(LADDER) - 1)])
            _aim(call, pending, "verify", settings)
    for i in pending:
        call.samples[i].withheld = True


def _flagged(call: Call, rows: list[int], judge: Judge) -> list[int]:
    """Those of `rows` that the judge flags as they stand."""
    if not rows:
        return []
    verdicts = ask(judge, call.pil(call.pixels()[rows]))
    for i, verdict in zip(rows, verdicts):
        call.samples[i].verdicts.append(verdict)
    return [i for i, verdict in zip(rows, verdicts) if verdict.is_unsafe]


def _aim(call: Call, rows: Iterable[int], gate: Gate, settings: MethodSettings) -> None:
    """Draws `rows` again under a safe condition aimed at all that was seen in them so far.

    Where neither the policy nor the caller says what to show instead, the picture is withheld.
    """
    request, again = call.request, []
    for i in rows:
        sample = call.samples[i]
        texts = {name: each[i // request.images_per_prompt] for name, each in request.texts.items()}
        seen = [concept for verdict in sample.verdicts for concept in verdict.concepts]
        sample.decision = aimed(sample.decision, texts, seen, request.policy, gate)
        if sample.decision.safe_texts == texts and not request.safe_embeds:
            sample.withheld = True
            continue
        if gate == "verify":
            sample.decision = replace(sample.decision, level=1.0)
        sample.settings = settings
        sample.tries += 1
        again.append(i)
    if not again:
        return
    call.draw(again)
    unchanged = [i for i in again if _unchanged(call.samples[i])]
    if unchanged and settings.mask_floor is not None and request.mask is None:
        _aim(call, unchanged, gate, replace(settings, **LADDER[-1]))
    else:
        for i in unchanged:
            call.samples[i].withheld = True


def _unchanged(sample: Sample) -> bool:
    """Whether the safe branch came to nothing, so that the picture is still the flagged original."""
    return sample.safe is None or (sample.mask is not None and not bool(sample.mask.any()))
