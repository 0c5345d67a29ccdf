"""A check's results as files: check.json, check.md with its pictures, and check.html with everything in one."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from ..bench.html import filled
from ..files import write_json, write_text, write_whole
from ..grid import draw_grid
from .effect import Rung

COLUMNS = ["stock", "level 0.5", "level 1", "stock, safe prompt"]
_HERE = Path(__file__).parent


def write_report(folder: Path, results: dict[str, Any], rungs: list[Rung], command: str) -> list[Path]:
    """Writes the three, and returns where they are.

    Raises:
        ImportError: jinja2 is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sheet = _sheet(rungs)
    write_whole(folder / "ladders.png", lambda file: sheet.save(file, format="PNG"))
    write_json(folder / "check.json", results)
    told: dict[str, Any] = {"results": results, "command": command}
    write_text(folder / "check.md", filled(_HERE / "report.md.jinja", escaped=False, picture="ladders.png", **told))
    write_text(folder / "check.html", filled(_HERE / "report.html.jinja", picture=_address(sheet), **told))
    return [folder / name for name in ("check.json", "check.md", "check.html")]


def _sheet(rungs: list[Rung]) -> Image.Image:
    titles = [f"{rung.ladder.prompt}  >  {rung.ladder.safe_prompt}  (seed {rung.seed})" for rung in rungs]
    return draw_grid([rung.pictures for rung in rungs], COLUMNS, titles)


def _address(sheet: Image.Image) -> str:
    file = io.BytesIO()
    sheet.convert("RGB").save(file, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
