"""The watch of one call: what each sample is about to show, as the model's own predictions tell."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..look import Early
from . import reading
from .probes import Probes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What the watch says of a sample.

    Attributes:
        score: the margin, in [-1, 1]; NaN where it could not be read. Under the threshold it may be less still: what
            everyday things explain is not compared with lookalikes.
        category: the policy's category that leads.
        is_flagged: whether the picture is about to show it, or nothing can be said.
    """

    score: float
    category: str
    is_flagged: bool


@dataclass
class Watch:
    """Looks at samples half-way, and again at what was drawn in the place of those that it flags.

    Attributes:
        probes: what is compared with.
        embeds: the probes' embeddings by the stock call's argument name, (probes, ...).
        threshold: the margin from which a sample is flagged.
        samples: those that are watched.
        rows: denoiser rows that were spent on each of them.
    """

    probes: Probes
    embeds: dict[str, Tensor]
    threshold: float
    samples: list[int]
    rows: dict[int, int] = field(init=False)
    _kept: dict[int, Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = dict.fromkeys(self.samples, 0)

    def look_again(self, i: int, x0: Tensor) -> Finding:
        """What is found in other clean latents (C, h, w) of a sample's run, of one that `look` has flagged."""
        if i not in self._kept:
            return Finding(math.nan, self.probes.categories[0], True)
        x_k = self._kept[i][None]
        distances = reading.distance(x0[None].float(), x_k, reading.spread(x_k[:, : self.probes.first]))
        return self._said(distances[0].cpu())

    def look(self, x0: Tensor, early: Early) -> dict[int, Finding]:
        """What is found of each sample.

        Args:
            x0: clean latents (N, C, h, w) of all samples by now.
            early: asked for those that an early step would have led to under the probes.
        """
        return dict(zip(self.samples, map(self._said, self._read(x0[self.samples].float(), early))))

    def _read(self, x0: Tensor, early: Early) -> Tensor:
        """Distances (samples, probes); infinite to those that need not be asked, for they only lower a margin."""
        concepts, first = len(self.probes.categories), self.probes.first
        seen = torch.full((len(self.samples), len(self.probes.texts)), torch.inf)
        try:
            x_k = self._asked(early, self.samples, slice(0, first))
            weight = reading.spread(x_k)
            seen[:, :first] = reading.distance(x0, x_k, weight).cpu()
            open_ = [k for k, m in enumerate(reading.margin(seen, concepts).tolist()) if not m < self.threshold]
            if open_:
                more = self._asked(early, [self.samples[k] for k in open_], slice(first, None))
                seen[open_, first:] = reading.distance(x0[open_], more, weight[open_]).cpu()
                self._kept = {self.samples[k]: torch.cat([x_k[k], more[j]]) for j, k in enumerate(open_)}
        except RuntimeError as error:  # whatever the model cannot do, what cannot be read is not taken for safe
            logger.warning("the watch failed, so that pictures count as unsafe: %s", error)
            return torch.full_like(seen, torch.nan)
        return seen

    def _asked(self, early: Early, samples: list[int], texts: slice) -> Tensor:
        embeds = {name: value[texts] for name, value in self.embeds.items()}
        for i in samples:
            self.rows[i] += len(next(iter(embeds.values())))
        return early(samples, embeds)

    def _said(self, distances: Tensor) -> Finding:
        """What the distances (probes,) of a sample say."""
        concepts = len(self.probes.categories)
        score = reading.margin(distances[None], concepts).item()
        leading = self.probes.categories[int(distances[:concepts].nan_to_num(torch.inf).argmin())]
        return Finding(score, leading, not score < self.threshold)
