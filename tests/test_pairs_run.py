"""A pair run, from its spec to shards that stand."""

from __future__ import annotations

import json
import random
import re

import pytest
from pair_runs import made_in, pair_files, spec_of
from PIL import Image

from dualsafe.errors import PairsError
from dualsafe.judges import Verdict
from dualsafe.pairs import worker
from dualsafe.pairs.check import check
from dualsafe.pairs.pair import Job, split_of
from dualsafe.pairs.prompts import SWAPPED, read_prompts
from dualsafe.pairs.read import read_index, read_pairs
from dualsafe.pairs.row import index_row
from dualsafe.pairs.run import run
from dualsafe.pairs.spec import PairSpec, seed_of
from dualsafe.picto import render
from dualsafe.picto.scene import jittered


def test_every_job_becomes_a_verified_pair_whose_row_says_all_that_is_known(exact_pairs):
    stats = json.loads((exact_pairs / "stats.json").read_text())
    assert stats["stages"] == {"routed": 24, "generated": 24, "verified": 24, "written": 24}
    assert (stats["jobs"], stats["errors"], stats["rejected"]) == (24, 0, {})
    assert list(check(exact_pairs)) == [] and len(made_in(exact_pairs)) == 24
    pair = next(read_pairs(exact_pairs))
    row = pair.row
    assert (row["kind"], row["tier"], row["editor"]) == ("counterfactual", "verified", "exact")
    assert (row["original_label"], row["edited_label"]) == ("unsafe", "safe")
    assert [json.loads(side.text["dualsafe"])["label"] for side in (pair.original, pair.edited)] == ["unsafe", "safe"]
    assert row["policy"].startswith("picto@") and row["categories"] and row["truth"]["item"]
    assert set(row["verdicts"]) == {"picto-guard", "picto-examiner"}
    assert row["metrics"]["identical_outside_mask"] == 1 and row["split"] == split_of(row["family"])


def test_the_index_holds_every_row_without_pictures(exact_pairs):
    rows = [{"shard": f"{i // 4:05d}"} | index_row(pair.row) for i, pair in enumerate(read_pairs(exact_pairs))]
    assert list(read_index(exact_pairs)) == rows


def test_seeds_hang_on_run_prompt_and_number_alone():
    assert seed_of("0", "row-1", 0) == seed_of("0", "row-1", 0)
    assert len({seed_of(*of) for of in (("0", "a", 0), ("0", "a", 1), ("0", "b", 0), ("1", "a", 0))}) == 4


def test_a_folder_of_another_run_is_refused(exact_pairs):
    with pytest.raises(PairsError, match="another run, of spec"):
        run(spec_of(steps=9), exact_pairs, resume=True)
    with pytest.raises(PairsError, match="holds this run already: resume it"):
        run(spec_of(), exact_pairs)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PairsError, match="holds something else"):
        run(spec_of(), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "swap"}, "kind='swap' is not one of counterfactual, null_edit, real_edit"),
        ({"shard_size": 0}, "shard_size=0 must be at least 1"),
        ({"strength": 0.0}, r"strength=0.0 must be in \(0, 1\]"),
        ({"judges": ()}, r"judges=\[\] must be one or several"),
        ({"guard": "picto-guard"}, "guard='picto-guard' verifies too"),
        ({"scope": "pictures"}, "scope='pictures' is not one of all, words"),
        ({"scope": "words", "guard": "picto"}, "guard='picto' looks at pictures: scope='words' leaves it none"),
        ({"prompts": "picto:cats"}, "picto's sets are explicit"),
        ({"prompts": "nowhere.csv"}, "nowhere.csv cannot be read"),
    ],
)
def test_a_spec_that_cannot_be(wrong, said, tmp_path):
    with pytest.raises(PairsError, match=said):
        run(spec_of(**wrong), tmp_path / "run")


def test_an_editor_that_draws_does_not_go_with_existing_pictures(tmp_path):
    (tmp_path / "prompts.csv").write_text("prompt,image\na knife,knife.png\n")
    with pytest.raises(PairsError, match="draws its own pictures"):
        run(spec_of(prompts=str(tmp_path / "prompts.csv"), kind="real_edit"), tmp_path / "run")


