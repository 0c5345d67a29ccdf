"""Which tokens of two prompts tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

import torch
from torch import Tensor


def differing_tokens(
    prompts: Sequence[str], others: Sequence[str | None], count: Callable[[str], int], length: int
) -> Tensor:
    """(2, N, length) bool: tokens of the words that only the prompt has, and of those that only the other one has.

    Args:
        others: what each prompt is compared with; None marks nothing.
        count: text -> its tokens, with those of start and end.
        length: tokens that the text encoder takes.
    """
    marked = torch.zeros(2, len(prompts), length, dtype=torch.bool)
    for i, (prompt, other) in enumerate(zip(prompts, others)):
        if other is None:
            continue
        sides = prompt.split(), other.split()
        for kind, *places in SequenceMatcher(None, *sides, autojunk=False).get_opcodes():
            if kind != "equal":
                for branch, words in enumerate(sides):
                    start, end = (count(" ".join(words[:at])) - 1 for at in places[2 * branch : 2 * branch + 2])
                    marked[branch, i, start:end] = True
    return marked
