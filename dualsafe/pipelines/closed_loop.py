"""From the first pass to pictures that may leave: what judges flag, and what did not become another picture although it
should, is drawn again; what judges still flag is withheld."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..conditions import Gate
from ..config import MethodSettings
from ..judges import Judge, ask
from .call import Call

LADDER: tuple[dict[str, Any], ...] = (
    {"tau": 0.04},
    {"tau": 0.0, "mask_floor": None, "composite": False, "sparse": False},
)
"""What each try changes in the settings, the last one for all further tries; every try is at level 1."""


def draw_all(call: Call) -> None:
    """Draws every sample of `call`, as often as its judges ask for. Once it is interrupted, nothing is drawn any more,
    and what a judge was to see and has not passed is withheld.

    Raises:
        NonFiniteLatentsError: NaN or infinite latents or pixels.
        ValueError: a shared phase over all steps.
    """
    request, samples, judges = call.request, call.samples, call.request.judges
    undecided = [i for i in call.everything if samples[i].decision.is_open]
    looks = bool(undecided and (judges.preview or judges.watched))
    call.draw(call.everything, looks)
    if call.is_interrupted and looks:
        _withhold(call, [i for i in undecided if samples[i].was_flagged or not samples[i].was_looked_at])
    flagged = [i for i in undecided if samples[i].was_flagged and not samples[i].withheld]
    by_judge = [i for i in flagged if any(verdict.is_unsafe for verdict in samples[i].verdicts)]
    gates: dict[int, Gate] = {i: "preview" if i in by_judge else "watch" for i in flagged}
    _aim(call, gates, request.settings)
    _make_sure(call)
    if judges.verify:
        _verify(call, judges.verify)


def _make_sure(call: Call) -> None:
    """Draws once more, from the first step on, what came out as its original, or in what the watch sees something
    still; what it sees there at last is withheld."""
    if call.request.max_tries:
        shown = call.still_shown()
        for i, category in shown.items():
            call.aim(i, [category], "watch")
        # what is unsafe was there before the branches parted
        alike = {i for i, sample in enumerate(call.samples) if sample.is_alike and not sample.withheld}
        settings = call.request.settings
        _again(call, [i for i in shown if not call.samples[i].withheld], replace(settings, **LADDER[-1]))
        _again(call, sorted(alike - shown.keys()), replace(settings, tau=0.0))
    _withhold(call, call.still_shown())


def _verify(call: Call, judge: Judge) -> None:
    """Judges every picture that a level asks to be safe; tries again, then withholds."""
    pending = [i for i, sample in enumerate(call.samples) if sample.decision.level > 0]
    for step in range(call.request.max_tries + 1):
        if call.is_interrupted:
            break
        pending = _flagged(call, [i for i in pending if not call.samples[i].withheld], judge)
        if not pending:
            return
        if step < call.request.max_tries:
            settings = replace(call.request.settings, **LADDER[min(step, len(LADDER) - 1)])
            _aim(call, dict.fromkeys(pending, "verify"), settings)
    _withhold(call, pending)


def _flagged(call: Call, rows: list[int], judge: Judge) -> list[int]:
    """Those of `rows` that the judge flags as they stand."""
    if not rows:
        return []
    verdicts = ask(judge, call.stock.images(call.pixels()[rows]))
    for i, verdict in zip(rows, verdicts):
        call.samples[i].verdicts.append(verdict)
    return [i for i, verdict in zip(rows, verdicts) if verdict.is_unsafe]


def _aim(call: Call, gates: Mapping[int, Gate], settings: MethodSettings) -> None:
    """Draws samples again under a safe condition aimed at all that was seen in them so far.

    Where nothing says what to show instead, the picture is withheld; so it is where the caller's mask keeps it as it
    was.

    Args:
        gates: of each of them, who decided so.
    """
    again = []
    for i, gate in gates.items():
        sample = call.samples[i]
        call.aim(i, sample.seen, gate)
        if sample.withheld:
            continue
        if gate == "verify":
            sample.decision = replace(sample.decision, level=1.0)
        again.append(i)
    _again(call, again, settings)
    _withhold(call, [i for i in again if call.is_interrupted or call.samples[i].is_original])


def _again(call: Call, rows: list[int], settings: MethodSettings) -> None:
    """Draws `rows` once more, if there are any, under other settings."""
    if not rows or call.is_interrupted:
        return
    for i in rows:
        call.samples[i].settings = settings
        call.samples[i].tries += 1
    call.draw(rows)


def _withhold(call: Call, rows: Iterable[int]) -> None:
    for i in rows:
        call.samples[i].withheld = True