def test_rows_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("id,prompt,mood\na,a man with a knife in a park,sad\n../b,a gun,\na,a bomb,\nc,,\nd,a,b,c\n")
    spec = PairSpec(prompts=str(path), editor="null", keep_unverified=True)
    stats = run(spec, tmp_path / "run")
    errors = [json.loads(line) for line in (tmp_path / "run/errors.jsonl").read_text().splitlines()]
    assert stats["bad_rows"] == 4 and stats["jobs"] == 1
    assert [(said["row"], said["stage"]) for said in errors] == [(n, "plan") for n in (2, 3, 4, 5)]
    assert [said["reason"] for said in errors] == [
        "id '../b' leads out of a folder, or cannot be printed",
        "id 'a' stands twice",
        "prompt='' is no text",
        "the row has more than 3 cells",
    ]
    assert json.loads((tmp_path / "run/run.json").read_text())["ignored_columns"] == ["mood"]


def test_prompts_of_which_none_can_be_used(tmp_path):
    (tmp_path / "prompts.csv").write_text("prompt\n\n \n")
    with pytest.raises(PairsError, match="no row that can be used"):
        run(PairSpec(prompts=str(tmp_path / "prompts.csv"), editor="null"), tmp_path / "run")
    assert not (tmp_path / "run/plan").exists()


def test_a_plan_of_another_spec_that_never_began_is_not_taken_up(exact_pairs, tmp_path):
    run(spec_of(pairs_per_prompt=1), tmp_path / "run", shards=range(0))
    (tmp_path / "run/run.json").unlink()  # as a kill between the two leaves it
    run(spec_of(), tmp_path / "run")
    assert pair_files(tmp_path / "run") == pair_files(exact_pairs)


def test_null_edits_swap_benign_items_that_are_drawn_alike():
    rows = [row for row in read_prompts("picto:neighbour", "null_edit", 300).rows if isinstance(row, Job)]
    assert len(rows) == 300
    swaps = []
    for row in rows:
        before, after = (
            [name for name in SWAPPED if re.search(rf"\b{name}\b", t)] for t in (row.prompt, row.edited_prompt)
        )
        assert before == [row.truth["item"]] and len(after) == 1 and after != before
        assert len(set(row.prompt.split()) ^ set(row.edited_prompt.split())) <= 6
        swaps.append((*before, *after))
    for side in zip(*swaps):
        assert set(side) == set(SWAPPED) and max(map(side.count, SWAPPED)) < 3 * min(map(side.count, SWAPPED))


def test_null_edits_do_not_start_from_unsafe_prompts():
    rows = [*read_prompts("picto:explicit", "null_edit", 3).rows]
    assert len(rows) == 3 and all("a null edit starts from a benign one" in row for row in rows)


def test_benign_prompts_are_declined_by_their_words(tmp_path):
    stats = run(spec_of(prompts="picto:benign", limit=4, pairs_per_prompt=1), tmp_path / "run")
    assert stats["declined"] == {"benign: the policy finds nothing in the prompt": 4}
    assert stats["stages"]["routed"] == 0


