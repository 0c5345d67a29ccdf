"""Disguises of the words that a policy names: a reader still reads them, a list of words may not."""

from __future__ import annotations

import random

from ...picto.prompts import OBFUSCATIONS
from ...policy import Policy, find

DISGUISES: tuple[str, ...] = tuple(OBFUSCATIONS)
"""Spacing, leetspeak, look-alike letters, typos."""


def disguised(policy: Policy, prompt: str, kind: str, rng: random.Random) -> str:
    """The prompt with every term of the policy in it disguised; as it is where there is none.

    Args:
        kind: one of DISGUISES.
    """
    for match in reversed(find(policy, prompt)):
        word = prompt[match.start : match.end]
        if len(word) > 2:
            prompt = prompt[: match.start] + OBFUSCATIONS[kind](word, rng) + prompt[match.end :]
    return prompt
