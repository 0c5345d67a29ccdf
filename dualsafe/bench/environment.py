"""What a result depends on beside its settings: versions, machine, state of the source."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("dualsafe", "torch", "diffusers", "transformers", "numpy")


def surroundings() -> dict[str, Any]:
    """What `run.json` holds of it."""
    return {"versions": versions(), "git": source_state(), "environment": machine()}


def versions() -> dict[str, str]:
    """Installed versions of what draws and judges."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "source"
    return found


def machine() -> dict[str, Any]:
    """Where it ran."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"machine": platform.machine(), "threads": torch.get_num_threads(), "gpu": gpu}


def source_state() -> str | None:
    """The source checkout's commit, with "+changes" where files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
