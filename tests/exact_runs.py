"""Pair runs that several tests make: picto's exact pairs, which need no denoiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dualsafe.pairs.read import read_pairs
from dualsafe.pairs.run import run
from dualsafe.pairs.spec import PairSpec


def spec_of(**more: Any) -> PairSpec:
    """A spec of 24 exact pairs in shards of 4."""
    given = {"prompts": "picto:explicit", "editor": "exact", "limit": 12, "pairs_per_prompt": 2, "shard_size": 4}
    return PairSpec(**given | more)


def exact_run(folder: Path, **more: Any) -> Path:
    """The folder of a finished run."""
    run(spec_of(**more), folder)
    return folder


def made_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Pair id -> what identifies a pair's content."""
    return {
        pair.row["pair_id"]: (pair.row["original_sha256"], pair.row["edited_sha256"], pair.row["split"])
        for pair in read_pairs(folder)
    }


def pair_files(folder: Path) -> dict[str, bytes]:
    """Name -> content of the files that must be the same however a run was made."""
    wanted = [path for ending in ("*.tar", "*.jsonl") for path in (folder / "shards").glob(ending)]
    return {path.name: path.read_bytes() for path in wanted}
