"""Which prompts get a safe branch, at which level, and its text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from ..errors import PolicyViolation
from ..policy import Policy, Rewrite, refuse_sexualised_minors, rewrite
from .rewriter import Rewriter, rewritten_by

Gate = Literal["level", "given", "prompt", "latent", "watch", "preview", "verify"]


@dataclass(frozen=True)
class Decision:
    """What happens to one prompt.

    Attributes:
        kind: "off" (level 0), "benign" (nothing to change) or "dual".
        gate: what decided; see `SafetyReport`.
        level: safety level in [0, 1]: the dial's, or the largest that the found categories set.
        safe_texts: texts of the safe branch, if it comes as text: the name of the prompt's argument ("prompt", and
            "prompt_2", "prompt_3" where they were given) -> text.
        triggers: unsafe terms as the prompt writes them.
        categories: the policy categories they belong to, in the order found.
        ends: where each of them ends: the prompt's argument, the term, and the place in characters.
    """

    kind: Literal["off", "benign", "dual"]
    level: float
    gate: Gate = "prompt"
    safe_texts: dict[str, str] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    ends: tuple[tuple[str, str, int], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether only the picture can tell: no word says that it is unsafe."""
        return self.kind == "benign"

    @property
    def safe_prompt(self) -> str | None:
        """Text of the safe branch, if it comes as text."""
        return self.safe_texts.get("prompt")


def decide(
    texts: dict[str, list[str]],
    levels: list[float],
    safe_prompts: list[str | None] | None,
    embeds_given: bool,
    policy: Policy,
    rewriter: Rewriter | None = None,
    timeout: float = 10.0,
    tokens: Collection[str] = (),
) -> list[Decision]:
    """One decision a prompt: what the caller gives goes first, then a rewriter's text, then the policy's.

    Args:
        texts: argument name -> one text a prompt; empty where the caller gave embeddings without `policy_text`.
        levels: one a prompt.
        safe_prompts: the caller's safe texts, one a prompt, if any; None among them leaves that prompt to the policy.
        embeds_given: whether the caller gave the safe branch's embeddings.
        rewriter: the caller's; asked for the prompts in which the policy finds something, if their level is not 0.
        timeout: seconds for each prompt.
        tokens: words that the text encoder has learned beside its own, which stay whole.

    Raises:
        ValueError: embeddings alone, with nothing that says what is safe.
        PolicyViolation: a prompt asks for what is never generated.
    """
    given = embeds_given or (safe_prompts is not None and None not in safe_prompts)
    if not texts and not given and any(levels):
        raise ValueError(
            "prompt_embeds carry no text that a policy could read: give policy_text, safe_prompt or "
            "safe_prompt_embeds, or safety_level=0"
        )
    decisions = []
    for i, level in enumerate(levels):
        safe_prompt = safe_prompts[i] if safe_prompts is not None else None
        given_here = embeds_given or safe_prompt is not None
        places = {name: f"{name}[{i}]" if len(levels) > 1 else name for name in texts}
        _refuse({**{places[name]: each[i] for name, each in texts.items()}, **_given(safe_prompt, i, len(levels))})
        found = {name: _read(each[i], policy, tokens, places[name]) for name, each in texts.items()}
        triggers = [trigger for rewritten in found.values() for trigger in rewritten.triggers]
        categories = tuple(dict.fromkeys(trigger.category for trigger in triggers))
        level = _level(level, categories, policy)
        safe_texts = {name: found[name].text for name in texts}
        if safe_prompt is None and rewriter is not None and triggers and level > 0:
            safe_prompt = _reworded(rewriter, texts["prompt"][i], timeout, policy, tokens)
        if safe_prompt is not None:
            safe_texts = {"prompt": safe_prompt}
        asked = given_here or bool(triggers)
        decisions.append(
            Decision(
                kind="off" if level == 0 else "dual" if asked else "benign",
                level=level,
                gate="level" if level == 0 else "given" if given_here else "prompt",
                safe_texts=safe_texts if asked and not embeds_given else {},
                triggers=tuple(dict.fromkeys(trigger.text for trigger in triggers)),
                categories=categories,
                ends=tuple((name, t.text, t.end) for name, each in found.items() for t in each.triggers),
            )
        )
    return decisions


def _reworded(rewriter: Rewriter, prompt: str, timeout: float, policy: Policy, tokens: Collection[str]) -> str | None:
    """The rewriter's text, without what the policy still finds in it."""
    text = rewritten_by(rewriter, prompt, timeout)
    if text is None:
        return None
    _refuse({"the rewriter's text": text})
    return _read(text, policy, tokens, "the rewriter's text").text


def _given(safe_prompt: str | None, i: int, count: int) -> dict[str, str]:
    """The caller's safe text by what an error calls it."""
    return {} if safe_prompt is None else {f"safe_prompt[{i}]" if count > 1 else "safe_prompt": safe_prompt}


def _refuse(texts: dict[str, str]) -> None:
    """The rule about minors on every text that reaches a branch, and on all of a sample's together.

    Raises:
        PolicyViolation: names the text, or those that say it only together.
    """
    together = {" and ".join(texts): "\n".join(texts.values())} if len(texts) > 1 else {}
    for place, text in (texts | together).items():
        try:
            refuse_sexualised_minors(text)
        except PolicyViolation as refusal:
            raise PolicyViolation(f"{place}: {refusal}") from None


def _read(prompt: str, policy: Policy, tokens: Collection[str], place: str) -> Rewrite:
    """What the policy finds in a text.

    Args:
        place: what an error calls the text.
    """
    try:
        found = rewrite(policy, prompt, tokens)
        for trigger in found.triggers:
            if policy.categories[trigger.category].block:
                raise PolicyViolation(
                    f"policy {policy.id!r} blocks {trigger.category!r}, which {trigger.text!r} asks for"
                )
    except PolicyViolation as refusal:
        raise PolicyViolation(f"{place}: {refusal}") from None
    return found


def _level(dial: float, categories: tuple[str, ...], policy: Policy) -> float:
    own = [level for name in categories if (level := policy.categories[name].level) is not None]
    return max(own) if own else dial
