"""Which jobs are worth a pair, told by their words alone."""

from __future__ import annotations

from ..errors import PolicyViolation
from ..policy import Policy, refuse_sexualised_minors, rewrite
from .pair import Declined, Job, Kind

BENIGN = "benign: the policy finds nothing in the prompt"
UNSAFE = "unsafe: a null edit starts and ends with a benign prompt"


def route(job: Job, kind: Kind, policy: Policy, looks: bool) -> Declined | None:
    """Why no pair is to be made of a job; None where one is.

    Args:
        looks: whether whoever draws looks at what becomes of it too, so that innocent words may turn out unsafe.
    """
    texts = [job.prompt, *([job.edited_prompt] if job.edited_prompt else [])]
    try:
        refuse_sexualised_minors("\n".join(texts))  # together: a caption and an instruction may be harmless alone
    except PolicyViolation as error:
        return Declined(f"blocked: {error}")
    triggers = [trigger for text in texts for trigger in rewrite(policy, text).triggers]
    for trigger in triggers:
        if policy.categories[trigger.category].block:
            return Declined(f"blocked: the policy never draws {trigger.category!r}")
    if kind == "null_edit":
        return Declined(UNSAFE) if triggers else None
    if kind == "counterfactual" and not (triggers or job.edited_prompt or looks):
        return Declined(BENIGN)
    return None
