"""Whether the core's tests would notice: one-line faults go into a copy of it, one at a time; each must fail a test.

    python benchmarks/mutants.py
    python benchmarks/mutants.py --only mask

Writes benchmarks/results/mutants.md. Each fault runs only the tests that cover its line.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import diffusers
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Mutant:
    """A fault: a piece of a line of a module, what it becomes, and the tests that must notice."""

    module: str
    line: str
    becomes: str
    tests: str

    def put_into(self, package: Path) -> None:
        """
        Raises:
            ValueError: the line is not there, or is there twice.
        """
        file = package / f"{self.module}.py"
        text = file.read_text()
        if text.count(self.line) != 1:
            raise ValueError(f"{self.module}.py has {text.count(self.line)} lines with {self.line!r}: one is needed")
        file.write_text(text.replace(self.line, self.becomes))


METHOD, LEVELS, EXACT = "test_method.py", "test_noise_level.py", "test_exactness.py -k sd1"
REFERENCE = "test_reference.py -k sd1-ddim"
MASKS, OTHERS, WATCH = "test_masks.py", "test_third_parties.py", "test_watch.py"
AGAIN = "../test_closed_loop.py"
TOKENS, FEATURES = "test_partial_tokens.py", "test_partial_features.py"
MUTANTS = [
    Mutant(
        "method",
        '"epsilon": lambda z, g, alpha, sigma: (z - sigma * g) / alpha',
        '"epsilon": lambda z, g, alpha, sigma: (z - sigma * g)',
        METHOD,
    ),
    Mutant("method", "g_s + (1 - weight) *", "g_s + weight *", METHOD),
    Mutant(
        "method",
        "return torch.tensor(1 - sigma), torch.tensor(sigma)",
        "return torch.tensor(1.0), torch.tensor(sigma)",
        METHOD,
    ),
    Mutant("method", ".clamp(max=floor)", ".clamp(min=floor)", REFERENCE),
    Mutant(
        "method", "return torch.maximum(found, F.avg_pool2d(found, 3, stride=1, padding=1))", "return found", METHOD
    ),
    Mutant("method", "eroded = -F.max_pool2d(-inside, size, stride=1, padding=feather)", "eroded = inside", METHOD),
    Mutant("noise_level", "1 / (1 + self._sigmas[index] ** 2)", "1 / (1 + self._sigmas[index])", LEVELS),
    Mutant("noise_level", "between[i - shift] if i % 2", "between[i] if i % 2", LEVELS + " -k kdpm2-a"),
    Mutant(
        "noise_level",
        'index = getattr(self._scheduler, "step_index", None)',
        "index = None",
        LEVELS + " -k half_precision",
    ),
    Mutant(
        "noise_level",
        "return self._looked_up(told) if index is None else index",
        "return self._looked_up(told)",
        LEVELS + " -k rounded",
    ),
    Mutant("noise_level", "min(from_tau, run.stop - own_calls)", "from_tau", LEVELS + " -k room"),
    Mutant("noise_level", "self.progress(index) >= tau", "self.progress(index) > tau", LEVELS + " -k room"),
    Mutant("noise_level", "run = range(self._first,", "run = range(0,", LEVELS + " -k room"),
    Mutant(
        "noise_level",
        "again, self._latest = index == self._latest, index",
        "again, self._latest = False, index",
        LEVELS + " -k second_call",
    ),
    Mutant("mask", "(fresh and not step.again)", "fresh", MASKS + " -k own_call"),
    Mutant("mask", "(guidance.scale if guidance.apart else 1)", "1", "test_reference.py -k negative"),
    Mutant("mask", " & self._plan.may_agree - self.parted", " - self.parted", MASKS + " -k own_safe"),
    Mutant("mask", "floor / 2 if i in self._plan.may_agree else 0.0", "floor / 2", MASKS + " -k word_was_found"),
    Mutant(
        "mask",
        "self.parted |= set(compress(fresh, found.flatten(1).any(1).tolist()))",
        "self.parted |= set()",
        MASKS + " -k agree",
    ),
    Mutant(
        "pipelines/call", "plan.weights[i] == 1 and i not in plan.may_agree", "plan.weights[i] == 1", AGAIN + " -k near"
    ),
    Mutant("pipelines/call", "farthest[i] < (plan", "farthest[i] > (plan", AGAIN + " -k first_step"),
    Mutant(
        "pipelines/call",
        "not plan.finds_mask or not denoiser.parts_at",
        "not plan.finds_mask",
        AGAIN + " -k first_step",
    ),
    Mutant("extrapolate", "/ (latest - before) * (x0 - older)", "/ (latest - before) * (older - x0)", METHOD),
    Mutant("extrapolate", "        if not self._plan.steers_by_original:\n            return True\n", "", EXACT),
    Mutant("extrapolate", "if self._plan.keep_original or self", "if self", EXACT),
    Mutant("extrapolate", "if not self.are_between(step) or carried.is_empty:", "if True:", MASKS + " -k line"),
    Mutant("extrapolate", "if i in parted or not self._plan.finds_mask", "if True", MASKS + " -k agree"),
    Mutant(
        "branches",
        "        if len(value) == total:\n            return value[rows]\n        raise",
        "        return value[rows] if len(value) == total else value\n        raise",
        OTHERS + " -k cutoff",
    ),
    Mutant(
        "branches", "self._model.cache_context(name)", 'self._model.cache_context("both")', OTHERS + " -k first_block"
    ),
    Mutant(
        "branches",
        "torch.cat([every[:, branch, samples]",
        "torch.cat([every[:, 1 - branch, samples]",
        EXACT + " -k stacking",
    ),
    Mutant(
        "branches",
        "return self._model(*args, **kwargs)[0]",
        "return self._model(**dict(zip(('sample', 'timestep'), args)), **kwargs)[0]",
        OTHERS + " -k wrapped",
    ),
    Mutant(
        "denoiser",
        "            check_stateless(self.model, self.plan.settings.sparse)",
        "            pass",
        OTHERS + " -k refused",
    ),
    Mutant("denoiser", " & torch.isfinite(mixed)", "", EXACT + " -k breaks"),
    Mutant("denoiser", "torch.where(same, u.g, mixed)", "mixed", MASKS + " -k bit"),
    Mutant("denoiser", "[i for i in safe if i not in carried]", "safe", MASKS + " -k carried"),
    Mutant("denoiser", "step.index >= self.parts_at", "step.index > self.parts_at", EXACT),
    Mutant("denoiser", "(EARLY if", "(-1 if", WATCH + " -k early_step"),
    Mutant("denoiser", "else NOT_FIRST)", "else -1)", WATCH + " -k early_step"),
    Mutant("denoiser", "elif self.preview.is_due(", "if self.preview.is_due(", WATCH + " -k early_step"),
    Mutant("denoiser", "g = self._turned(self", "g = (self", WATCH + " -k what_is_asked"),
    Mutant(
        "denoiser",
        "self.trajectory[step.index, step.again] = u.x0",
        "self.trajectory[step.index, step.again] = u.z",
        WATCH,
    ),
    Mutant(
        "extrapolate", "return (step.index, step.again) in self._known", "return False", WATCH + " -k computed_again"
    ),
    Mutant("pipelines/call", "x0[rows] for call, x0", "x0[: len(rows)] for call, x0", WATCH + " -k in_one_batch"),
    Mutant("pipelines/call", "self._looked_at.issuperset(rows)", "True", AGAIN),
    Mutant("pipelines/closed_loop", " or not samples[i].was_looked_at", "", WATCH + " -k interrupted"),
    Mutant(
        "denoiser",
        "u = self._seen(call, call.latents(0), original, step)",
        "u = self._seen(call, call.latents(0), original, step); self._originals.see(step, u.x0)",
        MASKS + " -k seldom",
    ),
    Mutant("pipelines/call", "sample.rows += watch.rows[k]", "pass", WATCH + " -k stock"),
    Mutant("watch/watch", "not score < self.threshold)", "score >= self.threshold)", WATCH + " -k fails"),
    Mutant("watch/watch", "self.probes.categories[int(", "self.probes.categories[0 * int(", WATCH + " -k leads"),
    Mutant("watch/watch", "reading.spread(x_k)", "torch.ones_like(x_k[:, 0])", WATCH + " -k tell_nothing"),
    Mutant("watch/reading", "return (h - c) / (h + c)", "return h - c", WATCH + " -k formulas"),
    Mutant("watch/reading", "(weight[:, None] * (x", "((x", WATCH + " -k formulas"),
    Mutant("denoiser", "self.rows[i] += groups * ", "self.rows[i] += ", EXACT),
    Mutant(
        "denoiser",
        "            if guidance.rescale > 0:",
        "            if guidance.rescale > 1:",
        "test_reference.py -k rescaled",
    ),
    Mutant("denoiser", "weight = weight * mask", "weight = weight", REFERENCE),
    Mutant("plan", "OWN_CALLS = 8", "OWN_CALLS = 1", "test_exactness.py -k few"),
    Mutant("plan", "enumerate(self.weights) if weight > 0]", "enumerate(self.weights)]", EXACT + " -k benign"),
    Mutant("plan", "any(self.weights[i] < 1 for i in self.dual)", "False", EXACT + " -k only_a_pair"),
    Mutant(
        "layout",
        '"n c (h p) (w q) -> n (h w) (c p q)"',
        '"n c (h p) (w q) -> n (h w) (c q p)"',
        "test_reference.py -k flux",
    ),
    Mutant("callbacks", "n=self._samples)[branch]", "n=self._samples)[0]", OTHERS + " -k cutoff"),
    Mutant("stand_in", 'return self.__dict__["_model"].__class__', "return StandIn", OTHERS + " -k lora"),
    Mutant("partial/tokens", "if masks is None or not is_between:", "if masks is None:", TOKENS),
    Mutant("partial/tokens", "whole[rows, :, : tokens", "whole[: len(rows), :, : tokens", TOKENS),
    Mutant("partial/tokens", ".scatter(2, index, picture)", "", TOKENS),
    Mutant("denoiser", "torch.where(own, s.x0, u.x0))", "s.x0)", TOKENS),
    Mutant("denoiser", "torch.where(own, s.g, g.to(s.g.dtype))", "s.g", TOKENS),
    Mutant("partial/features", "self._kept.features[rows]", "self._kept.features[: len(rows)]", FEATURES),
    Mutant("partial/features", "self._apart.setdefault(i, apart)", "self._apart[i] = apart", FEATURES),
    Mutant("partial/features", "self._apart.get(i, AGREE) < AGREE", "self._apart.get(i, 0.0) < AGREE", FEATURES),
    Mutant(
        "partial/features", "= self._kept.features, original", "= self._kept.features, self._kept.features", FEATURES
    ),
    Mutant("partial/tokens", "new.key[stale], new.value[stale] = old.key[stale], old.value[stale]", "continue", TOKENS),
    Mutant(
        "branches",
        "for i in samples]\n        return self._on",
        "for i in range(len(samples))]\n        return self._on",
        TOKENS,
    ),
]


def run(mutant: Mutant | None, tests: str) -> tuple[bool, float]:
    """Whether the tests pass with a fault in a copy of the package, and how long they took, s.

    Raises:
        RuntimeError: the tests did not run.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("dualsafe", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("weights", "pyproject.toml"):
            (copy / name).symlink_to(ROOT / name)
        if mutant is not None:
            mutant.put_into(copy / "dualsafe")
        child = os.fork()  # torch and diffusers are imported already; a fork takes no time
        if child == 0:
            os._exit(_run_here(copy, tests))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, 1):
            raise RuntimeError(f"{tests}: pytest ended with {code}\n{(copy / 'log').read_text()[-3000:]}")
    return code == 0, time.monotonic() - begin


