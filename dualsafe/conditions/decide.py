"""Which prompts get a safe branch, at which level, and its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import PolicyViolation
from ..policy import Policy, Rewrite, refuse_sexualised_minors, rewrite


@dataclass(frozen=True)
class Decision:
    """What happens to one prompt.

    Attributes:
        kind: "off" (level 0), "benign" (nothing to change) or "dual".
        level: safety level in [0, 1]: the dial's, or the largest that the found categories set.
        safe_prompt: text of the safe branch, if it comes as text.
        triggers: unsafe terms as the prompt writes them.
        categories: the policy categories they belong to, in the order found.
    """

    kind: Literal["off", "benign", "dual"]
    level: float
    safe_prompt: str | None = None
    triggers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def decide(
    prompts: list[str] | None,
    levels: list[float],
    safe_prompts: list[str | None] | None,
    embeds_given: bool,
    policy: Policy,
) -> list[Decision]:
    """One decision a prompt: what the caller gives goes first, then the policy's rewriting of the text.

    Args:
        prompts: the texts, or None where the caller gave embeddings.
        levels: one a prompt.
        safe_prompts: the caller's safe texts, one a prompt, if any; None among them leaves that prompt to the policy.
        embeds_given: whether the caller gave the safe branch's embeddings.

    Raises:
        ValueError: embeddings alone, with nothing that says what is safe.
        PolicyViolation: a prompt asks for what is never generated.
    """
    given = embeds_given or (safe_prompts is not None and None not in safe_prompts)
    if prompts is None and not given and any(levels):
        raise ValueError(
            "prompt_embeds carry no text that a policy could read: give safe_prompt or safe_prompt_embeds, "
            "or safety_level=0"
        )
    decisions = []
    for i, level in enumerate(levels):
        safe_prompt = safe_prompts[i] if safe_prompts is not None else None
        found = _read(prompts[i], policy) if prompts is not None else Rewrite("", ())
        categories = tuple(dict.fromkeys(trigger.category for trigger in found.triggers))
        level = _level(level, categories, policy)
        asked = embeds_given or safe_prompt is not None or bool(found.triggers)
        decisions.append(
            Decision(
                kind="off" if level == 0 else "dual" if asked else "benign",
                level=level,
                safe_prompt=None if embeds_given or not asked else found.text if safe_prompt is None else safe_prompt,
                triggers=tuple(trigger.text for trigger in found.triggers),
                categories=categories,
            )
        )
    return decisions


def _read(prompt: str, policy: Policy) -> Rewrite:
    refuse_sexualised_minors(prompt)
    found = rewrite(policy, prompt)
    for trigger in found.triggers:
        if policy.categories[trigger.category].block:
            raise PolicyViolation(f"policy {policy.id!r} blocks {trigger.category!r}, which {trigger.text!r} asks for")
    return found


def _level(dial: float, categories: tuple[str, ...], policy: Policy) -> float:
    own = [level for name in categories if (level := policy.categories[name].level) is not None]
    return max(own) if own else dial
