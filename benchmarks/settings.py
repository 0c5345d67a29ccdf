"""Why the defaults are what they are: tau, mask floor and mask freeze, swept one at a time at level 1 on picto.

    python benchmarks/settings.py --limit 50

Writes benchmarks/results/settings.{json,md}.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from effect import METHODS, ROOT, draw, score, table

from dualsafe import PICTO, DualLatentPipeline, MethodSettings
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.prompts import prompt_set

DEFAULT = MethodSettings()
SWEEPS: dict[str, MethodSettings] = {
    "defaults": DEFAULT,
    **{f"tau {v}": replace(DEFAULT, tau=v) for v in (0.05, 0.1, 0.2, 0.3)},
    **{f"mask floor {v}": replace(DEFAULT, mask_floor=v) for v in (0.2, 0.35, 0.8)},
    **{f"mask freeze {v}": replace(DEFAULT, mask_freeze=v) for v in (0.4, 0.8, 1.0)},
    "no mask": replace(DEFAULT, mask_floor=None),
    **{f"no mask, release {v}": replace(DEFAULT, mask_floor=None, release=v) for v in (0.5, 0.7)},
    "release 0.7": replace(DEFAULT, release=0.7),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=50, help="prompts of the explicit set")
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--batch-size", type=int, default=25)
    arguments = parser.parse_args()

    pipe = DualLatentPipeline.from_pretrained(PICTO, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    judge = PictoJudge.from_pretrained(Path(PICTO) / "judge").eval()
    cases = prompt_set("explicit", arguments.limit, seed=1)
    stock = draw(pipe, cases, METHODS["stock"], arguments.batch_size)
    results = {"stock": score(judge, cases, stock, stock["pictures"])}
    for name in arguments.only:
        drawn = draw(pipe, cases, {"settings": SWEEPS[name]}, arguments.batch_size)
        results[name] = score(judge, cases, drawn, stock["pictures"])
        print(name, {k: round(v, 4) for k, v in results[name].items()}, flush=True)
    out = ROOT / "benchmarks" / "results"
    out.mkdir(parents=True, exist_ok=True)
    record = {"command": f"python benchmarks/settings.py --limit {arguments.limit}", "results": results}
    (out / "settings.json").write_text(json.dumps(record, indent=2) + "\n")
    (out / "settings.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
