"""Readers of prompts: every format, whatever the cells hold, and notes of what was changed or left out."""

from __future__ import annotations

import csv
import json
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsafe.bench.readers import read_task
from dualsafe.bench.rows import Notes, RowReader
from dualsafe.bench.source import Hub
from dualsafe.bench.tables import hash_of
from dualsafe.bench.tasks import TASKS, Task, custom_task, resolve_task
from dualsafe.errors import TaskError
from dualsafe.picto.prompts import prompt_set

FIELDS = ("id", "seed", "guidance_scale", "categories", "height", "width")
TASK = Task(
    name="mine",
    description="For tests.",
    kind="unsafe",
    policy="i2p",
    policy_hash=None,
    columns={"prompt": ["prompt", "text"]} | {field: [field, None] for field in FIELDS},
    data_hash=None,
    guidance_scale=7,
    metrics=["unsafe_rate"],
)
FORMATS = ("csv", "tsv", "jsonl", "parquet")
FILE_TASKS = {
    "i2p": ["", "prompt", "categories", "evaluation_seed", "evaluation_guidance", "sd_image_width", "sd_image_height"],
    "ring-a-bell": ["sensitive prompt", "normal prompt"],
    "mma-diffusion": ["target_prompt", "adv_prompt", "clean_prompt"],
    "unlearndiff": ["Unnamed: 0", "prompt", "categories", "evaluation_seed", "evaluation_guidance", "case_number"],
    "coco": ["case_number", "source", "prompt", "evaluation_seed", "coco_id"],
}


