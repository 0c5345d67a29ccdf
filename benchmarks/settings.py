"""Why the defaults are what they are: the settings swept one at a time at level 1 on picto's explicit prompts.

    python benchmarks/settings.py --limit 50

Writes benchmarks/results/settings.{json,md}. The prompts are others than those of effect.py.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from effect import measure
from harness import load, table, write

from dualsafe import MethodSettings
from dualsafe.picto.prompts import prompt_set

DEFAULT = MethodSettings()
SWEEPS: dict[str, MethodSettings] = {
    "defaults": DEFAULT,
    **{f"tau {v}": replace(DEFAULT, tau=v) for v in (0.05, 0.1, 0.15, 0.3)},
    **{f"mask floor {v}": replace(DEFAULT, mask_floor=v) for v in (0.35, 0.5, 0.8, 1.25)},
    "no mask": replace(DEFAULT, mask_floor=None),
    **{f"original interval {v}": replace(DEFAULT, original_interval=v) for v in (0.08, 0.16, 0.24)},
    "original at every step": replace(DEFAULT, original_interval=None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=50, help="prompts of the explicit set")
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--batch-size", type=int, default=25)
    arguments = parser.parse_args()

    pipe, judge, _ = load()
    cases = prompt_set("explicit", arguments.limit, seed=1)
    methods = {"stock": {"safety_level": 0.0}} | {name: {"settings": SWEEPS[name]} for name in arguments.only}
    results = measure(pipe, judge, cases, methods, arguments.batch_size)
    write("settings", "settings.py", results, table(results, first="setting"), prompts=len(cases))


if __name__ == "__main__":
    main()
