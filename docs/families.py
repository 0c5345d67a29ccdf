"""The table of docs/families.md, from the registry of families: `python docs/families.py` writes it anew."""

from __future__ import annotations

import inspect
from pathlib import Path

from dualsafe.pipelines.dual import DualLatentMixin
from dualsafe.pipelines.families import LEFT_OUT

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- begin: written by docs/families.py -->\n", "<!-- end -->\n"
HEADS = ("family", "class", "draws from", "guidance", "rows a step, stock and dual", "one file", "refused")


def table() -> str:
    """A row a class, in the order of the families."""
    rows = [HEADS, ["---"] * len(HEADS), *map(_row, DualLatentMixin.families)]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return lines + "".join(f"\n`{name}` is not one of them: {reason}.\n" for name, reason in LEFT_OUT.items())


def written(page: str) -> str:
    """The page with the table as it is now."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


def _row(family: type[DualLatentMixin]) -> list[str]:
    pattern, takes = family.pattern, inspect.signature(family.stock_class().__call__).parameters
    sources = {"control_image": "control picture", "image": "picture", "mask_image": "mask"}
    found = [word for name, word in sources.items() if name in takes]
    if "image" in takes and "strength" not in takes:
        found = ["control picture"] if "controlnet_conditioning_scale" in takes else ["reference pictures"]
    guided = "negative a call of its own" if pattern.negative_apart else "negative in the batch"
    guided = f"`{pattern.scale}`, {guided}" if pattern.scale else "distilled"
    rows = {"true_cfg_scale": "1 and 2, with a negative prompt 2 and 4", None: "1 and 2"}
    return [
        pattern.family,
        f"`{family.__name__}`",
        ", ".join(["noise", *found]),
        guided + ", blended after it" * pattern.after_guidance,
        rows.get(pattern.scale, "2 and 4"),
        ", ".join(pattern.single_files) or "-",
        ", ".join(f"`{name}`" for name in pattern.refused) or "-",
    ]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
