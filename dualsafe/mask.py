"""Where each safe branch may differ from its original."""

from __future__ import annotations

from itertools import compress

from torch import Tensor
from torch.nn import functional as F

from . import method
from .branches import OnDevice
from .noise_level import Step
from .plan import Plan


class Mask:
    """The caller's mask, or one that is found anew at every step from the two branches' clean latents.

    Attributes:
        all: (N, 1, h, w) in [0, 1] as it stands; None where no mask holds a sample back, or none was found so far.
        parted: the samples whose found mask had a place in it at some step.
    """

    def __init__(self, plan: Plan, on: OnDevice):
        self.all: Tensor | None = None
        self.parted: set[int] = set()
        self._plan, self._on = plan, on

    def of(self, safe: list[int], fresh: list[int], x0_s: Tensor, x0_u: Tensor, step: Step) -> Tensor | None:
        """The masks of the samples `safe`, (safe, 1, h, w); None for the whole picture.

        Args:
            fresh: those of `safe` whose original was computed at this step; the others keep their mask.
            x0_s, x0_u: clean latents of both branches, (safe, C, h, w).
        """
        if self._plan.mask is not None:
            if self.all is None:
                self.all = F.adaptive_max_pool2d(self._plan.mask.to(x0_u), x0_u.shape[-2:])
        elif not self._plan.finds_mask:
            return None
        elif self.all is None or (fresh and not step.again):  # a negative's own call keeps the mask of the call before
            self._find(safe, fresh, x0_s, x0_u)
        assert self.all is not None
        return self.all[self._on(x0_u.device, safe)]

    def agreeing(self, step: Step) -> set[int]:
        """The samples that need no safe branch: from the latent gate on, those whose mask was empty at every step."""
        gate = self._plan.settings.latent_gate
        if gate is None or not self._plan.finds_mask or self.all is None or step.progress < gate:
            return set()
        return set(self._plan.dual) & self._plan.may_agree - self.parted

    def _find(self, safe: list[int], fresh: list[int], x0_s: Tensor, x0_u: Tensor) -> None:
        guidance, floor = self._plan.guidance(), self._plan.settings.mask_floor or 1.0
        difference = method.difference(x0_s, x0_u) * (guidance.scale if guidance.apart else 1)
        # Only where nothing says that a picture is unsafe may two branches be found to agree.
        least = self._on(x0_u.device, [floor / 2 if i in self._plan.may_agree else 0.0 for i in safe], x0_u.dtype)
        found = method.difference_mask(difference, floor, least.view(-1, 1, 1, 1))
        if self.all is None:
            self.all = found.new_zeros(len(self._plan.weights), *found.shape[1:])
        found = found[self._on(found.device, [safe.index(i) for i in fresh])]
        self.all[self._on(found.device, fresh)] = found
        if not self.parted.issuperset(fresh):  # once all have parted, nothing is read from the device
            self.parted |= set(compress(fresh, found.flatten(1).any(1).tolist()))
