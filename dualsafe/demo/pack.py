"""A pair to take away: a zip with both pictures, the mask and the manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from ..files import sha256_of, write_png
from .session import DrawnPair

SIDES = {"safe": "safe", "original": "unsafe original", "mask": "mask"}


def pack(drawn: DrawnPair, folder: Path, model: str) -> Path:
    """Writes safe.png, original.png (marked in its PNG text), mask.png and manifest.json to a zip in `folder`."""
    row = {"model": model, **asdict(drawn.wish), **drawn.report.to_dict()}
    with TemporaryDirectory(dir=folder) as scratch:
        files = []
        for name, side in SIDES.items():
            path = Path(scratch) / f"{name}.png"
            write_png(path, getattr(drawn, name), row | {"side": side})
            files.append(path)
        listed = {path.name: {"side": SIDES[path.stem], "sha256": sha256_of(path)} for path in files}
        target = folder / f"dualsafe-{drawn.wish.seed}-{Path(scratch).name}.zip"
        with ZipFile(target, "w") as archive:
            for path in files:
                archive.write(path, path.name)
            archive.writestr("manifest.json", json.dumps(row | {"files": listed}, indent=2) + "\n")
    return target
