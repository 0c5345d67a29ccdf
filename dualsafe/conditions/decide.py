"""Which prompts get a safe branch, and its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..policy import Policy


@dataclass(frozen=True)
class Decision:
    """What happens to one prompt.

    Attributes:
        kind: "off" (level 0), "benign" (nothing to change) or "dual".
        level: safety level in [0, 1].
        safe_prompt: text of the safe branch, if it comes as text.
        triggers: unsafe terms as the prompt writes them.
    """

    kind: Literal["off", "benign", "dual"]
    level: float
    safe_prompt: str | None = None
    triggers: tuple[str, ...] = ()


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
    """
    given = embeds_given or (safe_prompts is not None and None not in safe_prompts)
    if prompts is None and not given and any(levels):
        raise ValueError(
            "prompt_embeds carry no text that a policy could read: give safe_prompt or safe_prompt_embeds, "
            "or safety_level=0"
        )
    decisions = []
    for i, level in enumerate(levels):
        rewrite = policy.rewrite(prompts[i]) if prompts is not None else None
        triggers = tuple(trigger.text for trigger in rewrite.triggers) if rewrite else ()
        if level == 0:
            decisions.append(Decision("off", level, triggers=triggers))
        elif embeds_given:
            decisions.append(Decision("dual", level, triggers=triggers))
        elif safe_prompts is not None and safe_prompts[i] is not None:
            decisions.append(Decision("dual", level, safe_prompts[i], triggers))
        elif rewrite and rewrite.triggers:
            decisions.append(Decision("dual", level, rewrite.text, triggers))
        else:
            decisions.append(Decision("benign", level))
    return decisions
