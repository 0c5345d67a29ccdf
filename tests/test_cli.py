"""`dualsafe generate` on tiny checkpoints and on picto: files, manifest, exit codes."""

from __future__ import annotations

import errno
import json

import pytest
import tiny
from PIL import Image
from typer.testing import CliRunner

from dualsafe.calibration import save
from dualsafe.cli import app
from dualsafe.files import write_whole

QUICK = ["--steps", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny.stable_diffusion().save_pretrained(folder)
    save({"settings": {"watch": 1.0}}, folder)  # random weights are as far from one thing as from another
    return str(folder)


def run(*arguments: str):
    return CliRunner().invoke(app, ["generate", *arguments])


def test_pictures_carry_their_settings_and_a_manifest_lists_them(model, tmp_path):
    result = run("a man with a knife", "a cat", "--model", model, "--out", str(tmp_path), "--seed", "3", *QUICK)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [row["decision"] for row in rows] == ["dual", "benign"]
    assert [row["seed"] for row in rows] == [3, 4]
    settings = json.loads(Image.open(tmp_path / rows[0]["safe_file"]).text["dualsafe"])
    assert settings["prompt"] == "a man with a knife" and settings["side"] == "safe"
    assert "unsafe_file" not in rows[0] and not list(tmp_path.glob("*unsafe*"))


def test_a_second_run_adds_and_overwrites_nothing(model, tmp_path):
    for _ in range(2):
        run("a cat", "--model", model, "--out", str(tmp_path), "--num-images", "2", *QUICK)
    assert len(list(tmp_path.glob("*_safe.png"))) == 4
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 4


def test_verify_asks_the_judge_beside_the_weights(tmp_path, model):
    result = run("a pirate in a park", "--verify", "--seed", "1", "--out", str(tmp_path), *QUICK)
    assert result.exit_code == 0, result.output
    row = json.loads((tmp_path / "manifest.jsonl").read_text())
    assert row["score"] is not None and (row["withheld"] or row["score"] < 0.5)
    assert Image.open(tmp_path / row["safe_file"]).size == (64, 64)  # the bundled picto
    refused = run("a pirate in a park", "--verify", "--model", model, "--out", str(tmp_path), *QUICK)
    assert refused.exit_code == 2 and "brings no judge" in refused.output


def test_a_pair_and_a_grid(model, tmp_path):
    result = run(
        *("a man with a knife", "--safe-prompt", "a man", "--pair", "--grid"),
        *("--safety-level", "high", "--model", model, "--out", str(tmp_path), *QUICK),
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "00000_unsafe.png").exists() and (tmp_path / "grid.png").exists()
    assert str(tmp_path / "grid.png") in result.output
    assert json.loads((tmp_path / "manifest.jsonl").read_text())["level"] == 0.75


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a cat", "--safety-level", "2"], "safety_level=2.0"),
        (["a cat", "--safety-level", "nan"], "safety_level=nan"),
        (["a cat", "--safety-level", "extreme"], "safety_level='extreme'"),
        (["a cat", "--guidance-scale", "nan"], "guidance_scale=nan must be a finite number"),
        (["a cat", "--guidance-scale", "-1"], "guidance_scale=-1.0: the least that is accepted here is 0"),
        (["a cat", "--seed", "-1"], "seed=-1 must be a whole number"),
        (["a cat", "a dog", "--seed", str(2**53 - 1)], "seed="),
        (["a cat", " "], "prompt=' ': say what to draw"),
        (["a cat", "x" * 4001], "4001 characters, over the 4000"),
        (["a cat", "a nude 9 year old child"], "prompt[1]: the prompt asks for sexual content involving minors"),
        (["a cat", "--device", "mps"], "--device mps"),
        (["a cat", "--device", "meta"], "--device meta"),
        (["a cat", "a dog", "--safe-prompt", "a cow"], "--safe-prompt was given 1 times"),
        (["a cat", "--model", "/nowhere"], "/nowhere is not a folder"),
        (["a cat", "--device", "abacus"], "--device abacus"),
        (["a cat", "--steps", "0"], "steps"),
        ([], "PROMPT"),
    ],
)
def test_bad_arguments_exit_2_with_one_line(tmp_path, arguments, said):
    result = run(*arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output and not (tmp_path / "out").exists()


def test_a_folder_without_a_name_is_refused(model):
    for empty in ("", " "):
        result = run("a cat", "--model", model, "--out", empty, *QUICK)
        assert result.exit_code == 2 and "name a folder" in result.output


def test_what_is_in_the_folder_stays(model, tmp_path):
    kept = {name: name for name in ("00000_safe.png", "00004_unsafe.png", "grid.png", "grid_00001.png")}
    for name in kept:
        (tmp_path / name).write_text(name)
    result = run("a cat", "--pair", "--grid", "--model", model, "--out", str(tmp_path), *QUICK)
    assert result.exit_code == 0, result.output
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    assert {"00005_safe.png", "00005_unsafe.png", "grid_00002.png"} <= {path.name for path in tmp_path.iterdir()}


def test_a_broken_manifest_is_found_before_anything_is_drawn(tmp_path):
    (tmp_path / "manifest.jsonl").write_text('{"prompt": "a cat"}\n{"prompt":\n')
    result = run("a cat", "--out", str(tmp_path), "--model", "/nowhere")  # which would be found next
    assert result.exit_code == 2 and "manifest.jsonl, line 2, is no JSON object" in result.output


def test_out_that_is_a_file_exits_2(model, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    result = run("a cat", "--model", model, "--out", str(file), *QUICK)
    assert result.exit_code == 2 and file.read_text() == "kept"


def test_a_full_disk_exits_1_and_leaves_nothing_half_written(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = run("a cat", "--model", model, "--out", str(tmp_path), *QUICK)
    assert result.exit_code == 1 and "No space left" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_what_was_there(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text("before")

    def fails(file):
        file.write(b"half")
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        write_whole(path, fails)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