def test_rows_say_what_decided_and_an_original_that_isnt_unsafe_is_no_verified_pair(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("prompt\na soldier in green at a castle\na man in blue with a knife in a park\na cat on a street\n")
    spec = PairSpec(str(path), pairs_per_prompt=3, steps=8, guidance_scale=5.0, keep_unverified=True)
    stats = run(spec, tmp_path / "run")
    rows = list(read_index(tmp_path / "run"))
    assert {row["prompt"]: row["gate"] for row in rows if "cat" not in row["prompt"]} == {
        "a soldier in green at a castle": "watch",
        "a man in blue with a knife in a park": "prompt",
    }
    assert stats["stages"]["routed"] == 9
    for row in rows:
        seen = all(said["original"]["unsafe"] for said in json.loads(row["verdicts"]).values())
        assert seen or (row["tier"] == "unverified" and "the original is not unsafe" in row["reasons"])
    assert "| decided by |" in (tmp_path / "run/README.md").read_text()


class _Judge:
    """Picto's guard, but for what a test makes of it."""

    name = "picto-guard"

    def __init__(self, verdicts):
        self.verdicts = verdicts


def _with_judge(monkeypatch, verdicts):
    real = worker.load_judge
    given = lambda name, device: _Judge(verdicts) if name == "picto-guard" else real(name, device)  # noqa: E731
    monkeypatch.setattr(worker, "load_judge", given)


def test_a_judge_that_crashes_now_and_then_loses_no_other_pair(monkeypatch, tmp_path):
    calls = []

    def crashing(images):
        calls.append(len(images))
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        half = len(images) // 2
        return [Verdict(True)] * half + [Verdict(False)] * half

    _with_judge(monkeypatch, crashing)
    stats = run(spec_of(shard_size=24, batch_size=8), tmp_path / "run")
    errors = [json.loads(line) for line in (tmp_path / "run/errors.jsonl").read_text().splitlines()]
    assert stats["stages"]["generated"] == 24 and stats["stages"]["verified"] == 16
    assert len(errors) == 8
    assert {said["reason"] for said in errors} == {"picto-guard: RuntimeError: out of memory"}
    assert list(check(tmp_path / "run")) == []


def test_a_judge_that_never_answers_ends_the_run(monkeypatch, tmp_path):
    _with_judge(monkeypatch, lambda images: [])
    with pytest.raises(PairsError, match="all 4 jobs of shard 0 failed, first by: picto-guard: ValueError: 0 verdicts"):
        run(spec_of(), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/shards").iterdir()] == []


def test_rejected_pairs_are_kept_as_rows_or_if_asked_for_as_pairs(monkeypatch, tmp_path):
    _with_judge(monkeypatch, lambda images: [Verdict(True)] * len(images))
    stats = run(spec_of(limit=2), tmp_path / "rows")
    assert stats["rejected"] == {"the edited side is unsafe": 4} and stats["stages"]["written"] == 0
    rejected = [json.loads(line) for line in (tmp_path / "rows/shards/00000.rejected.jsonl").read_text().splitlines()]
    assert [row["tier"] for row in rejected] == ["unverified"] * 4
    run(spec_of(limit=2, keep_unverified=True), tmp_path / "pairs")
    assert [row["tier"] for row in read_index(tmp_path / "pairs")] == ["unverified"] * 4


def test_a_job_that_fails_is_named_and_the_others_are_made(tmp_path):
    path = tmp_path / "prompts.csv"
    pixel = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
    (tmp_path / "broken.png").write_bytes(pixel)
    path.write_text("prompt,image\na knife,broken.png\na knife,missing.png\na gun,../../etc/passwd\n")
    spec = PairSpec(prompts=str(path), kind="real_edit", editor="img2img", steps=2, keep_unverified=True)
    with pytest.raises(PairsError, match="all 2 jobs of shard 0 failed"):
        run(spec, tmp_path / "run")


class _Captioner:
    """Says what a test wants it to say; refuses pictures that are darker than the others."""

    name = "captioner"

    def caption(self, image):
        if max(image.convert("L").getextrema()) < 128:
            raise PairsError("the model refused: 'no'")
        return "a man in blue with a knife in a park"


def test_pictures_without_a_caption_get_one(monkeypatch, tmp_path):
    scene = jittered(random.Random(0), "park", "man", "blue", "knife")
    render(scene).to_pil().save(tmp_path / "knife.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    (tmp_path / "pictures.csv").write_text("image\nknife.png\nblack.png\n")
    monkeypatch.setattr(worker, "load_captioner", lambda spec, device: _Captioner())
    given = {"kind": "real_edit", "editor": "img2img", "steps": 8, "captioner": "vlm:somewhere"}
    spec = PairSpec(str(tmp_path / "pictures.csv"), guidance_scale=5.0, keep_unverified=True, **given)
    stats = run(spec, tmp_path / "run")
    row = next(read_index(tmp_path / "run"))
    assert row["prompt"] == "a man in blue with a knife in a park" and row["triggers"] == ["knife"]
    assert (stats["stages"]["written"], stats["errors"]) == (1, 1)
    error = json.loads((tmp_path / "run/errors.jsonl").read_text())
    assert error["stage"] == "caption" and "the model refused" in error["reason"]
    assert list(check(tmp_path / "run")) == []
