"""The model's calls: which rows of the pipeline's batch each branch needs, and the stock forward on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from .partial import Partial

_POSITIONAL = ("sample", "timestep", "encoder_hidden_states")
_UNBATCHED = ("img_ids", "txt_ids", "ip_adapter_masks")
_TEXTS = {
    "prompt_embeds": ("encoder_hidden_states",),
    "pooled_prompt_embeds": ("text_embeds", "pooled_projections"),
    "prompt_attention_mask": ("encoder_attention_mask", "attention_mask"),
}
"""What denoisers call the embeddings of a prompt, as arguments or in `added_cond_kwargs`."""
_MASK = "prompt_attention_mask"
"""Some denoisers are not given it, others have the picture's tokens after the prompt's in it."""
_STATEFUL = ("DeepCache", "cache_dit", "para_attn")
_SEPARABLE = ("FirstBlockCacheConfig", "TaylorSeerCacheConfig")
"""Caches of diffusers that keep a state for each `cache_context`, and count nothing but that context's own calls."""


class OnDevice:
    """Numbers as a tensor on a device: copied once, for a copy waits for all that a GPU has to do."""

    def __init__(self) -> None:
        self._copied: dict[tuple, Tensor] = {}

    def __call__(self, device: torch.device, values: Iterable[float], dtype: torch.dtype = torch.long) -> Tensor:
        key = (device, dtype, tuple(values))
        if key not in self._copied:
            self._copied[key] = torch.tensor(key[2], dtype=dtype, device=device)
        return self._copied[key]


class Call:
    """One denoiser call of the stock loop, on its batch `[guidance group][original, safe][sample]`.

    Attributes:
        sample: the latents, (batch, ...).
        timestep: as the loop tells it.
        groups: how many guidance groups the batch has.
    """

    def __init__(self, args: tuple, kwargs: dict[str, Any], samples: int, branches: int = 2):
        self.args, self.kwargs = args, kwargs
        self.sample: Tensor = args[0] if args else next(kwargs[k] for k in ("sample", "hidden_states") if k in kwargs)
        self.timestep: Tensor | float = args[1] if len(args) > 1 else kwargs["timestep"]
        self.groups, rest = divmod(len(self.sample), branches * samples)
        if rest or not self.groups:
            raise ValueError(
                f"the denoiser was given {len(self.sample)} latents, not whole batches of {samples} samples in "
                f"{branches} branches: a callback may change latents, but not how many there are"
            )
        self._samples, self._branches = samples, branches

    def latents(self, branch: int) -> Tensor:
        """What the denoiser is given of the original (0) or safe (1) branch, (sample, ...): the same in every group."""
        n = self._samples
        return self.sample[branch * n : (branch + 1) * n]

    def rows(self, parts: dict[int, Tensor]) -> Tensor:
        """The rows of the batch that hold some samples of each branch, by guidance group."""
        every = torch.arange(len(self.sample), device=self.sample.device).view(self.groups, self._branches, -1)
        return torch.cat([every[:, branch, samples] for branch, samples in parts.items()], 1).flatten()

    def taking(self, rows: Tensor) -> tuple[tuple, dict[str, Any]]:
        """The loop's arguments, positional as it gave them, cut to rows of the batch.

        Raises:
            ValueError: a tensor that is neither of the whole batch nor known to be shared by it.
        """
        total = len(self.sample)
        names = (*_POSITIONAL, *("positional argument",) * len(self.args))
        args = tuple(take(name, value, rows, total) for name, value in zip(names, self.args))
        return args, {name: take(name, value, rows, total) for name, value in self.kwargs.items()}


