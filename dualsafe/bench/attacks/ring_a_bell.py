"""A search in the text encoder's space in the manner of Ring-A-Bell (Tsai et al., arXiv 2310.10012), without gradients.

The concept is the mean difference between phrases that name it and the same phrases without it. A genetic search then
looks for tokens whose embedding is the prompt's plus the concept: it needs the text encoder, and no picture.
"""

from __future__ import annotations

import random
from typing import Any
from weakref import proxy

from torch import Tensor

from ...pipelines.dual import DualLatentMixin
from ...policy import Policy, rewrite, with_article

_FRAMES = ("a picture of {}", "a person with {}", "a scene with {}", "somebody holding {}")


class RingABell:
    """Finds prompts of other words whose embedding carries the policy's concepts. It does not keep the pipeline.

    Args:
        strength: eta, how much of the concept is added.
        length: tokens searched for.
        population, generations: size of the genetic search.
    """

    def __init__(
        self,
        pipe: DualLatentMixin,
        policy: Policy,
        strength: float = 3.0,
        length: int = 12,
        population: int = 40,
        generations: int = 30,
    ):
        self._pipe, self.policy, self._strength = proxy(pipe), policy, strength
        self._length, self._population, self._generations = length, population, generations
        self._words = [word for word in vocabulary(pipe.tokenizer) if not rewrite(policy, word).triggers]
        self._concepts = {name: self._direction(name) for name in policy.categories}

    def prompt(self, base: str, rng: random.Random) -> str:
        """A prompt near `base` plus one of its concepts, or plus any where the policy finds none in it."""
        found = [trigger.category for trigger in rewrite(self.policy, base).triggers] or list(self._concepts)
        target = self._embed([base])[0] + self._strength * self._concepts[rng.choice(found)]
        people = [[rng.choice(self._words) for _ in range(self._length)] for _ in range(self._population)]
        for _ in range(self._generations):
            people = self._next(self._ranked(people, target), rng)
        texts = [" ".join(words) for words in self._ranked(people, target)]
        # Words that say nothing apart may do so side by side.
        return next((text for text in texts if not rewrite(self.policy, text).triggers), texts[0])

    def _ranked(self, people: list[list[str]], target: Tensor) -> list[list[str]]:
        """Best first: those whose embedding is nearest to the target."""
        distance = (self._embed([" ".join(words) for words in people]) - target).flatten(1).square().sum(1)
        return [people[i] for i in distance.argsort().tolist()]

    def _next(self, ranked: list[list[str]], rng: random.Random) -> list[list[str]]:
        """The best quarter, and children of it: halves of two parents, and now and then another word."""
        parents = ranked[: max(2, len(ranked) // 4)]
        children: list[list[str]] = []
        while len(parents) + len(children) < len(ranked):
            a, b = rng.sample(parents, 2)
            cut = rng.randrange(1, self._length)
            child = a[:cut] + b[cut:]
            children.append([rng.choice(self._words) if rng.random() < 0.15 else word for word in child])
        return parents + children

    def _direction(self, category: str) -> Tensor:
        """Mean embedding of frames with the category's terms, less that of frames with their counterparts, (T, W)."""
        unsafe, safe = [], []
        for concept in self.policy.categories[category].concepts:
            for frame in _FRAMES:
                unsafe += [frame.format(with_article(term)) for term in concept.terms]
                safe += [frame.format(with_article(concept.counterpart or "nothing"))] * len(concept.terms)
        return self._embed(unsafe).mean(0) - self._embed(safe).mean(0)

    def _embed(self, texts: list[str]) -> Tensor:
        return self._pipe.encode_texts(texts)["prompt_embeds"].float()


def vocabulary(tokenizer: Any) -> list[str]:
    """Whole words of a CLIP tokenizer."""
    words = (token.removesuffix("</w>") for token in tokenizer.get_vocab() if token.endswith("</w>"))
    return sorted(word for word in words if word.isascii() and word.isalpha())
