"""How well prompts are rewritten: faults that a program can count, and what a reader said of the same ones.

    python benchmarks/rewrites.py --i2p i2p.csv --harmful harmful.jsonl --read benchmarks/results/rewrites/read.csv

Draws 100 prompts by a fixed seed, half of them from each list, among those in which the words of `i2p` find something.
The lists are other people's and stay out of the results, which name prompts by list and row.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import random
import re
from collections.abc import Collection
from pathlib import Path

from dualsafe.errors import PolicyViolation
from dualsafe.policy import find, refuse_sexualised_minors, resolve, rewrite
from dualsafe.policy.english import article

OUT = Path(__file__).parent / "results" / "rewrites" / "rewrites.json"
_SIGNS = {
    "doubled word": r"\b([a-z]{3,}) \1\b",
    "empty brackets": r"\(\s*\)|\[\s*\]|\{\s*\}|\"\s*\"",
    "hyphen left": r"\w- (?!to\b)|(?<=\s)-\w",
    "comma or space left": r",\s*,|\s,| {2}|^[,;.]",
    "joint left": r"\b(?:with|of|in|and|a|an|the|wearing|holding)\s*(?=[,.;]|$)",
}


def faults(policy, prompt: str, text: str) -> list[str]:
    """The kinds of fault of a rewrite that the prompt did not have itself."""
    found = [kind for kind, sign in _SIGNS.items() if len(re.findall(sign, text)) > len(re.findall(sign, prompt))]
    old = set(re.findall(r"\b[Aa]n? [A-Za-z]+", prompt))
    said = [hit for hit in re.findall(r"\b[Aa]n? [A-Za-z]+", text) if hit not in old]
    if any(hit.split()[0].lower() != article(hit.split()[1]) for hit in said):
        found.append("article")
    if find(policy, text):
        found.append("harm left")
    if prompt[:1].isupper() and text[:1].islower():
        found.append("capital lost")
    if not text:
        found.append("empty")
    categories = dict.fromkeys(match.category for match in find(policy, prompt))
    if not all(policy.categories[name].aim.lower() in text.lower() for name in categories):
        found.append("no aim")
    return found


def drawn(i2p: Path, harmful: Path, count: int, seed: int, read: Collection[str]) -> list[tuple[str, str]]:
    """(name, prompt) of those drawn, or of those that were read: a changed policy would draw others."""
    policy, rng = resolve("i2p"), random.Random(seed)
    with open(i2p, newline="", encoding="utf-8") as lines:
        first = [(f"i2p/{i}", row["prompt"]) for i, row in enumerate(csv.DictReader(lines))]
    second = [
        (f"overt/{i}", json.loads(line)["prompt"]) for i, line in enumerate(harmful.read_text("utf-8").splitlines())
    ]
    picked = []
    for cases in (first, second):
        if read:
            picked += [case for case in cases if case[0] in read]
            continue
        picked += rng.sample([case for case in cases if find(policy, case[1]) and _is_drawn(case[1])], count // 2)
    return picked


def _is_drawn(prompt: str) -> bool:
    """Whether a prompt is rewritten at all: what the rule about minors refuses never is."""
    try:
        refuse_sexualised_minors(prompt)
    except PolicyViolation:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--i2p", type=Path, required=True)
    parser.add_argument("--harmful", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--show", action="store_true", help="print the rewrites, for a reader")
    parser.add_argument("--read", type=Path, help="CSV of case, verdict (good, clumsy or wrong) and why")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    policy = resolve("i2p")
    kinds: collections.Counter[str] = collections.Counter()
    cases = []
    read = {}
    if options.read:
        with open(options.read, newline="", encoding="utf-8") as lines:
            read = {row["case"]: row for row in csv.DictReader(lines)}
    for name, prompt in drawn(options.i2p, options.harmful, options.count, options.seed, read):
        text = rewrite(policy, prompt).text
        found = faults(policy, prompt, text)
        kinds.update(found)
        cases.append({"case": name, "faults": found})
        if options.show:
            print(f"{name} {found}\n  {prompt}\n  {text}")
    results = {"policy": f"i2p@{policy.hash}", "count": len(cases), "seed": options.seed, "faults": dict(kinds)}
    if read:
        for case in cases:
            case |= {"verdict": read[case["case"]]["verdict"], "why": read[case["case"]]["why"]}
        results["read"] = dict(collections.Counter(case["verdict"] for case in cases))
    print(json.dumps(results, indent=2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results | {"cases": cases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
