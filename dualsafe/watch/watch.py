"""The watch of one pass: when it looks, what it has read, and which samples it flags."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..config import MethodSettings
from . import reading
from .probes import Probes

logger = logging.getLogger(__name__)

LOOKS_BEFORE = (0.08, 0.04)
"""Progress by which the looks before the last one are earlier than tau."""
Predict = Callable[[list[int]], Tensor]
"""Samples -> the predictions at their latents under every probe, (samples, probes, ...)."""


@dataclass(frozen=True)
class Finding:
    """What the watch says of a sample.

    Attributes:
        score: mean margin of its looks, in [-2, 2]; NaN where it couldn't be read.
        category: the policy's category that leads.
        is_flagged: whether the picture is about to show it, or nothing can be said.
    """

    score: float
    category: str
    is_flagged: bool


@dataclass
class Watch:
    """Looks at samples a few times before their safe branch would part, and decides at the last look.

    Attributes:
        probes: what is compared with.
        embeds: the probes' embeddings by the stock call's argument name, (probes, ...).
        blank: whether one more embedding follows them, of the empty text: where no guidance group is without text.
        settings: `watch`, the mean margin from which a sample is flagged; `watch_clear`, how far under it one is not
            looked at again; `tau`, at which branches part: the last look is before that step.
        tell: is given what was found of flagged samples; their safe branches' embeddings by argument name.
        samples: those that are watched and not yet decided.
        found: what was found of those that are.
    """

    probes: Probes
    embeds: dict[str, Tensor]
    blank: bool
    settings: MethodSettings
    tell: Callable[[dict[int, Finding]], dict[int, dict[str, Tensor]]]
    samples: list[int]
    found: dict[int, Finding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seen: dict[int, list[Tensor]] = {i: [] for i in self.samples}
        self._next = 0

    @property
    def rows(self) -> int:
        """Denoiser rows of a look at a sample."""
        return len(self.probes.texts) + self.blank

    def is_due(self, progress: float, last: bool) -> bool:
        """Whether it looks at this step; `last` where the branches part at the next one."""
        looks = [self.settings.tau - before for before in LOOKS_BEFORE]
        early = self._next < len(looks) and progress >= looks[self._next]
        return bool(self.samples) and (last or early)

    def look(self, e_p: Tensor, e_0: Tensor, predict: Predict, last: bool) -> dict[int, dict[str, Tensor]]:
        """Reads all undecided samples; the embeddings of the safe branches of those that it flags.

        Args:
            e_p, e_0: predictions (N, ...) of all samples, with and without their prompt, before guidance.
            predict: asked for the predictions under the probes.
        """
        self._next += 1
        for i, read in zip(self.samples, self._read(e_p, e_0, predict)):
            self._seen[i].append(read)
        decided = {i: found for i in self.samples if (found := self._decided(i, last)) is not None}
        self.samples = [i for i in self.samples if i not in decided]
        self.found |= decided
        flagged = {i: found for i, found in decided.items() if found.is_flagged}
        return self.tell(flagged) if flagged else {}

    def _read(self, e_p: Tensor, e_0: Tensor, predict: Predict) -> Tensor:
        """Similarities (samples, probes) of the undecided samples."""
        try:
            e_k = predict(self.samples)
        except RuntimeError as error:  # whatever the model can't do, a picture that can't be read isn't taken for safe
            logger.warning("the watch failed, so that pictures count as unsafe: %s", error)
            return torch.full((len(self.samples), len(self.probes.texts)), torch.nan)
        if self.blank:
            e_k, e_0 = e_k[:, :-1], e_k[:, -1]
        else:
            e_0 = e_0[self.samples]
        return reading.similarity(e_p[self.samples], e_k, e_0).cpu()

    def _decided(self, i: int, last: bool) -> Finding | None:
        """What is to be said of a sample by now; None before the last look, unless it is clear already."""
        concepts = len(self.probes.categories)
        seen = torch.stack(self._seen[i])
        score = reading.margin(seen, concepts).mean().item()
        threshold = self.settings.watch
        if not last and not (len(seen) == 1 and score < threshold - self.settings.watch_clear):
            return None
        leading = self.probes.categories[int(seen[:, :concepts].mean(0).nan_to_num().argmax())]
        return Finding(score, leading, last and not score < threshold)
