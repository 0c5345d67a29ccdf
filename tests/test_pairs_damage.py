"""Damage to a pair run: it is named, with what mends it; and what mends it does."""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pair_runs import made_in, pair_files
from typer.testing import CliRunner

from dualsafe.bench.tables import open_table
from dualsafe.cli import app
from dualsafe.errors import PairsError, TaskError
from dualsafe.pairs.check import check
from dualsafe.pairs.export import FORMATS, export
from dualsafe.pairs.prompts import read_prompts
from dualsafe.pairs.run import finish

COMMAND = [
    "pairs",
    "run",
    "--prompts",
    "picto:explicit",
    "--editor",
    "exact",
    "--limit",
    "12",
    "--pairs-per-prompt",
    "2",
    "--shard-size",
    "4",
]


def run(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result


def resumed(folder: Path):
    return run(*COMMAND, "--device", "cpu", "--resume", "--out", folder)


@pytest.fixture
def folder(exact_pairs, tmp_path) -> Path:
    return Path(shutil.copytree(exact_pairs, tmp_path / "run"))


def flip(path: Path, after: bytes = b"") -> None:
    """Turns one bit, behind a mark in the file."""
    content = bytearray(path.read_bytes())
    content[content.index(after) + len(after) + 8] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_is_named_with_the_commands_that_mend_it(folder, exact_pairs):
    flip(folder / "shards/00001.tar", b"IDAT")
    for result in (resumed(folder), run("pairs", "export", folder, "--out", folder.with_name("out"))):
        assert result.exit_code == 2 and "00001.tar, pair " in result.output and "is damaged" in result.output
        assert f"pairs verify {folder} --repair" in result.output and "--resume" in result.output
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
    found = run("pairs", "verify", folder, "--repair")
    assert found.exit_code == 1 and "shard 1: 00001.tar has other bytes than were written" in found.output
    assert "--resume" in found.output
    assert resumed(folder).exit_code == 0
    assert pair_files(folder) == pair_files(exact_pairs) and run("pairs", "verify", folder).exit_code == 0


def test_a_damaged_index_is_named_too(folder):
    index = folder / "shards/00001.parquet"
    index.write_bytes(bytes(index.stat().st_size))
    result = run("pairs", "export", folder, "--out", folder.with_name("out"))
    assert result.exit_code == 2 and "00001.parquet is damaged" in result.output
    assert f"pairs verify {folder} --repair" in result.output


@pytest.mark.parametrize(
    ("lost", "cut"),
    [
        (["00001.tar"], None),
        (["00001.tar", "00001_stats.json"], None),
        (["00000.parquet"], None),
        (["00003.tar"], 700),
    ],
)
def test_a_shard_that_is_lost_or_cut_off_is_missed_and_made_again_alone(folder, exact_pairs, lost, cut):
    made = {path: path.stat().st_mtime_ns for path in (folder / "shards").glob("*.tar")}
    for path in (folder / "shards" / name for name in lost):
        path.unlink() if cut is None else os.truncate(path, cut)
    shard = int(lost[0][:5])
    said = r"missing|is not done" if cut is None else r"00003\.tar has \d+ bytes, not"
    assert [index for index, reason in check(folder) if re.search(said, reason)] == [shard]
    with pytest.raises(PairsError, match=rf"shard {shard} of .*({said}).*; `dualsafe pairs verify"):
        made_in(folder)
    assert finish(folder) is None
    assert resumed(folder).exit_code == 0 and pair_files(folder) == pair_files(exact_pairs)
    again = {path for path, time in made.items() if path.stat().st_mtime_ns != time}
    assert again == {folder / f"shards/{shard:05d}.tar"}


def test_a_mark_that_cant_be_read_is_no_mark(folder):
    for content in (b"", b"[]", b'{"files": []}', b'{"files": {"00000.tar": 3}}', b"\xff"):
        (folder / "shards/00000_stats.json").write_bytes(content)
        assert [(index, "cannot be read" in why or "is not done" in why) for index, why in check(folder)] == [(0, True)]
    assert resumed(folder).exit_code == 0 and list(check(folder)) == []


def test_a_damaged_plan_is_written_again(folder, exact_pairs):
    for name, content in {"00000.jsonl": b"{", "errors.jsonl": b"\xff", "00001.jsonl": None}.items():
        path = folder / "plan" / name
        path.unlink() if content is None else path.write_bytes(content)
        assert "is not as it was written" in run("pairs", "verify", folder).output
    assert resumed(folder).exit_code == 0 and run("pairs", "verify", folder).exit_code == 0
    assert (folder / "plan/00001.jsonl").read_bytes() == (exact_pairs / "plan/00001.jsonl").read_bytes()


def test_a_damaged_run_json_is_written_again(folder):
    for content in ("{", "[]", "{}"):
        (folder / "run.json").write_text(content)
        for result in (run("pairs", "verify", folder), run("pairs", "export", folder, "--out", folder / "out")):
            assert result.exit_code == 2 and "run.json" in result.output and "--resume" in result.output
    assert resumed(folder).exit_code == 0 and run("pairs", "verify", folder).exit_code == 0


def test_foreign_files_are_named_and_not_read(folder, exact_pairs):
    for name in ("notes.txt", "00007.tar", "00007_stats.json"):
        (folder / "shards" / name).write_text("{}")
    said = run("pairs", "verify", folder)
    assert said.exit_code == 0 and all(name in said.output for name in ("notes.txt", "00007.tar"))
    assert made_in(folder) == made_in(exact_pairs)


def test_a_foreign_plan_is_left_alone(tmp_path):
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/holiday.txt").write_text("sea")
    result = run(*COMMAND, "--out", tmp_path)
    assert result.exit_code == 2 and "is not a pair run's" in result.output
    assert (tmp_path / "plan/holiday.txt").read_text() == "sea"


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_is_full_while_exporting_is_named_and_leaves_nothing(folder, format, small_files):
    out = folder.with_name("exported")
    with small_files(2_000), pytest.raises(OSError, match=f"{out} cannot be written, and nothing of it is there"):
        export(folder, out, format)
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
    export(folder, out, format)
    assert out.is_dir()


@pytest.fixture
def small_files() -> Callable:
    """No file may be larger, as on a disk that is full."""
    from contextlib import contextmanager

    @contextmanager
    def limited(most: int):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


def test_a_run_of_which_nothing_is_written_fails(tmp_path):
    (tmp_path / "prompts.csv").write_text("prompt\na cat on a street\n")
    result = run(*COMMAND[:2], "--prompts", tmp_path / "prompts.csv", "--scope", "words", "--out", tmp_path / "run")
    assert result.exit_code == 1 and "no pair was written" in result.output and "README" not in result.output


def test_a_long_cell_costs_its_row_and_no_other(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text(f"prompt\n{'x' * 200_000}\na man with a knife\n")
    first, second = read_prompts(str(file), "counterfactual", None).rows
    assert "200000 characters" in first and second.prompt == "a man with a knife"


@pytest.mark.parametrize("head", ["prompt,prompt", "Prompt,prompt", "id,prompt, id"])
def test_two_columns_of_one_name_are_no_guess(tmp_path, head):
    file = tmp_path / "prompts.csv"
    file.write_text(f"{head}\n1,2,3\n")
    with pytest.raises((PairsError, TaskError), match="two columns called"):
        read_prompts(str(file), "counterfactual", None)
    if head == "prompt,prompt":
        with pytest.raises(TaskError, match="rename one"):
            open_table(file)
