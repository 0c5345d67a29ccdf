"""How long a start takes: imports by those of diffusers, and `dualsafe --help`.

    python benchmarks/startup.py

Writes benchmarks/results/startup.{json,md}: medians over rounds in which all take turns, each in its own process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from harness import write

STARTS = {
    "python -c pass": "pass",
    "import diffusers": "import diffusers",
    "import dualsafe": "import dualsafe",
    "from diffusers import StableDiffusionPipeline": "from diffusers import StableDiffusionPipeline",
    "from dualsafe import DualLatentPipeline": "from dualsafe import DualLatentPipeline",
    "dualsafe --help": "import sys; sys.argv = ['dualsafe', '--help']; from dualsafe.cli import app; app()",
}


def seconds(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds + 1):  # the first one fills the disk's cache
        for name, code in STARTS.items():
            taken[name].append(seconds(code))
    results = {name: {"seconds": statistics.median(values[1:])} for name, values in taken.items()}
    rows = [f"| `{name}` | {row['seconds']:.2f} |" for name, row in results.items()]
    lines = ["| start | seconds |", "|---|---|", *rows]
    write("startup", "startup.py", results, "\n".join(lines), rounds=rounds)


if __name__ == "__main__":
    main()