class Branches:
    """Runs the model on a branch's rows.

    One call a branch keeps the original's batch the stock pipeline's batch, so its result is the same to the bit.

    Args:
        samples: N, the samples of the batch.
        stacked: whether both branches share one call all the same.
        partial: runs safe branches in part, where it is asked to.
    """

    def __init__(self, model: Any, samples: int, stacked: bool, partial: Partial | None, on: OnDevice):
        self._model, self._samples, self._stacked, self._on = model, samples, stacked, on
        self._partial = partial

    def run(
        self, call: Call, carried: list[int], safe: list[int], again: bool, in_part: Mapping[int, Tensor]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Predictions (group, sample, ...) of all originals, if any is wanted, and of the safe branches of `safe`.

        Args:
            carried: samples whose original is not to be computed for their own sake.
            again: whether this is the second call of a step, a negative's own.
            in_part: samples of `safe` that are computed in part, and where.
        """
        everyone = list(range(self._samples)) if len(carried) < self._samples else []
        if self._stacked and everyone and safe:
            both = self._predict(call, {0: everyone, 1: safe}, again).split([len(everyone), len(safe)], 1)
            return both[0], both[1]
        original = self._predict(call, {0: everyone}, again, stale=carried) if everyone else None
        if not safe:
            return original, None
        return original, self._in_part(call, safe, again, in_part) if in_part else self._predict(call, {1: safe}, again)

    def _in_part(self, call: Call, safe: list[int], again: bool, in_part: Mapping[int, Tensor]) -> Tensor:
        """Predictions (group, sample, ...) of safe branches, some of them computed in part, in a call of their own."""
        whole, part = [i for i in safe if i not in in_part], [i for i in safe if i in in_part]
        places = torch.stack([in_part[i] for i in part]).to(call.sample.device)
        found = dict(zip(part, self._predict(call, {1: part}, again, places).unbind(1)))
        if whole:
            found |= dict(zip(whole, self._predict(call, {1: whole}, again).unbind(1)))
        return torch.stack([found[i] for i in safe], 1)

    def _predict(
        self,
        call: Call,
        parts: dict[int, list[int]],
        again: bool,
        places: Tensor | None = None,
        stale: Sequence[int] = (),
    ) -> Tensor:
        """The prediction (group, sample, ...) of one model call for some samples of each of its branches."""
        at = {branch: self._on(call.sample.device, samples) for branch, samples in parts.items()}
        args, kwargs = call.taking(call.rows(at))
        with self._remembering(f"{parts}{' again' * again}"):
            output = self._called(call, args, kwargs, parts, places, stale)
        return rearrange(output, "(g n) ... -> g n ...", g=call.groups)

    def _called(
        self,
        call: Call,
        args: tuple,
        kwargs: dict[str, Any],
        parts: dict[int, list[int]],
        places: Tensor | None,
        stale: Sequence[int],
    ) -> Tensor:
        if self._partial is None:
            return self._model(*args, **kwargs)[0]
        if 0 in parts:
            return self._partial.keep(args, kwargs, self._rows(call, stale))[0]
        rows = self._rows(call, parts[1])
        if places is None:
            return self._partial.whole(args, kwargs, rows, parts[1])[0]
        return self._partial.run(args, kwargs, rows, places.repeat(call.groups, 1, 1))

    def _rows(self, call: Call, samples: Sequence[int]) -> Tensor:
        """Where samples are in the originals' own batch, by guidance group."""
        every = [group * self._samples + i for group in range(call.groups) for i in samples]
        return self._on(call.sample.device, every)

    def under(self, call: Call, samples: list[int], embeds: dict[str, Tensor]) -> Tensor:
        """Predictions (sample, text, ...) of the originals of `samples` under other texts, none in a larger batch than
        the loop's.

        Args:
            embeds: of the texts, (texts, ...), by the stock call's argument name.
        """
        texts, size = len(next(iter(embeds.values()))), len(call.sample)
        at = self._on(call.sample.device, samples)
        with_prompt = call.rows({0: at})[-len(samples) :]
        rows, told = with_prompt.repeat_interleave(texts), torch.arange(texts).repeat(len(samples)).to(at)
        found: list[Tensor] = []
        for part, which in zip(rows.split(size), told.split(size)):
            args, kwargs = call.taking(part)
            tell(kwargs, torch.arange(len(part), device=at.device), {n: v[which] for n, v in embeds.items()})
            with self._remembering(f"watch {samples} {len(found)}"):
                found.append(self._model(*args, **kwargs)[0])
        return rearrange(torch.cat(found), "(n k) ... -> n k ...", k=texts)

    def _remembering(self, name: str) -> AbstractContextManager:
        """A cache of their own for each branch and each choice of samples, where diffusers' caching is on."""
        return self._model.cache_context(name) if getattr(self._model, "is_cache_enabled", False) else nullcontext()


def tell(kwargs: dict[str, Any], rows: Tensor, embeds: dict[str, Tensor]) -> None:
    """Writes embeddings (rows, ...) into rows of a call's own copies of the prompt's.

    Raises:
        RuntimeError: an embedding that the call has no place for, or of another length than the call's.
    """
    for name, value in embeds.items():
        held = [
            (holder, kind)
            for holder in (kwargs, kwargs.get("added_cond_kwargs") or {})
            for kind in _TEXTS.get(name, ())
            if holder.get(kind) is not None
        ]
        if not held and name != _MASK:
            raise RuntimeError(f"the denoiser takes no {name}")
        for holder, kind in held:
            holder[kind] = holder[kind].clone()
            told = holder[kind][:, : value.shape[1]] if name == _MASK else holder[kind]
            told[rows] = value.to(told)


def check_stateless(model: Any, sparse: bool = False) -> None:
    """
    Args:
        sparse: whether safe branches are computed in part.

    Raises:
        ValueError: the model keeps something from call to call that two branches cannot keep apart.
    """
    patched = getattr(model.forward, "__module__", "").split(".")[0]
    if patched in _STATEFUL or getattr(model, "_is_cached", False):
        raise ValueError(
            f"the denoiser is patched by {patched if patched in _STATEFUL else 'a caching library'}, which keeps one "
            "state for all calls, so that the branches would mix: take the patch off, or set safety_level=0"
        )
    hooks = [hook for module in model.modules() for hook in _hooks(module) if hook._is_stateful]
    if hooks and sparse:
        raise ValueError("the denoiser caches from call to call, which sparse=True does too: set sparse=False")
    config = getattr(model, "_cache_config", None)
    if hooks and type(config).__name__ not in _SEPARABLE:
        raise ValueError(
            f"the denoiser caches by {type(config).__name__ if config else type(hooks[0]).__name__}, which cannot keep "
            f"two branches apart: use one of {', '.join(_SEPARABLE)}, disable_cache(), or safety_level=0"
        )


def _hooks(module: Any) -> list:
    registry = getattr(module, "_diffusers_hook", None)
    return [] if registry is None else list(registry.hooks.values())


def stack(original: Tensor, safe: Tensor) -> Tensor:
    """(group, sample, ...) of both branches to the pipeline's batch."""
    return rearrange([original, safe], "b g n ... -> (g b n) ...")


def take(name: str, value: Any, rows: Tensor, total: int) -> Any:
    """`rows` of every tensor whose first dimension is the whole batch, in nested containers too.

    Args:
        name: of the argument, which says what is shared by the batch.

    Raises:
        ValueError: a tensor that is neither of the whole batch nor known to be shared by it.
    """
    if isinstance(value, Tensor):
        if value.ndim == 0 or name in _UNBATCHED or (name == "timestep" and value.numel() == 1):
            return value
        if len(value) == total:
            return value[rows]
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, which does not fit the {total} rows of both branches: a "
            "callback or an argument left rows out, or added some, and whose they are cannot be told"
        )
    if isinstance(value, dict):
        return {key: take(key, item, rows, total) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(take(name, item, rows, total) for item in value)
    return value
