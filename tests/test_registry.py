"""What other packages bring by entry points: judges, editors and baselines alike."""

from __future__ import annotations

import pytest

from dualsafe.baselines import create
from dualsafe.judges import load_judge
from dualsafe.pairs.editors import create_editor

PLUGIN = """
class Paint:
    def __init__(self, rest, given, options):
        self.rest, self.given, self.options = rest, given, options

def load(rest, *given, **options):
    return Paint(rest, given, options) if rest else None
"""


@pytest.mark.parametrize(
    ("group", "make", "own", "told"),
    [
        ("judges", load_judge, "picto", {"device": "cpu"}),
        ("editors", create_editor, "null", {"steps": 3}),
        ("methods", create, "stock", {"judge": None}),
    ],
)
def test_other_packages_add_their_own_and_take_none_away(group, make, own, told, tmp_path, monkeypatch):
    info = tmp_path / "paint-1.0.dist-info"
    info.mkdir()
    (tmp_path / "paint.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paint\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dualsafe.{group}]\npaint = paint:load\n{own} = paint:load\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = make("paint:oil", **told)
    assert made.rest == "oil" and {**dict(zip(told, made.given)), **made.options}.items() >= told.items()
    assert type(make(own)).__name__ != "Paint"
    for wrong in (f"{own}:oil", "paint"):
        with pytest.raises(ValueError, match=r"must be one of: .*paint"):
            make(wrong)