def _run_here(copy: Path, tests: str) -> int:
    """pytest's exit code for tests of the copy, in this process."""
    log = os.open(copy / "log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(copy)
    sys.path[:0] = [str(copy), str(copy / "tests")]
    file, *words = tests.replace("-k ", "").split()
    asked = ["-k", " and ".join(words)] if words else []
    options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
    code = int(pytest.main([*options, f"tests/core/{file}", *asked]))
    ours = Path(sys.modules["dualsafe"].__file__ or "")
    return code if ours.is_relative_to(copy) else 99


def main() -> None:
    """Runs the chosen faults, prints a table, and exits with an error if one passes."""
    assert all((diffusers.StableDiffusionXLPipeline, diffusers.StableDiffusion3Pipeline, diffusers.FluxPipeline))
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="modules")
    parser.add_argument("--sound", action="store_true", help="first run the tests without a fault")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only is None or m.module in arguments.only]
    if arguments.sound:
        for tests in dict.fromkeys(m.tests for m in chosen):
            if not run(None, tests)[0]:
                raise SystemExit(f"{tests} fails without a fault")
    lines = ["| module | line | becomes | tests | noticed | s |", "|---|---|---|---|---|---|"]
    survived = 0
    for mutant in chosen:
        passed, seconds = run(mutant, mutant.tests)
        survived += passed
        shown = [" ".join(text.split()).replace("|", "\\|") or "(nothing)" for text in (mutant.line, mutant.becomes)]
        noticed = "**no**" if passed else "yes"
        lines.append(f"| {mutant.module} | `{shown[0]}` | `{shown[1]}` | {mutant.tests} | {noticed} | {seconds:.0f} |")
        print(lines[-1], flush=True)
    if arguments.only is None:
        said = f"`python benchmarks/mutants.py`: {len(chosen) - survived} of {len(chosen)} faults fail a test.\n\n"
        (RESULTS / "mutants.md").write_text(said + "\n".join(lines) + "\n")
    raise SystemExit(f"{survived} of {len(chosen)} faults pass" if survived else 0)


if __name__ == "__main__":
    main()
