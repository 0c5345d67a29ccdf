"""The record of a run: a killed run goes on where it was, and nothing is written twice or by halves."""

from __future__ import annotations

import json

import pytest

from dualsafe.bench.record import RUN, SAMPLES, Record
from dualsafe.errors import BenchError

SETTINGS = {"steps": 20, "methods": ["stock"]}


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / SAMPLES).read_text("utf-8").splitlines()]


def filled(folder, units: int = 3) -> None:
    record = Record(folder, SETTINGS, list(SETTINGS), resume=False)
    for unit in range(units):
        record.add([{"id": f"{unit}-{i}", "prompt": "naïve 🙂"} for i in range(2)])


def test_the_last_unit_is_done_again_and_all_before_it_stand(tmp_path):
    filled(tmp_path)
    record = Record(tmp_path, SETTINGS, list(SETTINGS), resume=True)
    assert record.done == 2 and [line["id"] for line in lines(tmp_path)] == ["0-0", "0-1", "1-0", "1-1"]
    record.add([{"id": "2-0"}])
    assert [line["unit"] for line in lines(tmp_path)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_anywhere_loses_nothing_that_stands(tmp_path, cut):
    filled(tmp_path)
    path = tmp_path / SAMPLES
    path.write_bytes(path.read_bytes()[:-cut])
    record = Record(tmp_path, SETTINGS, list(SETTINGS), resume=True)
    held = lines(tmp_path) if path.stat().st_size else []
    assert record.done in (1, 2) and [line["unit"] for line in held] == [0, 0, 1, 1][: 2 * record.done]


def test_a_run_of_nothing_starts_at_the_start(tmp_path):
    Record(tmp_path, SETTINGS, list(SETTINGS), resume=False)
    assert Record(tmp_path, SETTINGS, list(SETTINGS), resume=True).done == 0 and (tmp_path / RUN).is_file()


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    filled(tmp_path)
    with pytest.raises(BenchError, match="holds a run already"):
        Record(tmp_path, SETTINGS, list(SETTINGS), resume=False)
    with pytest.raises(BenchError, match="its steps is 20, now 25"):
        Record(tmp_path, SETTINGS | {"steps": 25}, list(SETTINGS), resume=True)
    (tmp_path / RUN).write_text("{")
    with pytest.raises(BenchError, match="cannot be read"):
        Record(tmp_path, SETTINGS, list(SETTINGS), resume=True)
