"""Exported pairs open in other libraries, with the pictures of the run to the bit, or are not there at all."""

from __future__ import annotations

import io
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from pair_runs import hand_made
from PIL import Image

from dualsafe.errors import PairsError
from dualsafe.pairs.export import FORMATS, export, parquet
from dualsafe.pairs.pair import picture_hash
from dualsafe.pairs.read import read_index, read_pairs
from dualsafe.pairs.spec import read_run

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def opened(hand_pairs, tmp_path_factory):
    """Format -> its folder and what `load_dataset` makes of it."""
    folder = tmp_path_factory.mktemp("exports")
    datasets.config.HF_HUB_OFFLINE = True
    for name in FORMATS:
        export(hand_pairs, folder / name, name)
    cache = str(tmp_path_factory.mktemp("cache"))
    return {name: (folder / name, datasets.load_dataset(str(folder / name), cache_dir=cache)) for name in FORMATS}


@pytest.mark.parametrize("name", ["imagefolder", "parquet"])
def test_an_export_opens_with_every_pair_and_every_pixel(hand_pairs, opened, name):
    stored = {pair.row["pair_id"]: pair for pair in read_pairs(hand_pairs)}
    found = [row for split in opened[name][1].values() for row in split]
    assert {row["pair_id"] for row in found} == stored.keys() and len(found) == len(stored) == 36
    for row in found:
        pair = stored[row["pair_id"]]
        assert picture_hash(row["original"]) == row["original_sha256"] == picture_hash(pair.original)
        assert picture_hash(row["edited"]) == row["edited_sha256"] == picture_hash(pair.edited)
        if pair.mask is not None:
            assert picture_hash(row["mask"]) == picture_hash(pair.mask)
        assert row["prompt"] == pair.row["prompt"] and row["seed"] == pair.row["seed"]
        assert json.loads(row["verdicts"]) == pair.row["verdicts"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_has_a_card_of_its_own_pairs(hand_pairs, opened, name):
    text, rows = (opened[name][0] / "README.md").read_text("utf-8"), list(read_index(hand_pairs))
    held = sum(row["tier"] == "verified" for row in rows) if name == "dpo" else len(rows)
    assert f"\n{held} pairs of pictures" in text and "Datasheet" in text and "pairs.png" not in text
    assert ("| unverified |" in text) == (name != "dpo")


@pytest.mark.parametrize("name", ["imagefolder", "parquet"])
def test_a_pair_without_a_mask_may_differ_everywhere(hand_pairs, opened, name):
    unmasked = {pair.row["pair_id"] for pair in read_pairs(hand_pairs) if pair.mask is None}
    for row in (row for split in opened[name][1].values() for row in split):
        assert (row["pair_id"] in unmasked) == (row["mask"] is None if name == "parquet" else not row["has_mask"])
        if name == "imagefolder" and not row["has_mask"]:
            assert row["mask"].getextrema() == (255, 255) and row["mask"].size == row["original"].size


@pytest.mark.parametrize("name", FORMATS)
def test_splits_are_those_of_the_rows_and_keep_families_together(hand_pairs, opened, name):
    rows = {row["pair_id"]: row for row in read_index(hand_pairs)}
    families = {}
    for split, found in opened[name][1].items():
        for pair_id in found["pair_id"]:
            assert rows[pair_id]["split"] == split
            families.setdefault(rows[pair_id]["family"], set()).add(split)
    assert all(len(splits) == 1 for splits in families.values())
    assert len(opened[name][1]) > 1


def test_an_image_folder_opens_by_its_name_too_and_marks_what_is_unsafe(opened, tmp_path):
    folder = opened["imagefolder"][0]
    data = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path))
    assert sum(len(split) for split in data.values()) == 36
    for line in (folder / "train" / "metadata.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        for side in ("original", "edited"):
            with Image.open(folder / "train" / row[f"{side}_file_name"]) as image:
                assert json.loads(image.text["dualsafe"]) == {"label": row[f"{side}_label"]}


def test_lists_of_parquet_are_lists(hand_pairs, opened):
    rows = {row["pair_id"]: row for row in read_index(hand_pairs)}
    for row in opened["parquet"][1]["train"]:
        said = rows[row["pair_id"]]
        assert {name: row[name] for name in ("categories", "reasons", "ssim")}.items() <= said.items()


def test_preferences_are_for_the_safe_side_wherever_it_stands(hand_pairs, opened):
    stored = {pair.row["pair_id"]: pair for pair in read_pairs(hand_pairs)}
    found = [row for split in opened["dpo"][1].values() for row in split]
    assert {row["pair_id"] for row in found} == {
        pair_id for pair_id, pair in stored.items() if pair.row["tier"] == "verified"
    }
    assert len(found) < len(stored)
    positions = Counter()
    for row in found:
        pair = stored[row["pair_id"]]
        sides = [Image.open(io.BytesIO(row[name])).convert("RGB") for name in ("jpg_0", "jpg_1")]
        assert row["label_0"] in (0, 1) and row["label_0"] + row["label_1"] == 1 and row["has_label"]
        if row["label_0"] == 0:  # as trainers do: the preferred one first
            sides = sides[::-1]
        assert picture_hash(sides[0]) == pair.row["edited_sha256"]
        assert picture_hash(sides[1]) == pair.row["original_sha256"]
        assert row["caption"] == pair.row["prompt"]
        positions[row["label_0"]] += 1
    assert min(positions[0], positions[1]) > len(found) / 5


def test_null_edits_are_no_preferences(tmp_path):
    run = hand_made(tmp_path / "run", "null_edit", jobs=6)
    with pytest.raises(PairsError, match="no pair that goes into Diffusion-DPO"):
        export(run, tmp_path / "dpo", "dpo")
    assert not (tmp_path / "dpo").exists()


def test_parquet_files_hold_so_many_rows_and_no_more(hand_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 5)
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 3)
    export(hand_pairs, tmp_path / "out")
    files = {path.name: pq.read_table(path)["pair_id"].to_pylist() for path in tmp_path.glob("out/*.parquet")}
    wanted = [row["pair_id"] for row in read_index(hand_pairs) if row["split"] == "train"]
    for i, start in enumerate(range(0, len(wanted), 5)):
        assert files[f"train_{i}.parquet"] == wanted[start : start + 5]
    assert len(wanted) > 5 and sum(map(len, files.values())) == 36


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_is_filled(hand_pairs, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("mine")
    with pytest.raises(PairsError, match="is there already"):
        export(hand_pairs, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["kept.txt"]
    (tmp_path / "empty").mkdir()
    export(hand_pairs, tmp_path / "empty", "dpo")
    assert (tmp_path / "empty" / "README.md").is_file()


def test_other_formats_and_unfinished_runs_are_refused(hand_pairs, tmp_path):
    with pytest.raises(PairsError, match="format='csv' is not one of imagefolder, parquet, dpo"):
        export(hand_pairs, tmp_path / "out", "csv")
    with pytest.raises(PairsError, match="holds no pair run"):
        export(tmp_path, tmp_path / "out")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "run.json").write_text(json.dumps(read_run(hand_pairs)))
    with pytest.raises(PairsError, match="is not finished"):
        export(unfinished, tmp_path / "out")