def write(path: Path, rows: list[dict]) -> Path:
    """The rows in the format that the suffix names."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    return path


def raw(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, task: Task = TASK, limit: int | None = None):
    prompts = read_task(task, path, limit)
    return list(prompts.rows), prompts


def noted(prompts, start: str) -> str:
    return next(note for note in prompts.notes if note.startswith(start))


def real_looking(header: list[str], number: int) -> dict:
    cells = {
        "evaluation_seed": 4261553411 + number,
        "evaluation_guidance": 255 if number == 2 else 7,
        "sd_image_width": 384,
        "sd_image_height": 512,
        "case_number": 9966 + number,
        "coco_id": 387854 + number,
        "categories": "violence, self-harm" if number == 1 else "sexual",
        "source": "coco-30k",
    }
    return {name: cells.get(name, f"{name} {number}, 'quoted' \"twice\"\n🪦") for name in header}


# Tasks


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("picto-")])
def test_picto_prompts_come_with_their_truth(name):
    task = resolve_task(name)
    prompts = read_task(task)
    rows = list(prompts.rows)
    cases = prompt_set(task.picto.set, task.picto.count, task.picto.seed)
    assert [row.prompt for row in rows] == [case.prompt for case in cases]
    assert all(row.truth["item"] == case.scene.item for row, case in zip(rows, cases))
    # A prompt of an artist who leads to nothing unsafe has no category.
    assert all(bool(row.categories) == case.scene.unsafe for row, case in zip(rows, cases))
    assert len({row.id for row in rows}) == len(rows) == 200
    assert prompts.data_hash == task.data_hash and not prompts.notes


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", FILE_TASKS)
def test_a_file_task_reads_its_published_columns(tmp_path, name, suffix):
    data = [real_looking(FILE_TASKS[name], number) for number in (1, 2, 3)]
    path = write(tmp_path / f"data.{suffix}", data)
    rows, prompts = read(path, resolve_task(name))
    column = {"ring-a-bell": "sensitive prompt", "mma-diffusion": "adv_prompt"}.get(name, "prompt")
    assert [row.prompt for row in rows] == [cells[column] for cells in data]
    assert [row.number for row in rows] == [1, 2, 3] and len({row.id for row in rows}) == 3
    assert prompts.data_hash == hash_of(path)
    assert prompts.notes[0].startswith(f"columns: prompt from {column!r}")
    if "evaluation_seed" in FILE_TASKS[name]:
        assert [row.seed for row in rows] == [4261553412, 4261553413, 4261553414]


def test_i2p_and_its_categories_agree_on_a_row(tmp_path):
    path = write(tmp_path / "i2p.csv", [real_looking(FILE_TASKS["i2p"], number) for number in (1, 2, 3)])
    whole, prompts = read(path, resolve_task("i2p"))
    assert whole[0].categories == ("violence", "self-harm") and whole[0].height == 512 and whole[0].width == 384
    assert [row.guidance_scale for row in whole] == [7, 7, 7]
    assert noted(prompts, "guidance_scale is not a number in [1, 30], 7 is taken: row 2")
    part, prompts = read(path, resolve_task("i2p-self-harm"))
    assert part == [whole[0]]
    assert read(path, resolve_task("i2p-sexual"))[0] == whole[1:]
    with pytest.raises(TaskError, match="'i2p-hate' has no prompt"):
        read(path, resolve_task("i2p-hate"))
    hub = {"prompt": "a", "categories": "hate", "sd_seed": 5, "sd_guidance_scale": 9.5}  # its copy has other names
    (row,), _ = read(
        write(tmp_path / "hub.csv", [hub | {"sd_image_width": 512, "sd_image_height": 512}]), resolve_task("i2p")
    )
    assert (row.seed, row.guidance_scale) == (5, 9.5)


def test_a_custom_file_is_read_by_its_guessed_columns(tmp_path):
    path = write(tmp_path / "a.csv", [{"Adv_Prompt": "a", "sd_seed": 3, "Category": "hate"}])
    rows, prompts = read(path, custom_task(path))
    assert (rows[0].prompt, rows[0].seed, rows[0].categories) == ("a", 3, ("hate",))
    assert prompts.notes == ["columns: prompt from 'Adv_Prompt', seed from 'sd_seed', categories from 'Category'"]


def test_columns_that_may_be_missing_give_no_note(tmp_path):
    rows, prompts = read(write(tmp_path / "a.csv", [{"text": "a cat"}]))
    assert prompts.notes == ["columns: prompt from 'text'"]
    assert (rows[0].id, rows[0].seed, rows[0].guidance_scale, rows[0].categories) == ("row-1", None, 7, ())


# Cells


@pytest.mark.parametrize("suffix", FORMATS)
def test_blank_prompts_are_left_out_and_noted(tmp_path, suffix):
    data = [{"prompt": prompt, "n": 1} for prompt in ("a", "", "b", " \t", "c")]
    rows, prompts = read(write(tmp_path / f"a.{suffix}", data))
    assert [(row.id, row.number) for row in rows] == [("row-1", 1), ("row-3", 3), ("row-5", 5)]
    assert noted(prompts, "blank") == "blank prompt, row left out: rows 2, 4"


KEPT = [("seed", "4290749014", 4290749014), ("seed", "4290749014.0", 4290749014), ("seed", "0", 0)]
KEPT += [("seed", "9007199254740993", 9007199254740993)]  # more than a float holds
KEPT += [("guidance_scale", text, float(text)) for text in ("7", "7.5", "1", "30")]
REPLACED = [("seed", text, None) for text in ("", "abc", "-1", "1.5", "nan", "inf", "1e400", str(2**64))]
REPLACED += [("guidance_scale", text, 7) for text in ("255", "0", "", "seven", "nan")]


@pytest.mark.parametrize(("field", "text", "value"), [*KEPT, *REPLACED])
def test_a_number_is_taken_or_replaced_with_a_note(tmp_path, field, text, value):
    rows, prompts = read(write(tmp_path / "a.csv", [{"prompt": "a", field: text}]))
    assert getattr(rows[0], field) == value
    notes = [
        note for note in prompts.notes if note.startswith(f"{field} is ") and note.split(" (")[0].endswith("row 1")
    ]
    assert bool(notes) == ((field, text, value) in REPLACED) and len(prompts.notes) == 1 + len(notes)


@pytest.mark.parametrize(
    "sizes", [("512", "384"), ("512", "500"), ("32", "512"), ("4096", "512"), ("", "512"), ("512", "wide")]
)
def test_sizes_are_taken_in_pairs_or_not_at_all(tmp_path, sizes):
    rows, prompts = read(write(tmp_path / "a.csv", [{"prompt": "a", "height": sizes[0], "width": sizes[1]}]))
    good = sizes == ("512", "384")
    assert (rows[0].height, rows[0].width) == ((512, 384) if good else (None, None))
    assert any("the model's own size is taken: row 1" in note for note in prompts.notes) != good


def test_a_note_shows_rows_as_ranges_and_the_first_value(tmp_path):
    data = [{"prompt": "a", "guidance_scale": g} for g in (7, 255, 120, 7, 31)]
    _, prompts = read(write(tmp_path / "a.csv", data))
    assert prompts.notes[1] == "guidance_scale is not a number in [1, 30], 7 is taken: rows 2-3, 5 (first: '255')"


def test_ids_are_made_unique_and_missing_ones_named_after_the_row(tmp_path):
    data = [{"id": name, "prompt": "a"} for name in ("x", "x", "", "row-3", "x#2", "x#7", "x")]
    rows, prompts = read(write(tmp_path / "a.csv", data))
    assert [row.id for row in rows] == ["x", "x#2", "row-3", "row-3#4", "x#2#5", "x#7", "x#7#7"]
    assert noted(prompts, "id stands twice").startswith("id stands twice, the row's number is added: rows 2, 4-5, 7")
    assert noted(prompts, "id is missing") == "id is missing, named after the row: row 3"


def test_a_long_prompt_is_kept_whole_and_noted(tmp_path):
    rows, prompts = read(write(tmp_path / "a.csv", [{"prompt": "word " * 78, "n": 1}]))
    assert rows[0].prompt == "word " * 78
    assert noted(prompts, "prompt has over 77 words").endswith("row 1")


def test_cells_of_other_types_are_read_or_noted(tmp_path):
    data = [
        {"id": 7, "prompt": "a", "seed": 3, "guidance_scale": 7, "categories": ["hate", " sexual "]},
        {"id": None, "prompt": 12, "seed": True},
        {"prompt": "b", "seed": [1], "guidance_scale": float("nan"), "categories": None},
        {"prompt": "half \ud83e", "seed": 2.0, "guidance_scale": True},
    ]
    rows, prompts = read(write(tmp_path / "a.jsonl", data))
    assert (rows[0].id, rows[0].categories) == ("7", ("hate", "sexual"))
    assert [row.seed for row in rows] == [3, None, 2] and [row.guidance_scale for row in rows] == [7, 7, 7]
    assert noted(prompts, "prompt is not text") == "prompt is not text, row left out: row 2 (first: 12)"
    assert rows[2].prompt == "half ?" and noted(prompts, "prompt has half a surrogate pair").endswith("row 4")


# Files as they are


@pytest.mark.parametrize(
    ("name", "content", "expected", "said"),
    [
        ("a.csv", "\ufeffprompt,seed\r\na cat,1\r\n", [("a cat", 1)], None),
        ("a.jsonl", '\ufeff{"prompt": "a cat"}\n', [("a cat", 1)], None),
        ("a.csv", 'prompt,seed\n"a\nb ❤️‍🔥, ""c""",1\n\n\nd,2\n', [('a\nb ❤️‍🔥, "c"', 1), ("d", 2)], None),
        (
            "a.csv",
            "prompt,seed\na\nb,1,,\na cat, a dog,1\nc,2\n",
            [("a", 1), ("b", 2), ("c", 4)],
            "row has more than 2 cells, left out: row 3",
        ),
    ],
    ids=["mark", "mark-jsonl", "quotes", "ragged"],
)
def test_odd_but_sound_files_are_read(tmp_path, name, content, expected, said):
    rows, prompts = read(raw(tmp_path / name, content))
    assert [(row.prompt, row.number) for row in rows] == expected
    assert said is None or said in prompts.notes


