"""The notebook runs from top to bottom in an empty folder, shows what it says, and is stored without outputs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from dualsafe.judges import load_judge
from dualsafe.picto.world import SIZE

nbformat = pytest.importorskip("nbformat", reason="the notebook needs nbformat")
nbclient = pytest.importorskip("nbclient", reason="the notebook needs nbclient")
pytest.importorskip("ipykernel", reason="the notebook needs ipykernel")

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "walkthrough.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after it ran, and the folder in which it did."""
    folder, kernel = tmp_path_factory.mktemp("notebook"), tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):  # else it writes to the home folder
            patch.setenv(name, str(kernel))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook, folder


def shown(notebook, heading: str) -> list[Image.Image]:
    """The pictures that the section with this heading shows in a row."""
    heads = [cell.source.startswith(f"## {heading}") for cell in notebook.cells]
    outputs = notebook.cells[heads.index(True) + 1].outputs
    png = next(output.data["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    row = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    side = row.height
    return [row.crop((left, 0, left + side, side)).resize((SIZE, SIZE)) for left in range(0, row.width, side)]


def test_it_is_stored_without_outputs():
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in stored.cells)


@pytest.mark.slow
def test_it_runs_in_an_empty_folder(executed):
    notebook, folder = executed
    assert [path.name for path in folder.iterdir()] == ["walkthrough_dial.png"]
    assert "1.00 x stock" in notebook.cells[-1].outputs[0].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heading", "items"),
    [
        ("One picture", {0: "flower"}),
        ("The dial", {0: "knife", -1: "flower"}),
        ("The pair", {0: "bomb", -1: "apple"}),
        ("Levels for each prompt", {0: "umbrella", 1: "water gun"}),
        ("A policy", {0: "lantern"}),
        ("A judge", {0: "knife", 1: "flower"}),
    ],
)
def test_its_pictures_show_what_it_says(executed, heading, items):
    pictures = shown(executed[0], heading)
    answers = load_judge("picto").judge([pictures[at] for at in items])
    assert [answer.labels["item"] for answer in answers] == list(items.values())
