"""The watch of one pass: one look at each sample, and which of them it flags."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import reading
from .probes import Probes

logger = logging.getLogger(__name__)

Predict = Callable[[list[int], dict[str, Tensor]], Tensor]
"""Samples, and embeddings (texts, ...) -> the predictions at the samples' latents, (samples, texts, ...)."""


@dataclass(frozen=True)
class Finding:
    """What the watch says of a sample.

    Attributes:
        score: the margin, in [-2, 2]; NaN where it could not be read. Under the threshold it may be less still: what
            everyday things explain is not compared with lookalikes.
        category: the policy's category that leads.
        is_flagged: whether the picture is about to show it, or nothing can be said.
    """

    score: float
    category: str
    is_flagged: bool


@dataclass
class Watch:
    """Looks at samples once, before their safe branch would part.

    Attributes:
        probes: what is compared with.
        embeds: the probes' embeddings by the stock call's argument name, (probes, ...).
        blank: whether one more embedding precedes them, of the empty text: where no guidance group is without text.
        threshold: the margin from which a sample is flagged.
        tell: is given what was found of flagged samples; their safe branches' embeddings by argument name.
        samples: those that are watched and not yet decided.
        found: what was found of those that are.
        rows: denoiser rows that were spent on each of them.
    """

    probes: Probes
    embeds: dict[str, Tensor]
    blank: bool
    threshold: float
    tell: Callable[[dict[int, Finding]], dict[int, dict[str, Tensor]]]
    samples: list[int]
    found: dict[int, Finding] = field(default_factory=dict)
    rows: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = dict.fromkeys(self.samples, 0)

    def look(self, e_p: Tensor, e_0: Tensor, predict: Predict) -> dict[int, dict[str, Tensor]]:
        """Decides all samples; the embeddings of the safe branches of those that it flags.

        Args:
            e_p, e_0: predictions (N, ...) of all samples, with and without their prompt, before guidance.
            predict: asked for the predictions under the probes.
        """
        self.found = dict(zip(self.samples, map(self._said, self._read(e_p, e_0, predict))))
        self.samples = []
        flagged = {i: found for i, found in self.found.items() if found.is_flagged}
        return self.tell(flagged) if flagged else {}

    def _read(self, e_p: Tensor, e_0: Tensor, predict: Predict) -> Tensor:
        """Similarities (samples, probes); -1 to the lookalikes that need not be asked, for they only lower a margin."""
        concepts, first = len(self.probes.categories), self.probes.first
        seen = torch.full((len(self.samples), len(self.probes.texts)), -1.0)
        try:
            e_k = self._predicted(predict, self.samples, slice(0, first + self.blank))
            e_p, e_0, e_k = e_p[self.samples], e_k[:, 0] if self.blank else e_0[self.samples], e_k[:, self.blank :]
            weight = reading.spread(e_k)
            seen[:, :first] = reading.similarity(e_p, e_k, e_0, weight).cpu()
            open_ = [k for k, m in enumerate(reading.margin(seen, concepts).tolist()) if not m < self.threshold]
            if open_ and first < len(self.probes.texts):
                e_k = self._predicted(predict, [self.samples[k] for k in open_], slice(first + self.blank, None))
                seen[open_, first:] = reading.similarity(e_p[open_], e_k, e_0[open_], weight[open_]).cpu()
        except RuntimeError as error:  # whatever the model cannot do, what cannot be read is not taken for safe
            logger.warning("the watch failed, so that pictures count as unsafe: %s", error)
            return torch.full_like(seen, torch.nan)
        return seen

    def _predicted(self, predict: Predict, samples: list[int], texts: slice) -> Tensor:
        embeds = {name: value[texts] for name, value in self.embeds.items()}
        for i in samples:
            self.rows[i] += len(next(iter(embeds.values())))
        return predict(samples, embeds)

    def _said(self, similarities: Tensor) -> Finding:
        """What the similarities (probes,) of a sample say."""
        concepts = len(self.probes.categories)
        score = reading.margin(similarities[None], concepts).item()
        leading = self.probes.categories[int(similarities[:concepts].nan_to_num().argmax())]
        return Finding(score, leading, not score < self.threshold)