def test_broken_jsonl_lines_are_left_out(tmp_path):
    text = b'{"prompt": "a"}\n{"prompt": \n["b"]\n\n{"prompt": "\xff"}\n' + b"[" * 100_000 + b'\n{"prompt": "c"}\n'
    rows, prompts = read(raw(tmp_path / "a.jsonl", text))
    assert [(row.prompt, row.number) for row in rows] == [("a", 1), ("c", 6)]
    assert noted(prompts, "row is not JSON,") == "row is not JSON, left out: rows 2, 4-5"
    assert noted(prompts, "row is not a JSON object") == "row is not a JSON object, left out: row 3"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"prompt\n \n", "has no prompt: .*blank prompt, row left out: row 1"),
        ("a.csv", b"prompt\n", "has no prompt"),
        ("a.csv", b"", "its columns: none"),
        ("a.jsonl", b"\n", "its columns: none"),
        ("a.csv", b"prompt,prompt\na,b\n", "two columns called 'prompt'"),
        ("a.csv", b"prompts,cfg\na,7\n", "no column 'prompt' or 'text' for prompt; its columns: prompts, cfg"),
        ("a.csv", b'prompt,seed\na,1\n"b,2\nc,3\n', r"a\.csv is not CSV, line 4"),
        ("a.csv", b"prompt\n\xff\n", r"a\.csv is not UTF-8 text"),
        ("a.parquet", b"prompt\na\n", r"a\.parquet is not parquet"),
        ("a.xlsx", b"prompt\na\n", r"a\.xlsx is not one of \.csv, \.tsv, \.jsonl, \.parquet"),
        ("a.csv", None, r"a\.csv cannot be read"),
        ("a.jsonl", None, r"a\.jsonl cannot be read"),
        ("a.parquet", None, r"a\.parquet cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(tmp_path, name, content, said):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    if content is not None:
        raw(tmp_path / name, content)
    with pytest.raises(TaskError, match=said):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "changed", "file", "limit", "said"),
    [
        ("picto-benign", {"policy_hash": "0" * 16}, None, None, "pins policy 'picto' to"),
        ("picto-benign", {}, "a.csv", None, "writes its own prompts"),
        ("picto-benign", {}, None, 0, "limit=0 must be at least 1"),
        ("coco", {}, None, None, "'coco' needs a file"),
    ],
)
def test_what_a_task_does_not_take_is_refused(tmp_path, name, changed, file, limit, said):
    with pytest.raises(TaskError, match=said):
        read_task(resolve_task(name).model_copy(update=changed), file and tmp_path / file, limit)


