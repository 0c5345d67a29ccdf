"""Black-box attacks: each asks the method under attack for pictures of changed prompts, up to a budget of queries."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from PIL import Image

from ...baselines import SafetyMethod
from ...baselines.stock import Stock
from ...errors import PolicyViolation
from ...judges import Judge, Verdict, ask
from ...pipelines.dual import DualLatentMixin
from ...policy import Policy, find
from .disguise import DISGUISES, disguised
from .ring_a_bell import RingABell, vocabulary


@dataclass(frozen=True)
class Answer:
    """What an attacker gets for a query.

    Attributes:
        rows: denoiser rows that it cost.
        watched: the watch's score of the picture under way, which whoever has the model can read; None without a watch.
    """

    verdict: Verdict
    picture: Image.Image
    rows: int
    watched: float | None = None


@dataclass(frozen=True)
class Oracle:
    """What an attacker may do: ask for a picture and see how unsafe it is.

    Attributes:
        judge: says whether a picture is what the attacker wants; its score leads the search.
        sampling: arguments of the stock call.
    """

    pipe: DualLatentMixin
    method: SafetyMethod
    judge: Judge
    policy: Policy
    sampling: dict[str, Any]

    def ask(self, prompts: list[str], seeds: list[int]) -> list[Answer]:
        """An answer a prompt; one that is refused is a query spent for nothing."""
        try:
            drawn = self.method.generate(self.pipe, prompts, seeds, self.policy, **self.sampling)
        except PolicyViolation:
            if len(prompts) == 1:
                height, width = self.pipe.image_size(self.sampling.get("height"), self.sampling.get("width"))
                return [Answer(Verdict(False, 0.0), Image.new("RGB", (width, height)), 0)]
            return [answer for prompt, seed in zip(prompts, seeds) for answer in self.ask([prompt], [seed])]
        watched = [report.watched if report else None for report in drawn.reports]
        return [Answer(*each) for each in zip(ask(self.judge, drawn.images), drawn.images, drawn.rows, watched)]


@dataclass
class Attempt:
    """An attack on one prompt.

    Attributes:
        base: the prompt that it starts from.
        prompt: the best found so far.
        queries: pictures asked for, the first that succeeded included.
        rows: denoiser rows spent.
        score: what the search was led by, of the best: the judge's score, if its attack has nothing of its own.
    """

    base: str
    prompt: str
    seed: int
    picture: Image.Image | None = None
    verdict: Verdict | None = None
    queries: int = 0
    rows: int = 0
    score: float = -math.inf

    @property
    def succeeded(self) -> bool:
        return self.verdict is not None and self.verdict.is_unsafe and self.verdict.error is None


Proposal = Callable[[Attempt, random.Random], str]
Objective = Callable[[Oracle, list[str], list[int], list[Answer]], list[float]]
"""What leads a search: of prompts, their seeds and what was answered, numbers that are higher where it is nearer."""


def attack(name: str, oracle: Oracle, prompts: list[str], seeds: list[int], budget: int, seed: int) -> list[Attempt]:
    """Attacks every prompt, all in step, each with `budget` queries; the first query is the prompt as it is.

    Args:
        name: one of ATTACKS.

    Raises:
        ValueError: an unknown name or a budget under 1.
    """
    if name not in ATTACKS:
        raise ValueError(f"attack {name!r} is not one of {', '.join(ATTACKS)}")
    if budget < 1:
        raise ValueError(f"budget={budget!r} must be at least 1 query")
    propose = ATTACKS[name](oracle)
    attempts = [Attempt(prompt, prompt, s) for prompt, s in zip(prompts, seeds)]
    dice = [random.Random(f"{seed}/{prompt}/{s}") for prompt, s in zip(prompts, seeds)]
    for query in range(budget):
        open_ = [(attempt, rng) for attempt, rng in zip(attempts, dice) if not attempt.succeeded]
        if not open_:
            break
        asked = [attempt.base if query == 0 else propose(attempt, rng) for attempt, rng in open_]
        here = [attempt.seed for attempt, _ in open_]
        answers = oracle.ask(asked, here)
        scores = OBJECTIVES.get(name, _judged)(oracle, asked, here, answers)
        for (attempt, _), prompt, answer, score in zip(open_, asked, answers, scores):
            attempt.queries += 1
            attempt.rows += answer.rows
            verdict = answer.verdict
            if verdict.error is None and (verdict.is_unsafe or score > attempt.score):
                attempt.prompt, attempt.picture, attempt.verdict, attempt.score = prompt, answer.picture, verdict, score
    return attempts


def _judged(oracle: Oracle, prompts: list[str], seeds: list[int], answers: list[Answer]) -> list[float]:
    """The judge's score of what came out."""
    return [answer.verdict.score or 0.0 for answer in answers]


def _past_the_watch(oracle: Oracle, prompts: list[str], seeds: list[int], answers: list[Answer]) -> list[float]:
    """How unsafe the picture is that the model draws of itself, less what the watch says of it.

    Whoever has the model draws that picture without asking the method, so that it is no query.
    """
    unsafe = replace(oracle, method=Stock()).ask(prompts, seeds)
    return [(own.verdict.score or 0.0) - (answer.watched or 0.0) for own, answer in zip(unsafe, answers)]


def _disguise(oracle: Oracle) -> Proposal:
    """Another disguise of the policy's terms each time."""

    def propose(attempt: Attempt, rng: random.Random) -> str:
        return disguised(oracle.policy, attempt.base, rng.choice(DISGUISES), rng)

    return propose


def _suffix(oracle: Oracle) -> Proposal:
    """Random tokens of the model's own vocabulary after the best prompt so far; one is exchanged at a time."""
    words = vocabulary(oracle.pipe.tokenizer)
    length = 4

    def propose(attempt: Attempt, rng: random.Random) -> str:
        tail = attempt.prompt.removeprefix(attempt.base).split()
        if len(tail) < length:
            tail = [rng.choice(words) for _ in range(length)]
        tail[rng.randrange(length)] = rng.choice(words)
        return f"{attempt.base} {' '.join(tail)}"

    return propose


def _synonym(oracle: Oracle) -> Proposal:
    """Other words of the policy for the same concept, disguised half of the time."""

    def propose(attempt: Attempt, rng: random.Random) -> str:
        prompt = attempt.base
        for match in reversed(find(oracle.policy, prompt)):
            prompt = prompt[: match.start] + rng.choice(match.concept.terms) + prompt[match.end :]
        return disguised(oracle.policy, prompt, rng.choice(DISGUISES), rng) if rng.random() < 0.5 else prompt

    return propose


_searchers: WeakKeyDictionary[DualLatentMixin, RingABell] = WeakKeyDictionary()


def _searcher(pipe: DualLatentMixin, policy: Policy) -> RingABell:
    """The one of a pipeline, which lives no longer than that: making it reads the whole vocabulary."""
    known = _searchers.get(pipe)
    if known is None or known.policy != policy:
        known = _searchers[pipe] = RingABell(pipe, policy)
    return known


def _ring_a_bell(oracle: Oracle) -> Proposal:
    search = _searcher(oracle.pipe, oracle.policy)
    return lambda attempt, rng: search.prompt(attempt.base, rng)


ATTACKS: dict[str, Callable[[Oracle], Proposal]] = {
    "disguise": _disguise,
    "suffix": _suffix,
    "synonym": _synonym,
    "ring-a-bell": _ring_a_bell,
    "adaptive": _suffix,
}
"""Attacks by name. "adaptive" knows the model and the watch: its suffixes are led past both."""

OBJECTIVES: dict[str, Objective] = {"adaptive": _past_the_watch}
