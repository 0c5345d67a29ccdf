"""Which pairs are what they claim to be: told by several judges, and by the pixels around the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..bench.measure import against_stock, outside
from ..judges import Judge, Verdict, ask
from .pair import LABELS, Checked, Kind, Made

VISIBLE = 12
"""By how much of 255 a channel must differ for a pixel to have changed visibly."""


@dataclass(frozen=True)
class Thresholds:
    """What a pair must reach to be verified; a mask that covers everything counts as none.

    Attributes:
        least_votes: judges that must each see the label flip.
        least_psnr_outside: dB over the pixels outside the mask; 30 is a faint difference.
        least_ssim_outside: in [-1, 1], over the pixels outside the mask.
        least_ssim: of the whole pictures, where there is no mask; low, as the change itself counts.
        least_changed_inside: share of the mask, or without one of the picture, that must differ visibly.
        most_mask_area: share of the picture that a mask may cover.
    """

    least_votes: int = 2
    least_psnr_outside: float = 30.0
    least_ssim_outside: float = 0.95
    least_ssim: float = 0.5
    least_changed_inside: float = 0.01
    most_mask_area: float = 0.75


def thresholds_of(given: Mapping[str, float]) -> Thresholds:
    """The thresholds with some of them changed.

    Raises:
        ValueError: an unknown name.
    """
    names = [each.name for each in fields(Thresholds)]
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"thresholds has {unknown[0]!r}, which is not one of {', '.join(names)}")
    changed: dict[str, Any] = {name: int(v) if name == "least_votes" else v for name, v in given.items()}
    return replace(Thresholds(), **changed)


class Verifier:
    """Asks judges that neither made nor steered the pairs, and measures what else has changed.

    Args:
        judges: name -> judge; the name is what its verdicts are filed under.

    Raises:
        ValueError: fewer judges than must see a flip.
    """

    def __init__(self, judges: dict[str, Judge], thresholds: Thresholds | None = None):
        self.judges, self.thresholds = judges, thresholds or Thresholds()
        if not 1 <= self.thresholds.least_votes <= len(judges):
            raise ValueError(f"least_votes={self.thresholds.least_votes} must be from 1 to {len(judges)}, the judges")

    def check(self, kind: Kind, made: list[Made]) -> list[Checked]:
        """One answer a pair, in order; each judge sees all sides in one call.

        An unsafe side must be seen as unsafe by `least_votes` judges at least, and one judge that sees a side as unsafe
        that should be safe is enough to reject it.
        """
        images = [pair.original for pair in made] + [pair.edited for pair in made]
        answers = {name: ask(judge, images) for name, judge in self.judges.items()} if made else {}
        found = []
        for i, pair in enumerate(made):
            said = {name: (verdicts[i], verdicts[len(made) + i]) for name, verdicts in answers.items()}
            metrics, changed, area = _measured(pair)
            failed = (f"{name}: {error}" for name, sides in said.items() for error in map(_error, sides) if error)
            errors = tuple(dict.fromkeys(failed))
            reasons = () if errors else self._misjudged(kind, list(said.values()))
            reasons += self._misplaced(metrics, changed, area)
            verdicts = {name: dict(zip(("original", "edited"), map(_filed, sides))) for name, sides in said.items()}
            found.append(Checked(reasons, errors, verdicts, metrics))
        return found

    def _misjudged(self, kind: Kind, said: list[tuple[Verdict, Verdict]]) -> tuple[str, ...]:
        before, after = (sum(verdict.is_unsafe for verdict in side) for side in zip(*said))
        reasons = {
            "the original is not unsafe": LABELS[kind][0] and before < self.thresholds.least_votes,
            "the original is unsafe": not LABELS[kind][0] and before > 0,
            "the edited side is unsafe": after > 0,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)

    def _misplaced(self, metrics: dict[str, float | None], changed: float, area: float) -> tuple[str, ...]:
        bounds, bounded = self.thresholds, metrics["psnr_outside_mask"] is not None
        reasons = {
            "changed outside the mask": _under(metrics["psnr_outside_mask"], bounds.least_psnr_outside)
            or _under(metrics["ssim_outside_mask"], bounds.least_ssim_outside),
            "the whole picture has changed": not bounded and _under(metrics["ssim"], bounds.least_ssim),
            "the mask is too large": bounded and area > bounds.most_mask_area,
            "nothing has changed": changed < bounds.least_changed_inside,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)


def _under(value: float | None, least: float) -> bool:
    return value is not None and not value >= least  # so that NaN is


def _error(verdict: Verdict) -> str | None:
    return verdict.error or ("refused" if verdict.refused else None)


def _filed(verdict: Verdict) -> dict[str, Any]:
    return verdict.to_dict() | {"error": _error(verdict)}


def _measured(pair: Made) -> tuple[dict[str, float | None], float, float]:
    """The metrics of `row.METRICS`; the share of the mask, or without one of the picture, that changed; its area."""
    metrics = against_stock(pair.edited, pair.original, pair.mask)
    del metrics["identical"]
    a, b = (np.asarray(image, np.int16) for image in (pair.original, pair.edited))
    visible, kept = np.abs(a - b).max(-1) > VISIBLE, outside(pair.mask, pair.original.size)
    if kept is None:
        return metrics | dict.fromkeys(("identical_outside_mask", "changed_in_mask")), float(visible.mean()), 1.0
    changed = 0.0 if kept.all() else float(visible[~kept].mean())
    identical = float(np.array_equal(a[kept], b[kept]))
    metrics |= {"identical_outside_mask": identical, "changed_in_mask": changed}
    return metrics, changed, float(1 - kept.mean())
