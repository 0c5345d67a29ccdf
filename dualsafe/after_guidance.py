"""The loop body of families whose guidance is not linear: what is blended is each branch's guided prediction.

Where guidance rescales its result (Qwen-Image, Lumina 2), blending in every guidance group is not blending what is
guided. So the loop gets both branches' own predictions back, and guides, rescales and turns them as it does; where it
hands the result to the scheduler's step, `dualsafe.method` is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, NamedTuple

from torch import Tensor

from . import method
from .branches import Call, stack
from .denoiser import DualDenoiser, Seen
from .mask import Mask
from .noise_level import Step
from .plan import Guidance


class _Now(NamedTuple):
    """What is done at a step, in all of its calls: the samples with a safe branch, and those without an original."""

    step: Step
    safe: list[int]
    carried: list[int]


@dataclass
class AfterGuidance(DualDenoiser):
    """A `DualDenoiser` that blends in `stepping`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._mask = Mask(replace(self.plan, guidance=lambda: Guidance(1.0)), self._on)  # it sees what is guided
        self._now: _Now | None = None
        self._said: tuple[Call, Tensor] | None = None
        self._kept_as: tuple[Tensor, Tensor] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        self._layout.read(kwargs.get("img_ids"), kwargs.get("img_shapes"))
        if not self.plan.dual:
            return self._stock(args, kwargs)
        call = Call(args, kwargs, len(self.rows))
        step = self.schedule.at(call.timestep)
        if self._now is None or not step.again:
            safe = self._with_safe_branch(step)
            self._now = _Now(step, safe, self._originals.carried(step, safe, self._mask.parted))
        _, safe, carried = self._now
        original, own = self._branches.run(call, carried, safe, step.again, {})
        self._count(call.groups, original, own, safe)
        if original is None:  # no original is looked at, and all that is finite will do
            assert own is not None
            return (stack(own, own),)
        if not step.again:
            self._said = call, original[-1]
        if own is None:
            return (stack(original, original),)
        both = original.clone()
        both[:, self._on(original.device, safe)] = own
        return (stack(original, both),)

    def stepping(self, step: Callable) -> Callable:
        """The scheduler's `step`, told the blend of what the loop hands to it."""

        @wraps(step)
        def blended(model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
            return step(self._guided(model_output, timestep, sample), timestep, sample, *args, **kwargs)

        return blended

    def _stock(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, ...]:
        output, n = self.model(*args, **kwargs), len(self.rows)
        self.rows = [rows + len(output[0]) // n for rows in self.rows]
        if self.preview is not None and not self.preview.done:
            call = Call(args, kwargs, n, branches=1)
            step = self.schedule.at(call.timestep)
            if not step.again:
                self._now, self._said = _Now(step, [], []), (call, output[0][-n:])
        return output

    def _look_guided(self, u: Seen, step: Step) -> None:
        """The look, with the call that `u` came of."""
        if self._said is None or self.preview is None or self.preview.done:
            return
        (call, e_p), kept = self._said, self._kept
        self._look(call, u, step)
        if self._kept is not kept:
            self._kept_as = e_p, u.g

    def _turned(self, e: Tensor) -> Tensor:
        """Some families turn the sign of a prediction: so does this, if the kept step's was turned."""
        assert self._kept_as is not None
        e_p, g = self._kept_as
        return e * (self._layout.spatial(e_p) * g).sum().sign()

    def _guided(self, g: Tensor, timestep: Any, z: Tensor) -> Tensor:
        """The batch of guided predictions [original, safe][sample] to step by, at latents z of the same form."""
        n = len(self.rows)
        if not self.plan.dual:
            if self._now is not None:
                self._look_guided(self._at(z, g, self._now.step), self._now.step)
            return g
        assert self._now is not None
        step, safe, carried = self._now
        u = self._at(z[:n], self._carried_on(g[:n], z[:n], carried, step), step)
        self._look_guided(u, step)
        if not safe:
            return g
        self._originals.see(step, u.x0)
        at = self._on(g.device, safe)
        s = self._at(z[n:][at], g[n:][at], step)
        fresh = [i for i in safe if i not in carried]
        followed = g.clone()
        followed[:n] = self._layout.packed(u.g)
        followed[n + at] = self._blended(Seen(*(of[at] for of in u)), s, safe, fresh, step).to(g.dtype)
        return followed

    def _carried_on(self, g: Tensor, z: Tensor, carried: list[int], step: Step) -> Tensor:
        """The originals' predictions, those of the carried ones from where they are expected."""
        if not carried or not self.plan.steers_by_original:
            return g
        x0 = self._originals.expected(step)
        expected = method.prediction(self._layout.spatial(z).float(), x0, step.level, self.schedule.prediction_type)
        at = self._on(g.device, carried)
        g = g.clone()
        g[at] = self._layout.packed(expected)[at].to(g.dtype)
        return g

    def _at(self, z: Tensor, g: Tensor, step: Step) -> Seen:
        z, g = self._layout.spatial(z), self._layout.spatial(g)
        return Seen(z, g, method.clean_latents(z.float(), g.float(), step.level, self.schedule.prediction_type))
