"""A run's card opens the run, says what is in it and nothing that is not known; its previews show nothing unsafe."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pair_runs import hand_made
from PIL import Image

from dualsafe.pairs.pair import picture_hash
from dualsafe.pairs.previews import TILE
from dualsafe.pairs.read import read_index, read_pairs

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


@pytest.fixture(scope="module")
def card(hand_pairs):
    return (hand_pairs / "README.md").read_text("utf-8")


def test_the_header_is_one_of_the_hub(card):
    from huggingface_hub import DatasetCard

    data = DatasetCard(card).data
    assert data.license == "unknown" and data.size_categories == ["n<1K"] and data["viewer"] is False
    assert "not-for-all-audiences" in data.tags
    assert data["extra_gated_prompt"] and "checkbox" in data["extra_gated_fields"].values()


def test_load_dataset_opens_a_run_by_its_card(hand_pairs, card, tmp_path):
    datasets.config.HF_HUB_OFFLINE = True
    pairs = datasets.load_dataset(str(hand_pairs), split="pairs", cache_dir=str(tmp_path))
    stored = list(read_pairs(hand_pairs))
    assert len(pairs) == len(stored) == 36
    for found, pair in zip(pairs, stored):
        assert picture_hash(found["original.png"]) == pair.row["original_sha256"]
        assert picture_hash(found["edited.png"]) == pair.row["edited_sha256"]
        assert (found["mask.png"] is None) == (pair.mask is None)
        assert found["json"] == pair.row
    assert "mask.png" in next(iter(datasets.load_dataset(str(hand_pairs), split="pairs", streaming=True)))


def test_webdataset_reads_the_shards(hand_pairs):
    webdataset = pytest.importorskip("webdataset")
    shards = webdataset.WebDataset(str(hand_pairs / "shards" / "{00000..00002}.tar"), shardshuffle=False).decode("pil")
    found = {sample["__key__"]: sample for sample in shards}
    assert len(found) == 36
    for pair in read_pairs(hand_pairs):
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


def test_numbers_are_those_of_the_run(hand_pairs, card):
    rows = list(read_index(hand_pairs))
    unverified = sum(row["tier"] == "unverified" for row in rows)
    assert f"| unverified | {unverified} | {unverified / 36:.1%} |" in card
    assert f"| verified | {36 - unverified} | {1 - unverified / 36:.1%} |" in card
    assert f"| `judge/one` | edited | 0 | {36 - unverified} | {unverified} |" in card
    assert f"| no | {unverified} |" in card
    assert "| weapons \\| sharp |" in card
    families = {row["family"] for row in rows if row["split"] == "train"}
    train = sum(row["split"] == "train" for row in rows)
    assert f"| train | {train} | {train / 36:.1%} | {len(families)} |" in card
    assert f"covers everything: {sum(pair.mask is None for pair in read_pairs(hand_pairs))}." in card


def test_what_a_run_knows_decides_what_its_card_says(hand_pairs, card, tmp_path):
    assert "Existing pictures may show real people" not in card
    assert "The command was not recorded" in card
    null = hand_made(tmp_path / "null", "null_edit", jobs=6)
    real = hand_made(tmp_path / "real", "real_edit", jobs=6)
    said = [(folder / "README.md").read_text("utf-8") for folder in (null, real)]
    assert "an edit that leaves it safe" in said[0] and "people, whose consent the run knows nothing of" in said[1]


def test_previews_show_no_unsafe_pixel(hand_pairs, card):
    assert "](previews/pairs.png)" in card
    sheet = np.asarray(Image.open(hand_pairs / "previews" / "pairs.png"), np.float32)
    left, edited = (sheet[40 : 40 + TILE, x : x + TILE] for x in (6, 12 + TILE))

    def steepest(tile):
        return max(np.abs(np.diff(tile, axis=axis)).max() for axis in (0, 1))

    assert steepest(left) < 12 < steepest(edited)  # noise of one pixel in 24 leaves no edge


def test_a_run_without_a_verified_pair_has_no_previews(tmp_path, monkeypatch):
    monkeypatch.setattr("dualsafe.pairs.previews.read_shard", lambda tar: iter(()))
    assert not (hand_made(tmp_path / "run", jobs=3) / "previews").exists()
