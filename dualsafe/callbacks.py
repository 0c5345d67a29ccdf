"""diffusers' own callbacks in a dual call."""

from __future__ import annotations

from typing import Any

from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from einops import rearrange
from torch import Tensor


class PerBranch(MultiPipelineCallbacks):
    """Calls a callback once for each branch, with the tensors that a stock call would show it.

    So what it does to a stock batch ("keep the last row") it does to the original's and to the safe branch's.

    Args:
        callback: one of diffusers' own. It may change the pipeline, as long as doing so twice is doing so once.
        samples: N, the samples of each branch.
    """

    def __init__(self, callback: PipelineCallback | MultiPipelineCallbacks, samples: int):
        super().__init__([callback])
        self._samples = samples

    def __call__(self, pipeline: Any, step_index: int, timestep: Any, callback_kwargs: dict[str, Any]) -> dict:
        shown = [{name: self._half(value, branch) for name, value in callback_kwargs.items()} for branch in (0, 1)]
        original, safe = (super(PerBranch, self).__call__(pipeline, step_index, timestep, each) for each in shown)
        return {name: self._whole(name, value, safe[name]) for name, value in original.items()}

    def _half(self, value: Any, branch: int) -> Any:
        """A branch's part (group, sample) of the batch [guidance group][original, safe][sample]."""
        if not isinstance(value, Tensor):
            return value
        return rearrange(value, "(g b n) ... -> b (g n) ...", b=2, n=self._samples)[branch]

    def _whole(self, name: str, original: Any, safe: Any) -> Any:
        """
        Raises:
            ValueError: rows that are not whole guidance groups.
        """
        if not isinstance(original, Tensor):
            return original
        if len(original) % self._samples:
            raise ValueError(
                f"the callback left {len(original)} rows of {name} for {self._samples} pictures: draw one at a time"
            )
        return rearrange([original, safe], "b (g n) ... -> (g b n) ...", n=self._samples)


def for_both_branches(callback: Any, samples: int) -> Any:
    """A `callback_on_step_end` for the stacked batch: diffusers' own are shown a branch at a time, others all of it."""
    own = isinstance(callback, (PipelineCallback, MultiPipelineCallbacks))
    return PerBranch(callback, samples) if own else callback
