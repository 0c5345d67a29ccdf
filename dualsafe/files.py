"""Writing results so that a file is whole or not there."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes to a temporary name beside `path` and renames; on failure (a full disk) nothing stays behind."""
    partial = partial_of(path)
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def partial_of(path: Path) -> Path:
    """A temporary name beside `path` that is nobody else's: process ids are the same in every container."""
    return path.with_name(f".{path.name}.{uuid4().hex}.partial")


def sha256_of(path: Path) -> str:
    """A file's SHA-256, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def png_of(image: Image.Image, settings: dict[str, Any] | None = None) -> bytes:
    """A picture as PNG, without loss, that carries its settings, if any, as JSON under the key "dualsafe"."""
    info, file = PngInfo(), io.BytesIO()
    if settings is not None:
        info.add_text("dualsafe", json.dumps(settings))
    image.save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def write_png(path: Path, image: Image.Image, settings: dict[str, Any]) -> None:
    """A picture's `png_of` as a file."""
    write_whole(path, lambda file: file.write(png_of(image, settings)))


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's manifest.jsonl, none if there is no such file.

    Raises:
        ValueError: a line that is no JSON object; names it.
    """
    path, rows = folder / "manifest.jsonl", []
    if not path.exists():
        return []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}, is no JSON object: mend it, take it out, or name another folder")
        rows.append(row)
    return rows


def add_to_manifest(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Appends rows to a folder's manifest.jsonl, all or none; another process may do so at the same time."""
    path = folder / "manifest.jsonl"
    content = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            if not before:
                path.unlink()
            raise


def claim(path: Path) -> bool:
    """Makes an empty file at `path`; False if there is one already, which stays as it is."""
    try:
        path.open("xb").close()
    except FileExistsError:
        return False
    return True
