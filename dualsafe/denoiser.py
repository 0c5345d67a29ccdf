"""The loop body: what a stock pipeline gets in place of its denoiser's prediction, at each call of a dual run.

The pipeline's own loop hands over the stacked batch `[guidance group][original, safe][sample]`. The stock forward runs
on the rows that each sample's phase needs, `dualsafe.method` is applied, and a full batch goes back. The module itself
is never patched, so other pipelines that share it see nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from . import method
from .branches import Branches, Call, OnDevice, check_stateless, stack
from .extrapolate import Originals, Trajectory
from .layout import Layout
from .look import EARLY, NOT_FIRST, Preview
from .mask import Mask
from .noise_level import Schedule, Step
from .partial import partial_of
from .plan import OWN_CALLS, Plan


class Seen(NamedTuple):
    """A branch at one step, (sample, C, h, w): latents, guided prediction, and clean latents in float32."""

    z: Tensor
    g: Tensor
    x0: Tensor


class Kept(NamedTuple):
    """An early call, to which more can be asked: with the original's latents (sample, C, h, w)."""

    call: Call
    z: Tensor
    step: Step


@dataclass
class DualDenoiser:
    """Answers the denoiser calls of one pass through a stock loop.

    Attributes:
        known: the originals of an earlier pass over the same samples.
        rows: denoiser rows spent on each sample so far.
        own_calls: denoiser calls in which safe branches ran.
        agreed: dual samples whose branches agreed everywhere until the latent gate; they follow the original for good.
        trajectory: the originals of this pass, as far as the preview looks, and on where it finds something.
    """

    model: Any
    plan: Plan
    schedule: Schedule
    preview: Preview | None = None
    known: Trajectory | None = None
    rows: list[int] = field(init=False)
    own_calls: int = field(init=False, default=0)
    agreed: set[int] = field(init=False, default_factory=set)
    trajectory: Trajectory = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = [0] * len(self.plan.weights)
        self._on, self._layout = OnDevice(), Layout()
        self._kept: Kept | None = None
        self._mask, self._originals = Mask(self.plan, self._on), Originals(self.plan, self.known)
        self._partial = partial_of(self.model) if self.plan.settings.sparse and self.plan.dual else None
        self._branches = Branches(self.model, len(self.rows), self.plan.settings.stacked, self._partial, self._on)
        if self.plan.dual:
            check_stateless(self.model, self.plan.settings.sparse)

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        if not self.plan.dual:
            return self._stock(args, kwargs)
        call = Call(args, kwargs, len(self.rows))
        self._layout.read(kwargs.get("img_ids"))
        step = self.schedule.at(call.timestep)
        safe = self._with_safe_branch(step)
        carried = self._originals.carried(step, safe, self._mask.parted)
        in_part = self._in_part(safe, step)
        original, own = self._branches.run(call, carried, safe, step.again, in_part)
        self._count(call.groups, original, own, safe)
        original = self._followed(call, original, own, carried, step)
        u = self._seen(call, call.latents(0), original, step)
        self._look(call, u, step)
        if own is None:
            return (stack(original, original),)
        self._originals.see(step, u.x0)
        at = self._on(original.device, safe)
        u, s = Seen(*(of[at] for of in u)), self._seen(call, call.latents(1)[at], own, step)
        if in_part and self._partial is not None and self._partial.in_mask:
            s = self._completed(s, u, [in_part.get(i) for i in safe], step)
        fresh = safe if self._originals.are_known(step) else [i for i in safe if i not in carried]
        mixed = original.clone()
        mixed[:, at] = self._blended(u, s, safe, fresh, step)
        return (stack(original, mixed),)

    @property
    def mask(self) -> Tensor | None:
        """(N, 1, h, w) in [0, 1], where each safe branch may differ; None where no mask holds it back."""
        return self._mask.all

    @property
    def left_shared_phase(self) -> bool:
        """Whether any call was made for the safe branches themselves."""
        return self.own_calls > 0

    @property
    def parts_at(self) -> int:
        """The step from which safe branches are computed, by the plan."""
        return self.schedule.parts_at(self.plan.settings.tau, OWN_CALLS)

    def look_at_last(self) -> None:
        """The look of a run that ended before it was due, at what was predicted last."""
        if self.preview is not None and self.preview.samples and not self.preview.done:
            self._show(next(reversed(self.trajectory.values())))

    def early(self, samples: list[int], embeds: dict[str, Tensor]) -> Tensor:
        """What `Early` asks: predictions under other texts at the early step, as clean latents.

        Args:
            embeds: of the texts, (texts, ...), by the stock call's argument name.
        """
        assert self._kept is not None
        call, z, step = self._kept
        e_k = self._branches.under(call, samples, embeds)
        texts = e_k.shape[1]
        z = z[self._on(z.device, samples)].repeat_interleave(texts, 0)
        g = self._turned(self._layout.spatial(e_k.flatten(0, 1)))
        x_k = method.clean_latents(z.float(), g.float(), step.level, self.schedule.prediction_type)
        return rearrange(x_k, "(n k) ... -> n k ...", k=texts)

    def _stock(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, ...]:
        """The stock call, untouched."""
        output, n = self.model(*args, **kwargs), len(self.rows)
        self.rows = [rows + len(output[0]) // n for rows in self.rows]
        if self.preview is not None and not self.preview.is_over:
            call = Call(args, kwargs, n, branches=1)
            self._layout.read(kwargs.get("img_ids"))
            step = self.schedule.at(call.timestep)
            u = self._seen(call, call.latents(0), rearrange(output[0], "(g n) ... -> g n ...", n=n), step)
            self._look(call, u, step)
        return output

    def _with_safe_branch(self, step: Step) -> list[int]:
        """The samples whose safe branch is computed: all dual ones after the shared phase, but for those that agree."""
        self.agreed |= self._mask.agreeing(step)
        parted = step.index >= self.parts_at
        return [i for i in self.plan.dual if parted and i not in self.agreed]

    def _in_part(self, safe: list[int], step: Step) -> dict[int, Tensor]:
        """The samples whose safe branch is computed in part at this step, and where."""
        if self._partial is None or not safe:
            return {}
        mask, known = self._mask.all, self._mask.parted.issuperset(safe) or not self.plan.finds_mask
        masks = None if mask is None or not known else mask[self._on(mask.device, safe)]
        return self._partial.places(safe, masks, self._originals.are_between(step))

    def _completed(self, s: Seen, u: Seen, places: list[Tensor | None], step: Step) -> Seen:
        """Safe branches, some of which were computed at some places (h, w) alone: the original's elsewhere."""
        at = [torch.ones(1, 1, device=s.z.device) if place is None else place.float() for place in places]
        own = torch.stack([F.interpolate(one[None, None], s.z.shape[-2:])[0] > 0 for one in at])
        g = method.prediction(s.z.float(), u.x0, step.level, self.schedule.prediction_type)
        return Seen(s.z, torch.where(own, s.g, g.to(s.g.dtype)), torch.where(own, s.x0, u.x0))

    def _count(self, groups: int, original: Tensor | None, own: Tensor | None, safe: list[int]) -> None:
        self.own_calls += own is not None
        for i in range(len(self.rows)):
            self.rows[i] += groups * ((original is not None) + (i in safe))

    def _followed(
        self, call: Call, original: Tensor | None, own: Tensor | None, carried: list[int], step: Step
    ) -> Tensor:
        """The originals' predictions (group, sample, ...), those of the carried ones from where they are expected."""
        if original is None and own is not None and not self.plan.steers_by_original:
            return own  # nobody looks at the original again, and all that is finite will do
        if original is not None and not (carried and self.plan.steers_by_original):
            return original
        x0 = self._originals.expected(step)
        z = self._layout.latents(call.latents(0), x0.shape[1]).float()
        g = self._layout.packed(method.prediction(z, x0, step.level, self.schedule.prediction_type))
        if original is None:
            return g.to(call.sample.dtype).expand(call.groups, *g.shape)
        at = self._on(g.device, carried)
        original[:, at] = g[at].to(original.dtype)
        return original

    def _seen(self, call: Call, z: Tensor, prediction: Tensor, step: Step) -> Seen:
        """A branch's latents (sample, ...) and prediction (group, sample, ...), guided as the pipeline does."""
        guidance, g = self.plan.guidance(), prediction[0]
        if len(prediction) > 1:
            g = method.guide(prediction[0], prediction[1], guidance.scale)
            if guidance.rescale > 0:
                g = rescale_noise_cfg(g, prediction[1], guidance_rescale=guidance.rescale)
        g = self._layout.spatial(g)
        z = self._layout.latents(z, g.shape[1])
        return Seen(z, g, method.clean_latents(z.float(), g.float(), step.level, self.schedule.prediction_type))

    def _look(self, call: Call, u: Seen, step: Step) -> None:
        """Keeps the early step's call, and shows what the samples are about to become at a later one."""
        if self.preview is None or self.preview.is_over:
            return
        self.trajectory[step.index, step.again] = u.x0
        if self.preview.done or step.again:
            return
        if self._kept is None or step.progress <= (EARLY if self._kept.step.index else NOT_FIRST):
            self._kept = Kept(call, u.z, step)
        elif self.preview.is_due(step.progress):
            self._show(u.x0)

    def _show(self, x0: Tensor) -> None:
        assert self.preview is not None and self._kept is not None
        self.preview.show(x0, self.early, from_noise=self._kept.step.index == 0)

    def _turned(self, e: Tensor) -> Tensor:
        """A prediction of the model's (N, C, h, w) as the scheduler is told it."""
        return e

    def _blended(self, u: Seen, s: Seen, safe: list[int], fresh: list[int], step: Step) -> Tensor:
        """The safe branches' predictions: held to the original by their weight, and outside their mask altogether."""
        weights = [self.plan.weights[i] for i in safe]
        weight = self._on(s.x0.device, weights, torch.float32).view(-1, 1, 1, 1)
        mask = self._mask.of(safe, fresh, s.x0, u.x0, step)
        if mask is not None:
            weight = weight * mask
        mixed = method.blend(s.g.float(), s.x0, u.x0, weight, step.level, self.schedule.prediction_type).to(s.g.dtype)
        # Where nothing may change and nothing has, rounding must not part the branches; NaN stays, to be refused.
        same = (weight == 0) & (s.z == u.z) & torch.isfinite(mixed)
        return self._layout.packed(torch.where(same, u.g, mixed))
