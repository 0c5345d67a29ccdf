"""What looking for misspelt terms costs on harmless prompts: how many are acted on without it, and with it.

    python benchmarks/spelling.py benign.jsonl lookalike.jsonl --by list

Files and columns are those of `dualsafe bench prompts`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dualsafe.bench.words import WordCount, count_words
from dualsafe.policy import resolve
from dualsafe.policy.match import _lexicon
from dualsafe.policy.spelling import Spelling


def table(without: dict[str, WordCount], with_it: dict[str, WordCount]) -> str:
    """Both counts as a Markdown table."""
    rows = [f"| {name} | {n.prompts} | {without[name].found} | {n.found} |" for name, n in with_it.items()]
    return "\n".join(
        ["| list | prompts | acted on, exact terms | acted on, misspelt ones too |", "|---|---:|---:|---:|", *rows]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--policy", default="i2p")
    parser.add_argument("--by", help="column that says which list a row is of")
    options = parser.parse_args()
    policy = resolve(options.policy)
    with_it = count_words(policy, options.files, by=options.by)
    _lexicon.cache_clear()
    Spelling.meant = lambda self, word: None  # type: ignore[method-assign]
    print(table(count_words(policy, options.files, by=options.by), with_it))


if __name__ == "__main__":
    main()
