"""A run's card opens the run, says what is in it and nothing that isn't known; its previews show nothing unsafe."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from pair_runs import hand_made
from PIL import Image

from dualsafe.pairs import layout
from dualsafe.pairs.card import write_card
from dualsafe.pairs.export import FORMATS, export
from dualsafe.pairs.pair import picture_hash
from dualsafe.pairs.previews import TILE, write_previews
from dualsafe.pairs.read import read_pairs, read_rows
from dualsafe.pairs.row import METRICS, index_schema
from dualsafe.pairs.run import STATS
from dualsafe.pairs.spec import read_run

datasets = pytest.importorskip("datasets")
SECTIONS = (
    "Motivation",
    "Composition",
    "Collection process",
    "Preprocessing, cleaning, labelling",
    "Uses",
    "Distribution",
    "Maintenance",
)


def carded(folder) -> str:
    stats = json.loads((folder / STATS).read_text("utf-8"))
    return write_card(folder, stats, read_run(folder)).read_text("utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = hand_made(tmp_path_factory.mktemp("pairs") / "run")
    write_previews(folder, count=5)
    return folder


@pytest.fixture(scope="module")
def card(run):
    return carded(run)


def test_the_header_is_one_of_the_hub(card):
    from huggingface_hub import DatasetCard

    data = DatasetCard(card).data
    assert data.license == "unknown" and data.size_categories == ["n<1K"] and data["viewer"] is False
    assert "not-for-all-audiences" in data.tags
    assert data["extra_gated_prompt"] and "checkbox" in data["extra_gated_fields"].values()


def test_load_dataset_opens_a_run_by_its_card(run, card, tmp_path):
    datasets.config.HF_HUB_OFFLINE = True
    pairs = datasets.load_dataset(str(run), split="pairs", cache_dir=str(tmp_path))
    stored = list(read_pairs(run))
    assert len(pairs) == len(stored) == 36
    for found, pair in zip(pairs, stored):
        assert picture_hash(found["original.png"]) == pair.row["original_sha256"]
        assert picture_hash(found["edited.png"]) == pair.row["edited_sha256"]
        assert (found["mask.png"] is None) == (pair.mask is None)
        assert found["json"] == pair.row
    assert "mask.png" in next(iter(datasets.load_dataset(str(run), split="pairs", streaming=True)))


def test_load_dataset_opens_the_index(run, tmp_path):
    files = str(run / "shards" / "*.parquet")
    index = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert index["pair_id"][:] == [row["pair_id"] for row in read_rows(run)]


def test_webdataset_reads_the_shards(run):
    webdataset = pytest.importorskip("webdataset")
    shards = webdataset.WebDataset(str(run / "shards" / "{00000..00002}.tar"), shardshuffle=False).decode("pil")
    found = {sample["__key__"]: sample for sample in shards}
    assert len(found) == 36
    for pair in read_pairs(run):
        sample = found[pair.row["pair_id"]]
        assert picture_hash(sample["original.png"]) == pair.row["original_sha256"] and sample["json"] == pair.row


def test_every_section_of_the_datasheet_says_something(card):
    sheet = card[card.index("# Datasheet") :]
    parts = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", sheet, re.S | re.M))
    assert tuple(parts) == SECTIONS
    for text in parts.values():
        answers = re.findall(r"- \*\*[^*]+\*\* (.+)", text)
        assert len(answers) >= 2 and all(len(answer) > 3 for answer in answers)
    assert "{{" not in card and "None" not in card.replace("None.", "").replace(json.dumps(None), "")


def test_numbers_are_those_of_the_run(run, card):
    rows = list(read_rows(run))
    unverified = sum(row["tier"] == "unverified" for row in rows)
    assert f"| unverified | {unverified} | {unverified / 36:.1%} |" in card
    assert f"| verified | {36 - unverified} | {1 - unverified / 36:.1%} |" in card
    assert f"| `judge/one` | edited | 0 | {36 - unverified} | {unverified} |" in card
    assert f"| no | {unverified} |" in card
    assert "| weapons \\| sharp |" in card
    families = {row["family"] for row in rows if row["split"] == "train"}
    train = sum(row["split"] == "train" for row in rows)
    assert f"| train | {train} | {train / 36:.1%} | {len(families)} |" in card
    assert f"covers everything: {sum(pair.mask is None for pair in read_pairs(run))}." in card


def test_what_a_run_knows_decides_what_its_card_says(run, card, tmp_path):
    assert "Existing pictures may show real people" not in card
    assert "The command wasn't recorded" in card
    null = hand_made(tmp_path / "null", "null_edit", jobs=6)
    real = hand_made(tmp_path / "real", "real_edit", jobs=6)
    assert "Existing pictures may show real people, whose consent the run knows nothing of" in carded(real)
    assert "an edit that leaves it safe" in carded(null)


def test_every_column_is_explained():
    names = {
        name for columns in (layout.ROW, layout.METRICS, layout.JSON) for key in columns for name in key.split(", ")
    }
    assert names == set(index_schema().names) and set(layout.METRICS) == set(METRICS)


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_has_a_card_of_its_own_pairs(run, tmp_path, name):
    export(run, tmp_path / name, name)
    text = (tmp_path / name / "README.md").read_text("utf-8")
    rows = list(read_rows(run))
    held = sum(row["tier"] == "verified" for row in rows) if name == "dpo" else len(rows)
    assert f"\n{held} pairs of pictures" in text and "Datasheet" in text and "pairs.png" not in text
    assert ("| unverified |" in text) == (name != "dpo")


def test_previews_show_no_unsafe_pixel(run, card):
    written = sorted((run / "previews").glob("*.png"))
    assert {path.name for path in written} >= {"pairs.png", "category-weapons_sharp.png"}
    assert "](previews/pairs.png)" in card
    sheet = np.asarray(Image.open(run / "previews" / "pairs.png"), np.float32)
    left, edited = (sheet[40 : 40 + TILE, x : x + TILE] for x in (6, 12 + TILE))

    def steepest(tile):
        return max(np.abs(np.diff(tile, axis=axis)).max() for axis in (0, 1))

    assert steepest(left) < 12 < steepest(edited)  # noise of one pixel in 24 leaves no edge


def test_a_run_without_a_verified_pair_has_no_previews(run, tmp_path, monkeypatch):
    empty = hand_made(tmp_path / "run", jobs=3)
    monkeypatch.setattr("dualsafe.pairs.previews.read_shard", lambda tar: iter(()))
    shutil.rmtree(empty / "previews")
    assert write_previews(empty) == [] and not (empty / "previews").exists()
