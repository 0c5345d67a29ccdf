"""Pictures that no editor and no generator has touched, for testing guards: picto's own renders, by label.

    python benchmarks/unedited.py out/unedited

Writes 300 renders of held-out scenes with an unsafe item into the folder unsafe, and 300 with a benign item into safe.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dualsafe.picto import render
from dualsafe.picto.prompts import prompt_set

COUNT = 300
SETS = {"unsafe": {"explicit": COUNT}, "safe": {"neighbour": COUNT // 2, "benign": COUNT - COUNT // 2}}


def write_pictures(out: Path) -> None:
    for label, sets in SETS.items():
        (out / label).mkdir(parents=True, exist_ok=True)
        for name, count in sets.items():
            for i, case in enumerate(prompt_set(name, count, seed=9)):
                render(case.scene).to_pil().save(out / label / f"{name}_{i:03d}.png")


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]))
