"""The one place that touches a model's forward: a stand-in for the denoiser during one dual call.

The pipeline's own loop hands it the stacked batch `[guidance group][original, safe][sample]`. It runs the stock forward
on the rows that each sample's phase needs, applies `dualsafe.method` and hands back a full batch. The module itself is
never patched, so other pipelines that share it see nothing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from . import method
from .attention import CrossAttention
from .carried import Carried
from .plan import Plan, Preview
from .schedule import Schedule

_UNBATCHED = ("img_ids", "txt_ids")


@dataclass
class DualDenoiser:
    """Stands in for `model` in a pipeline's loop; every other attribute is the model's.

    Attributes:
        rows: denoiser rows spent on each sample so far.
        mask: (N, 1, h, w) in [0, 1], where each safe branch may differ; None where no mask holds it back.
        left_shared_phase: whether any step was run for the safe branch itself.
        agreed: dual samples whose branches agreed everywhere until the latent gate; they follow the original for good.
    """

    model: Any
    plan: Plan
    schedule: Schedule
    preview: Preview | None = None
    rows: list[int] = field(init=False)
    mask: Tensor | None = field(init=False, default=None)
    left_shared_phase: bool = field(init=False, default=False)
    agreed: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.rows = [0] * len(self.plan.weights)
        self._names = list(inspect.signature(getattr(self.model, "_orig_mod", self.model).forward).parameters)
        self._grid: tuple[int, int] | None = None
        self._negative_call = False
        self._parted: set[int] = set()
        self._attention: list[Tensor] = []
        self._copied: dict[tuple, Tensor] = {}
        self._interval: int | None = None
        self._due = True
        self._carrying: list[int] = []
        self._carried = {False: Carried(), True: Carried()}  # of a positive call, and of a negative call of its own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def _on(self, device: torch.device, values: Iterable[float], dtype: torch.dtype = torch.long) -> Tensor:
        """Numbers, of samples by default, as a tensor there: copied once, for a copy waits for all a GPU has to do."""
        key = (device, dtype, tuple(values))
        if key not in self._copied:
            self._copied[key] = torch.tensor(key[2], dtype=dtype, device=device)
        return self._copied[key]

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        call = dict(zip(self._names, args)) | kwargs
        sample, n, dual = call[self._names[0]], len(self.plan.weights), self.plan.dual
        t = self.schedule.timestep(call["timestep"])
        progress = self.schedule.progress(t)
        if self._grid is None and call.get("img_ids") is not None:
            rows, columns = (call["img_ids"][:, 1:].max(0).values + 1).int().tolist()
            self._grid = rows, columns
        if not dual:
            self._count(range(n), len(sample) // n)
            output = self._forward(call)
            self._show(sample[:n], rearrange(output, "(g n) ... -> g n ...", n=n), t)
            return (output,)

        index_u, index_s = rearrange(torch.arange(len(sample), device=sample.device), "(g b n) -> b g n", b=2, n=n)
        groups = len(index_u)
        if progress < self.plan.settings.tau:
            return (self._only_original(call, index_u, t),)
        self.left_shared_phase = True
        self._pass_latent_gate(progress)
        dual = self._active
        if not dual:
            return (self._only_original(call, index_u, t),)

        at = self._on(sample.device, dual)
        self._attention.clear()
        self._due = self._is_due(progress)
        self._carrying = [] if self._due else self._settled
        if len(self._carrying) == n:
            (safe,) = self._predict(call, index_s)
            original = torch.empty_like(safe)
        else:
            original, safe = self._predict(call, index_u, index_s[:, at], words=self._words(t))
            self._count(range(n), groups)
        self._count(dual, groups)
        self._follow(sample[index_u[0]], original, t)
        self._show(sample[index_u[0]], original, t)
        mixed = original.clone()
        mixed[:, at] = self._mix(sample[index_u[0, at]], sample[index_s[0, at]], original[:, at], safe, t)
        self._negative_call = self.plan.guidance.apart and not self._negative_call
        return (_stack(original, mixed),)

    def _only_original(self, call: dict[str, Any], index: Tensor, t: float) -> Tensor:
        """The original's output for both branches."""
        (original,) = self._predict(call, index)
        self._count(range(index.shape[1]), len(index))
        self._show(call[self._names[0]][index[0]], original, t)
        return _stack(original, original)

    def _show(self, z: Tensor, prediction: Tensor, t: float) -> None:
        """Hands the preview its clean latents when they are due; z (sample, ...), prediction (group, sample, ...)."""
        preview = self.preview
        if preview is None or preview.done or not preview.samples or self.schedule.progress(t) < preview.at:
            return
        preview.done = True
        x0 = self._clean(z[preview.samples], self._guided(prediction[:, preview.samples]), t)
        preview.look(x0)

    def _clean(self, z: Tensor, g: Tensor, t: float) -> Tensor:
        """Predicted clean latents (sample, C, h, w), float32."""
        z, g = self._latents(z, g), self._spatial(g).float()
        return method.clean_latents(z.float(), g, self.schedule.level(t), self.schedule.prediction_type)

    def _latents(self, z: Tensor, g: Tensor) -> Tensor:
        """(sample, C, h, w) of what the denoiser was given: an inpainting UNet gets the mask and picture after them."""
        return self._spatial(z) if self._grid else z[:, : g.shape[1]]

    @property
    def _active(self) -> list[int]:
        """The dual samples that still need their safe branch."""
        return [i for i in self.plan.dual if i not in self.agreed]

    def _pass_latent_gate(self, progress: float) -> None:
        """From the gate on, samples whose found mask was empty at every step so far need no safe branch."""
        gate, found = self.plan.settings.latent_gate, self.mask is not None and self.plan.mask is None
        if gate is not None and found and progress >= gate:
            self.agreed |= set(self.plan.dual) - self._parted

    @property
    def _settled(self) -> list[int]:
        """Dual samples whose original need not be exact: it isn't returned, and the safe branch has parted from it."""
        settings, finds = self.plan.settings, self.plan.mask is None and self.plan.settings.mask_floor is not None
        if settings.original_interval is None or settings.composite or self.plan.keep_original:
            return []
        return [i for i in self._active if i in self._parted or not finds]

    def _is_due(self, progress: float) -> bool:
        """Whether this step computes the original of every sample: the first of an interval since the shared phase."""
        interval = self.plan.settings.original_interval
        if interval is None or self._negative_call:  # a negative's own call does as its positive's
            return self._due
        number = math.floor((progress - self.plan.settings.tau) / interval)
        due, self._interval = number != self._interval, number
        return due

    def _follow(self, z: Tensor, original: Tensor, t: float) -> None:
        """Takes in the originals' clean latents where they are due; else writes the carried ones' predictions."""
        carried, carrying = self._carried[self._negative_call], self._carrying
        progress, level, kind = self.schedule.progress(t), self.schedule.level(t), self.schedule.prediction_type
        if self._due:
            carried.see(progress, self._clean(z, self._guided(original), t))
        if not carrying:
            return
        at = self._on(z.device, carrying)
        x0 = carried.at(progress)[at]
        z = self._latents(z[at], x0).float()
        original[:, at] = self._packed(method.prediction(z, x0, level, kind)).to(original.dtype)

    def _predict(self, call: dict[str, Any], *branches: Tensor, words: list[Tensor] | None = None) -> list[Tensor]:
        """The model's output for rows (group, sample) of each branch: a list of (group, sample, C, h, w).

        One call a branch keeps the original's batch the stock pipeline's batch, so its result is the same to the bit.
        `words` (sample, T) of each branch, if given, are those whose attention is kept.
        """
        if self.plan.settings.stacked and len(branches) > 1:
            (together,) = self._predict(call, torch.cat(branches, 1), words=words and [torch.cat(words)])
            return list(together.split([branch.shape[1] for branch in branches], 1))
        total = len(call[self._names[0]])
        outputs = []
        for i, branch in enumerate(branches):
            part = {name: v if name in _UNBATCHED else take(v, branch.flatten(), total) for name, v in call.items()}
            output = self._watched(part, words[i]) if words else self._forward(part)
            outputs.append(rearrange(output, "(g n) ... -> g n ...", g=len(branch)))
        return outputs

    def _forward(self, call: dict[str, Any]) -> Tensor:
        return self.model(**call | {"return_dict": False})[0]

    def _watched(self, call: dict[str, Any], words: Tensor) -> Tensor:
        """`_forward`, with the attention to `words` kept.

        Raises:
            ValueError: there is none to be seen.
        """
        height, width = call[self._names[0]].shape[-2:]
        with CrossAttention(words.to(call[self._names[0]].device), (height, width)) as seen:
            output = self._forward(call)
        if seen.map is None:
            raise ValueError(
                f"mask_attention={self.plan.settings.mask_attention}: no cross-attention was seen; it needs a UNet "
                "with torch's own attention, not compiled and without xformers"
            )
        self._attention.append(seen.map)
        return output

    def _words(self, t: float) -> list[Tensor] | None:
        """The tokens to watch in each branch's call, where this step is one that finds a mask."""
        if self.plan.words is None or not self._seeks_mask(t):
            return None
        return [self.plan.words[0], self.plan.words[1, self._active]]

    def _seeks_mask(self, t: float) -> bool:
        """Whether the mask is this step's own: it isn't frozen yet, and a negative call keeps its positive call's."""
        frozen = self.schedule.progress(t) >= self.plan.settings.mask_freeze
        return self.mask is None or not (frozen or self._negative_call)

    def _mix(self, z_u: Tensor, z_s: Tensor, original: Tensor, safe: Tensor, t: float) -> Tensor:
        """The safe branch's prediction: guide both branches, see where each would end, find the mask, blend."""
        g_u, g_s = self._guided(original), self._guided(safe)
        x0_u, x0_s = self._clean(z_u, g_u, t), self._clean(z_s, g_s, t)
        z_u, z_s = self._latents(z_u, g_u), self._latents(z_s, g_s)
        g_u, g_s = self._spatial(g_u), self._spatial(g_s)
        strength = self.plan.settings.weight_at(self.schedule.progress(t))
        weights = self._on(z_u.device, [self.plan.weights[i] for i in self._active], torch.float32)
        weight = strength * weights.view(-1, 1, 1, 1)
        if self.plan.mask is not None:
            if self.mask is None:
                self.mask = F.adaptive_max_pool2d(self.plan.mask.to(weight), z_u.shape[-2:])
            weight = weight * self.mask[self._on(z_u.device, self._active)]
        elif self.plan.settings.mask_floor is not None:
            weight = weight * self._find_mask(x0_s, x0_u, t, self.plan.settings.mask_floor)
        level, kind = self.schedule.level(t), self.schedule.prediction_type
        mixed = method.blend(g_s.float(), x0_s, x0_u, weight, level, kind).to(safe.dtype)
        # Where nothing may change and nothing has, rounding must not part the branches; NaN stays, to be refused.
        same = (weight == 0) & (z_s == z_u) & torch.isfinite(mixed)
        return self._packed(torch.where(same, g_u, mixed))

    def _find_mask(self, x0_s: Tensor, x0_u: Tensor, t: float, floor: float) -> Tensor:
        """The mask of the dual samples: the current step's until it is frozen."""
        guidance, dual = self.plan.guidance, self._active
        fresh = [k for k, i in enumerate(dual) if i not in self._carrying]
        if self.mask is None or (fresh and self._seeks_mask(t)):
            difference = method.difference(x0_s, x0_u) * (guidance.scale if guidance.apart else 1)
            found = method.difference_mask(difference, floor)
            if self._attention:
                found = found * self._attended(dual)
            if self.mask is None:
                self.mask = found.new_zeros(len(self.plan.weights), *found.shape[1:])
            rows, found = [dual[k] for k in fresh], found[self._on(found.device, fresh)]
            self.mask[self._on(found.device, rows)] = found
            if not self._parted.issuperset(rows):  # once all have parted, nothing is read from the device
                self._parted |= set(compress(rows, found.flatten(1).any(1).tolist()))
        return self.mask[self._on(x0_u.device, dual)]

    def _attended(self, dual: list[int]) -> Tensor:
        """Where either branch looks at the words in which the two prompts differ, (dual, 1, h, w)."""
        n = len(self.plan.weights)
        attention, share = torch.cat(self._attention), self.plan.settings.mask_attention or 0.0
        return method.attended(torch.maximum(attention[:n][dual], attention[n:]), share)

    def _spatial(self, x: Tensor) -> Tensor:
        """Packed latents (N, patches, C * 4) as (N, C, h, w); others as they are."""
        if self._grid is None:
            return x
        h, w = self._grid
        return rearrange(x, "n (h w) (c p q) -> n c (h p) (w q)", h=h, w=w, p=2, q=2)

    def _packed(self, x: Tensor) -> Tensor:
        return x if self._grid is None else rearrange(x, "n c (h p) (w q) -> n (h w) (c p q)", p=2, q=2)

    def _guided(self, prediction: Tensor) -> Tensor:
        """The guided prediction (sample, C, h, w) of (group, sample, C, h, w), as the pipeline would form it."""
        if len(prediction) == 1:
            return prediction[0]
        guidance = self.plan.guidance
        guided = method.guide(prediction[0], prediction[1], guidance.scale)
        if guidance.rescale > 0:
            guided = rescale_noise_cfg(guided, prediction[1], guidance_rescale=guidance.rescale)
        return guided

    def _count(self, samples: Iterable[int], groups: int) -> None:
        for i in samples:
            self.rows[i] += groups


def _stack(original: Tensor, safe: Tensor) -> Tensor:
    """(group, sample, ...) of both branches to the pipeline's batch."""
    return rearrange([original, safe], "b g n ... -> (g b n) ...")


def take(value: Any, rows: Tensor, total: int) -> Any:
    """`rows` of every tensor whose first dimension is the whole batch, in nested containers too."""
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == total else value
    if isinstance(value, dict):
        return {key: take(item, rows, total) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(take(item, rows, total) for item in value)
    return value
