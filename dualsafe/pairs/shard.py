"""A shard on disk: pictures and rows in a tar, an index beside it, and a last file that says all of it is there."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..files import partial_of, png_of, sha256_of, write_json
from .pair import Declined, Job, Made
from .plan import shard_name
from .row import index_row, index_schema

SHARDS = "shards"
STAGES = ("jobs", "routed", "generated", "verified", "written")


def paths_of(folder: Path, index: int) -> dict[str, Path]:
    """A shard's files by their ending; "stats" is the mark that it is done."""
    endings = {
        "tar": ".tar",
        "parquet": ".parquet",
        "rejected": ".rejected.jsonl",
        "errors": ".errors.jsonl",
        "stats": "_stats.json",
    }
    return {key: folder / SHARDS / f"{shard_name(index)}{ending}" for key, ending in endings.items()}


def is_done(folder: Path, index: int) -> bool:
    """Whether the shard is marked as done and its files have the sizes that the mark says."""
    return wrong_with(folder, index, thorough=False) is None


def wrong_with(folder: Path, index: int, thorough: bool = True) -> str | None:
    """Why a shard has to be made, or made again; None if it stands.

    Args:
        thorough: compare the files' SHA-256 too, not just their sizes.
    """
    paths = paths_of(folder, index)
    try:
        files = json.loads(paths["stats"].read_text(encoding="utf-8"))["files"]
        for name, said in files.items():
            if wrong := _wrong_file(folder / SHARDS / name, said["bytes"], said["sha256"] if thorough else None):
                return wrong
    except FileNotFoundError:
        return "is not done"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{paths['stats'].name} cannot be read"
    return None


def _wrong_file(path: Path, size: int, sha256: str | None) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != size:
        return f"{path.name} has {path.stat().st_size} bytes, not {size}"
    if sha256 is not None and sha256_of(path) != sha256:
        return f"{path.name} has other bytes than were written"
    return None


class ShardWriter:
    """Writes one shard under temporary names; `finish` gives the files their names and the mark last.

    Not for several threads at once.

    Attributes:
        failed: jobs that failed in some stage.
        first_error: why the first of them did.
    """

    def __init__(self, folder: Path, index: int, jobs: int):
        import webdataset

        self._paths, self._index = paths_of(folder, index), index
        (folder / SHARDS).mkdir(exist_ok=True)
        self._partial = {key: partial_of(path) for key, path in self._paths.items() if key != "stats"}
        self._tar_file = self._partial["tar"].open("wb")
        self._tar = webdataset.TarWriter(self._tar_file, encoder=False, mtime=0)
        self._lines = {key: self._partial[key].open("w", encoding="utf-8") for key in ("rejected", "errors")}
        self._rows: list[dict[str, Any]] = []
        self._declined: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._categories: dict[str, Counter[str]] = {}
        self._counts: Counter[str] = Counter(jobs=jobs)
        self.failed, self.first_error = 0, ""

    def declined(self, stage: str, declined: Declined) -> None:
        """Counts a job of which no pair was made, as it should be."""
        self._counts["routed"] += stage != "route"
        self._declined[declined.reason] += 1

    def error(self, job: Job, stage: str, reason: str) -> None:
        """Names a job that failed."""
        self._counts["routed"] += 1
        self.failed += 1
        self._name_error(job.pair_id, job.prompt_id, stage, reason)

    def _name_error(self, pair_id: str, prompt_id: str, stage: str, reason: str) -> None:
        self._counts["errors"] += 1
        self.first_error = self.first_error or reason
        said = {"pair_id": pair_id, "prompt_id": prompt_id, "row": None, "stage": stage, "reason": reason}
        self._lines["errors"].write(json.dumps(said, ensure_ascii=False) + "\n")

    def pair(self, row: dict[str, Any], made: Made, errors: tuple[str, ...], keep_unverified: bool) -> None:
        """Writes a pair, or, if it is not verified, its row without pictures."""
        verified = row["tier"] == "verified"
        self._counts.update(routed=1, generated=1, verified=int(verified), denoiser_rows=made.rows)
        for name in row["categories"]:
            self._categories.setdefault(name, Counter()).update(generated=1, verified=int(verified))
        self.failed += bool(errors)
        for reason in errors:
            self._name_error(row["pair_id"], row["prompt_id"], "verify", reason)
        self._rejected.update(row["reasons"][: len(row["reasons"]) - len(errors)])
        if not (verified or keep_unverified):
            self._lines["rejected"].write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        self._counts["written"] += 1
        pictures = {f"{name}.png": content for name, content in pngs_of(row, made).items()}
        entry = {"__key__": row["pair_id"], "json": json.dumps(row, ensure_ascii=False).encode(), **pictures}
        self._tar.write(entry)
        self._rows.append(index_row(row) | {"shard": shard_name(self._index)})

    def finish(self, seconds: dict[str, float]) -> dict[str, Any]:
        """Flushes, syncs and renames all files, and then marks the shard as done; returns its statistics."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._tar.close()
        schema = index_schema().append(pa.field("shard", pa.string()))
        pq.write_table(pa.Table.from_pylist(self._rows, schema=schema), self._partial["parquet"])
        for file in self._lines.values():
            file.close()
        self._tar_file.close()
        files = {}
        for key, partial in self._partial.items():
            _sync(partial)
            files[self._paths[key].name] = {"bytes": partial.stat().st_size, "sha256": sha256_of(partial)}
            os.replace(partial, self._paths[key])
        _sync(self._paths["stats"].parent)
        stats = self._stats() | {"seconds": seconds, "files": files}
        write_json(self._paths["stats"], stats)
        return stats

    def discard(self) -> None:
        """Closes and removes what is not finished."""
        for file in (self._tar_file, *self._lines.values()):
            with suppress(OSError):
                file.close()
        for partial in self._partial.values():
            partial.unlink(missing_ok=True)

    def _stats(self) -> dict[str, Any]:
        return {
            "shard": shard_name(self._index),
            "jobs": self._counts["jobs"],
            "stages": {name: self._counts[name] for name in STAGES[1:]},
            "declined": dict(self._declined.most_common()),
            "rejected": dict(self._rejected.most_common()),
            "errors": self._counts["errors"],
            "categories": {name: dict(counts) for name, counts in sorted(self._categories.items())},
            "denoiser_rows": self._counts["denoiser_rows"],
        }


@contextmanager
def writing(folder: Path, index: int, jobs: int) -> Iterator[ShardWriter]:
    """A writer of which, if anything fails, nothing stays behind.

    Raises:
        OSError: it cannot be written; names the shard.
    """
    writer = None
    try:
        writer = ShardWriter(folder, index, jobs)
        yield writer
    except BaseException as error:
        if writer is not None:
            writer.discard()
        if isinstance(error, OSError):
            said = f"shard {index} of {folder} cannot be written: {error.strerror or error}; make room, and resume"
            raise OSError(error.errno, said) from error
        raise


def pngs_of(row: dict[str, Any], pair: Any) -> dict[str, bytes]:
    """Name -> PNG of a pair's pictures, the sides with their label as settings; no mask where it has none."""
    sides = {
        "original": png_of(pair.original, {"label": row["original_label"]}),
        "edited": png_of(pair.edited, {"label": row["edited_label"]}),
    }
    return sides if pair.mask is None else sides | {"mask": png_of(pair.mask)}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
