"""One picture of a call in the making."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..conditions import Decision
from ..config import MethodSettings
from ..judges import Verdict
from ..watch import Finding


@dataclass
class Sample:
    """
    Attributes:
        decision, settings: what its latest pass was told.
        safe: final latents of the safe branch; None where the original is the picture.
        pixels: `safe` decoded and composited, (3, H, W).
        mask: where the safe picture may differ, (1, h, w) in [0, 1]; None where it is everywhere.
        is_alike: whether the safe picture should differ from its original and does so nowhere, by the mask's floor.
        rows: denoiser rows spent so far, in all passes.
        tries: how often it was drawn again.
        verdicts: what judges said of it, in order.
        finding: what the watch says, if it looked.
        withheld: whether it must not leave.
    """

    decision: Decision
    settings: MethodSettings
    safe: Tensor | None = None
    pixels: Tensor | None = None
    mask: Tensor | None = None
    is_alike: bool = False
    rows: int = 0
    tries: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    finding: Finding | None = None
    withheld: bool = False

    @property
    def is_original(self) -> bool:
        """Whether the safe branch came to nothing, so that the picture is the original."""
        return self.safe is None or (self.mask is not None and not bool(self.mask.any()))

    @property
    def was_looked_at(self) -> bool:
        return bool(self.verdicts) or self.finding is not None

    @property
    def was_flagged(self) -> bool:
        """Whether a judge or the watch found something."""
        found = self.finding is not None and self.finding.is_flagged
        return found or any(verdict.is_unsafe for verdict in self.verdicts)

    @property
    def seen(self) -> list[str]:
        """What judges and the watch found: concepts or categories of the policy."""
        concepts = [concept for verdict in self.verdicts for concept in verdict.concepts]
        return [*concepts, *([self.finding.category] if self.finding and self.finding.is_flagged else [])]
