"""Labelled pictures in the columns of others' sets, and a board per policy on them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from guard_runs import REFUSED, SAFE, UNSAFE, Breaks
from PIL import Image
from typer.testing import CliRunner

from dualsafe.cli.guard import guard
from dualsafe.errors import BenchError, PairsError
from dualsafe.guard.labelled import read_labelled
from dualsafe.guard.policies import grade
from dualsafe.judges.endpoint import EndpointJudge
from dualsafe.judges.llavaguard import LlavaGuardJudge

RED, BLUE = (255, 0, 0), (0, 0, 255)
POLICIES = ("Policy L1", "Policy L2")


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, rows: list[dict], classes: dict[str, list[str]] | None = None) -> Path:
    """As `datasets` writes it: pictures as bytes and path, names of classes in the schema."""
    rows = [{k: {"bytes": v, "path": None} if isinstance(v, bytes) else v for k, v in row.items()} for row in rows]
    features = {name: {"names": names, "_type": "ClassLabel"} for name, names in (classes or {}).items()}
    about = json.dumps({"info": {"features": features | {"image": {"_type": "Image"}}}})
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": about}), path)
    return path


@pytest.fixture(scope="module")
def safe_edit_bench(tmp_path_factory):
    """Three pairs of a red original and its blue edit: red is unsafe under L1 alone, the third under both."""
    rows = []
    for policy in (0, 1):
        for i in range(3):
            for name, colour in ((f"{i}.jpg", RED), (f"{i}_edited.jpg", BLUE)):
                unsafe = int(colour == RED and (policy == 0 or i == 2))
                about = {"policy_name": policy, "policy": f"no red in {POLICIES[policy]}"}
                rows.append({"image": png(colour), "image_path": f"a/{name}", "safety_label": unsafe} | about)
    classes = {"safety_label": ["safe", "unsafe"], "policy_name": list(POLICIES)}
    return write_parquet(tmp_path_factory.mktemp("sets") / "test.parquet", rows, classes)


class SeesRed:
    """Calls red unsafe; told a policy, only where it is the first."""

    name = "sees-red"

    def __init__(self, policy: str = "L1"):
        self._policy = policy

    def under(self, policy: str) -> SeesRed:
        return SeesRed(policy)

    def verdicts(self, images):
        return [UNSAFE if "L1" in self._policy and image.getpixel((0, 0)) == RED else SAFE for image in images]


class Deaf:
    name = "deaf"

    def verdicts(self, images):
        return [UNSAFE if image.getpixel((0, 0)) == RED else REFUSED for image in images]


def test_safe_edit_bench_is_read_with_its_policies_and_pairs(safe_edit_bench):
    found = list(read_labelled(safe_edit_bench))
    assert len(found) == 12 and [each.policy_name for each in found[::6]] == list(POLICIES)
    assert (found[0].name, found[0].pair, found[0].unsafe) == ("a/0.jpg", "a/0", True)
    assert (found[1].name, found[1].pair, found[1].unsafe) == ("a/0_edited.jpg", "a/0", False)
    assert found[0].picture.getpixel((0, 0)) == RED and found[0].policy == "no red in Policy L1"


def test_other_sets_are_known_by_their_columns(tmp_path):
    about = {"image": png(RED), "category": "Hate"}
    unsafe_bench = write_parquet(
        tmp_path / "u.parquet", [about | {"safety_label": "Unsafe", "source": "Lexica", "text": "x"}]
    )
    llavaguard = write_parquet(tmp_path / "l.parquet", [about | {"rating": "Safe", "policy": "O1: Hate"}])
    copro = write_parquet(
        tmp_path / "c.parquet", [{"jpg_0": png(BLUE), "jpg_1": png(RED), "label_0": 1, "caption": "a red square"}]
    )
    (tmp_path / "x.png").write_bytes(png(RED))
    (tmp_path / "p.csv").write_text("image_path,safety_label\nx.png,unsafe\n")
    found = {path.stem: list(read_labelled(path)) for path in (unsafe_bench, llavaguard, copro, tmp_path / "p.csv")}
    assert {name: [each.unsafe for each in of] for name, of in found.items()} == {
        "u": [True], "l": [False], "c": [False, True], "p": [True],
    }  # fmt: skip
    assert found["u"][0].category == "Hate" and found["l"][0].policy == "O1: Hate"
    assert {each.pair for each in found["c"]} == {"c/row-1"}
    assert [each.picture.getpixel((0, 0)) for each in (*found["c"], *found["p"])] == [BLUE, RED, RED]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,text\nx.png,hello\n", "has the columns image, text; needed are"),
        ("image,safety_label\nx.png,maybe\n", "row 1: label 'maybe' must be one of safe"),
        ("image,safety_label\nx.png,safe\n,safe\n", "row 2: no picture"),
        ("image,safety_label\nx.png,safe\ny.png,safe\n", "row 2: .*y.png"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, said):
    (tmp_path / "x.png").write_bytes(png(RED))
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(PairsError, match=said):
        list(read_labelled(tmp_path / "t.csv"))


def test_a_board_per_policy_tells_who_goes_by_the_policy(safe_edit_bench, tmp_path):
    results = grade([safe_edit_bench], [SeesRed(), Deaf(), Breaks()], tmp_path, batch_size=5)
    assert results["told"] == {"sees-red": True, "deaf": False, "breaks": False}
    values = {
        policy: {judge: {name: e["value"] for name, e in found.items()} for judge, found in board.items()}
        for policy, board in results["board"].items()
    }
    first, second = (values[name] for name in POLICIES)
    assert first["sees-red"] == {
        "balanced_accuracy": 1, "unsafe_recall": 1, "false_positive_rate": 0, "paired_accuracy": 1, "flipped_pairs": 1,
        "no_answer": 0,
    }  # fmt: skip
    assert second["sees-red"]["unsafe_recall"] == 0 and second["sees-red"]["balanced_accuracy"] == 0.5
    assert second["sees-red"]["paired_accuracy"] == pytest.approx(2 / 3) and second["sees-red"]["flipped_pairs"] == 0
    assert first["deaf"]["unsafe_recall"] == 1 and first["deaf"]["paired_accuracy"] == 0
    assert first["deaf"]["false_positive_rate"] == 1 and first["deaf"]["no_answer"] == 0.5
    assert first["breaks"]["no_answer"] == 1 and first["breaks"]["unsafe_recall"] == 0
    across = {judge: found["value"] for judge, found in results["across"].items()}
    assert across == {"sees-red": 1.0, "deaf": 0.0, "breaks": 0.0}  # 0.jpg and 1.jpg, whose labels differ
    assert results["across"]["deaf"]["n"] == 2
    text = (tmp_path / "leaderboard.md").read_text()
    assert "## Policy L1" in text and "| sees-red | yes |" in text and "| deaf | no |" in text


def test_a_stopped_run_goes_on_to_the_same_results(safe_edit_bench, tmp_path):
    def stop(done):
        if done >= 10:
            raise KeyboardInterrupt

    whole = grade([safe_edit_bench], [SeesRed()], tmp_path / "whole", batch_size=5)
    with pytest.raises(KeyboardInterrupt):
        grade([safe_edit_bench], [SeesRed()], tmp_path / "cut", batch_size=5, progress=stop)
    again = grade([safe_edit_bench], [SeesRed()], tmp_path / "cut", resume=True, batch_size=5)
    assert again["board"] == whole["board"] and again["across"] == whole["across"]
    with pytest.raises(BenchError, match="judges is"):
        grade([safe_edit_bench], [Deaf()], tmp_path / "cut", resume=True, batch_size=5)
    with pytest.raises(BenchError, match="must have different names"):
        grade([safe_edit_bench], [Deaf(), Deaf()], tmp_path / "twice")


def test_judges_that_are_told_in_words_go_by_another_policy():
    model = SimpleNamespace(config=SimpleNamespace(name_or_path="guard"))
    for judge in (EndpointJudge("http://127.0.0.1:1/v1", "m", api_key="none"), LlavaGuardJudge(model, None)):
        told = judge.under("No red pictures.")
        assert "No red pictures." in told._instructions and "JSON object" in told._instructions
        assert "No red pictures." not in judge._instructions and told.name == judge.name


def test_the_command_prints_the_board(safe_edit_bench, tmp_path):
    arguments = ["policies", str(safe_edit_bench), "--judges", "picto", "--out", str(tmp_path / "run"), "--limit", "4"]
    said = CliRunner().invoke(guard, arguments)
    assert said.exit_code == 0 and "## Policy L1" in said.stdout, said.output
