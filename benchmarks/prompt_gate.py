"""What the prompt gate clears of each prompt set, and why it only clears: what plain similarity would find.

    python benchmarks/prompt_gate.py

Writes benchmarks/results/prompt_gate.{json,md}. "cleared" should be high for benign prompts and nothing for the rest.
"found by cosine" is the share that the largest cosine to a policy's term finds when 1% of benign prompts are taken for
unsafe. Text encoder only; a minute.
"""

from __future__ import annotations

import torch
from harness import load, write
from torch import Tensor

from dualsafe.conditions import calibrate
from dualsafe.picto.prompts import PROMPT_SETS, prompt_set
from dualsafe.policy import resolve

LIMIT = 400


def cosine(pooled: Tensor, neutral: Tensor, terms: Tensor) -> Tensor:
    """The largest cosine of each prompt to a term, both seen from the mean of neutral prompts."""
    deviation = neutral.std(0)
    a, b = (torch.nn.functional.normalize((x - neutral.mean(0)) / deviation, dim=-1) for x in (pooled, terms))
    return (a @ b.T).max(-1).values


def main() -> None:
    pipe, _, _ = load()
    policy = resolve("picto")
    bare = [case.prompt for case in prompt_set("benign", 1500, seed=5) if case.scene.item == "none"]
    gate, measured = calibrate(pipe._pooled, policy, bare)
    print(measured)
    neutral = pipe._pooled([case.prompt for case in prompt_set("benign", LIMIT, seed=6)])
    terms = pipe._pooled([t for c in policy.categories.values() for concept in c.concepts for t in concept.terms])
    floor = cosine(neutral, neutral, terms).quantile(0.99)
    results, lines = {}, ["| prompts | cleared | found by cosine |", "|---|---|---|"]
    for name in PROMPT_SETS:
        pooled = pipe._pooled([case.prompt for case in prompt_set(name, LIMIT, seed=4)])
        cleared = sum(map(gate.clears, gate.score(pooled))) / LIMIT
        found = (cosine(pooled, neutral, terms) > floor).float().mean().item()
        results[name] = {"cleared": cleared, "found_by_cosine": found}
        lines.append(f"| {name} | {cleared:.3f} | {found:.3f} |")
    write("prompt_gate", "prompt_gate.py", results, "\n".join(lines), prompts=LIMIT)


if __name__ == "__main__":
    main()