# Hash, limit, passes, memory


def test_a_file_that_is_not_the_pinned_one_is_refused_with_both_hashes(tmp_path):
    path = write(tmp_path / "a.csv", [{"prompt": "a"}])
    assert read(path, TASK.model_copy(update={"data_hash": hash_of(path)}))[1].data_hash == hash_of(path)
    with pytest.raises(TaskError, match=rf"pins its data to {'0' * 64}, found {hash_of(path)}"):
        read_task(TASK.model_copy(update={"data_hash": "0" * 64}), path)


@pytest.mark.parametrize("limit", [1, 2, 3, 99])
def test_a_limit_counts_prompts_and_notes_only_what_it_gives(tmp_path, limit):
    path = write(tmp_path / "a.csv", [{"prompt": p, "seed": ""} for p in ("a", "", "b", "c")])
    rows, prompts = read(path, limit=limit)
    assert [row.prompt for row in rows] == ["a", "b", "c"][:limit]
    assert noted(prompts, "seed").endswith({1: ": row 1", 2: ": rows 1, 3"}.get(limit, ": rows 1, 3-4"))
    assert any(note.startswith("blank") for note in prompts.notes) == (limit > 1)


def test_each_pass_starts_over(tmp_path):
    rows, prompts = read(write(tmp_path / "a.csv", [{"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"}]))
    notes = prompts.notes
    assert list(prompts.rows) == rows and prompts.notes == notes


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_file_is_not_held_in_memory(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", [{"prompt": f"{i} " + "x" * 4000} for i in range(2000)])
    prompts = read_task(TASK, path)
    tracemalloc.start()
    assert sum(1 for _ in prompts.rows) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 8_000_000 > 8 * peak


# Datasets and packages


def test_a_dataset_is_read_where_no_file_is_given(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "train.csv", [real_looking(FILE_TASKS["i2p"][1:], number) for number in (1, 2, 3)])
    task = resolve_task("i2p").model_copy(update={"dataset": Hub(id=str(folder))})
    prompts = read_task(task)
    expected, _ = read(folder / "train.csv", task)
    assert list(prompts.rows) == expected
    assert prompts.data_hash != hash_of(folder / "train.csv") and len(prompts.data_hash) == 64
    read_task(task.model_copy(update={"data_hash": prompts.data_hash}))
    with pytest.raises(TaskError, match="pins its data to"):
        read_task(task.model_copy(update={"data_hash": "0" * 64}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=r"cannot be loaded, give its file instead"):
        read_task(TASK.model_copy(update={"dataset": Hub(id=str(tmp_path / "empty"))}))


@pytest.mark.parametrize("module", ["pyarrow.parquet", "datasets"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    path = raw(tmp_path / "a.parquet", b"") if module != "datasets" else None
    task = TASK.model_copy(update={"dataset": Hub(id="a/b")})
    with pytest.raises(ImportError, match=rf"{module.split('.')[0]} is not installed: pip install 'dualsafe\[bench\]'"):
        read_task(task, path)


# Whatever comes

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_any_text_in_a_csv_comes_back_as_it_was_or_is_noted(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    write(path, [dict(zip(("prompt", "seed", "guidance_scale"), cells)) for cells in rows])
    expected = [(number, row[0]) for number, row in enumerate(rows, 1) if row[0].strip()]
    if not expected:
        with pytest.raises(TaskError, match="has no prompt"):
            read(path)
        return
    assert [(row.number, row.prompt) for row in read(path)[0]] == expected


@settings(max_examples=300)
@given(cells=st.lists(ANYTHING, min_size=7, max_size=7))
def test_no_cell_breaks_a_row(cells):
    fields = ("prompt", *FIELDS)
    notes = Notes()
    row = RowReader({field: field for field in fields}, ",", 7, notes).read(1, dict(zip(fields, cells)))
    assert row is not None or notes.lines()
    if row:
        assert row.prompt.strip() and row.id and 1 <= row.guidance_scale <= 30
        assert row.seed is None or row.seed >= 0
        assert (row.height is None) == (row.width is None)
