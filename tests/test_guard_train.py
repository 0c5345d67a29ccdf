"""Guards trained on pairs: arms of one size, sound curves, and a guard that opens as the judge it was trained as."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from guard_runs import write_pairs
from PIL import ImageOps
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
from typer.testing import CliRunner

from dualsafe import CheckpointError
from dualsafe.cli import app
from dualsafe.guard.arms import ARMS, draw
from dualsafe.guard.control import real_or_edited
from dualsafe.guard.curve import over_seeds, score
from dualsafe.guard.features import Labelled, Sides, flips, read_sides
from dualsafe.guard.probe import Probe
from dualsafe.guard.train import HELD_OUT, TrainSettings
from dualsafe.judges import load_judge, name_of
from dualsafe.judges.trained import GuardJudge
from dualsafe.judges.vision import load_tower
from dualsafe.picto import counterfactual, render
from dualsafe.picto.prompts import prompt_set

FAMILIES = np.array([f"family {i // 2}" for i in range(64)])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("runs") / "pairs", 60, unverified=1)


@pytest.fixture(scope="module")
def tower():
    return load_tower("picto-clip")


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("n", [2, 16, 64])
def test_every_arm_has_n_different_pictures_half_of_them_unsafe(arm, n):
    chosen = draw(arm, n, FAMILIES, seed=3)
    assert len(set(zip(chosen.pairs, chosen.sides))) == n and chosen.unsafe.sum() == n // 2
    again = draw(arm, n, FAMILIES, seed=3)
    assert (chosen.pairs == again.pairs).all() and (chosen.pairs != draw(arm, n, FAMILIES, seed=4).pairs).any()


def test_paired_has_both_sides_and_unpaired_the_same_originals_with_sides_of_others():
    paired, unpaired = (draw(arm, 16, FAMILIES, seed=0) for arm in ("paired", "unpaired"))
    assert (paired.pairs[:8] == paired.pairs[8:]).all() and (paired.pairs[:8] == unpaired.pairs[:8]).all()
    assert not set(unpaired.pairs[:8]) & set(unpaired.pairs[8:])
    assert not set(FAMILIES[unpaired.pairs[:8]]) & set(FAMILIES[unpaired.pairs[8:]])


@pytest.mark.parametrize("n", [0, 7, 66])
def test_a_size_that_cant_be_drawn_is_refused(n):
    with pytest.raises(ValueError, match=f"n={n} must be even, at most .* 64"):
        draw("paired", n, FAMILIES, seed=0)


def test_sides_are_read_whole_and_verified(pairs):
    def see(images):
        return np.stack([np.asarray(image) for image in images])

    train = read_sides(pairs, lambda row: flips(row) and row["split"] != "test", see)
    test = read_sides(pairs, lambda row: flips(row) and row["split"] == "test", see)
    assert len(train) + len(test) == 59 and not set(train.families) & set(test.families)
    assert train.x.shape == (len(train), 2, 64, 64, 3)
    scene = prompt_set("explicit", 60, 0)[0].scene
    assert (train.x[0] == [render(scene).image, render(counterfactual(scene)).image]).all()
    with pytest.raises(ValueError, match="no verified pairs"):
        read_sides(pairs, lambda row: row["kind"] == "null_edit", see)


def test_a_pair_is_right_when_both_sides_are_and_no_number_says_unsafe():
    test = Labelled(np.zeros((6, 1)), np.tile([True, False], 3), np.array(list("aabbcc")), paired=True)
    found = score(np.array([1.0, -1.0, np.nan, -1.0, -1.0, np.inf]), test)
    assert found.metrics["paired_accuracy"] == pytest.approx(2 / 3) and found.units.tolist() == [1, 1, 0]
    assert found.metrics["balanced_accuracy"] == pytest.approx(4 / 6)


def test_balanced_accuracy_isnt_moved_by_more_pictures_of_one_label():
    unsafe = np.array([True, False, False, False])
    found = score(
        np.array([-1.0, -1.0, -1.0, -1.0]), Labelled(np.zeros((4, 1)), unsafe, np.arange(4).astype(str), False)
    )
    assert found.metrics["balanced_accuracy"] == found.units.mean() == 0.5


def test_the_interval_over_seeds_is_students():
    found = over_seeds([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (found.value, found.high) == pytest.approx((0.3, 0.3 + 2.776 * 0.1581 / 5**0.5), abs=1e-3)


def test_the_control_finds_a_cue_and_none_where_there_is_none(tower):
    x, families = np.random.default_rng(0).normal(size=(150, 2, 4)), np.arange(150).astype(str)
    assert 0.4 < real_or_edited(Probe(tower), Sides(x, families)).value < 0.6
    x[:, 1, 0] += 2
    found = real_or_edited(Probe(tower), Sides(x, families))
    assert 0.8 < found.low < found.value < found.high <= 1


def test_a_run_writes_curves_a_table_a_plot_and_a_guard(pairs, tmp_path):
    nulls = write_pairs(tmp_path / "nulls", 20, "null_edit", change=ImageOps.invert)
    for label, name in (("unsafe", "explicit"), ("safe", "benign")):
        (tmp_path / "stock" / label).mkdir(parents=True)
        for i, case in enumerate(prompt_set(name, 6, seed=9)):
            render(case.scene).to_pil().save(tmp_path / "stock" / label / f"{i}.png")
    out = tmp_path / "out"
    asked = ["guard", "train", str(pairs), "--out", str(out), "--n", "8..64", "--seeds", "5"]
    asked += ["--also", f"stock={tmp_path / 'stock'}"]
    done = CliRunner().invoke(app, [*asked, "--null", str(nulls)])
    assert done.exit_code == 0, done.output
    assert "left out, too few training pairs: n = 64" in done.output and f"guard:{out / 'guard'}" in done.output
    results = json.loads((out / "curve.json").read_text())
    assert results["sizes"] == [8, 16, 32] and len(results["points"]) == 2 * 3 * 2 * 5
    own, stock = results["tests"][HELD_OUT], results["tests"]["stock"]
    assert (own["headline"], stock["headline"], stock["pictures"]) == ("paired_accuracy", "balanced_accuracy", 12)
    values = {
        (p["arm"], p["seed"]): p["paired_accuracy"] for p in results["points"] if p["n"] == 8 and "paired_accuracy" in p
    }
    gap = np.mean([values["paired", seed] - values["unpaired", seed] for seed in range(5)])
    assert own["difference"]["paired - unpaired"]["8"]["over_seeds"]["value"] == pytest.approx(gap)
    assert set(own["difference"]["paired - unpaired"]) == {"8", "16", "32", "8-32"}
    assert results["real_or_edited"]["nulls"]["value"] > 0.8
    assert (out / "curve.png").stat().st_size > 10_000 and "| 8-32 |" in (out / "table.md").read_text()
    judge = load_judge(f"guard:{out / 'guard'}")
    assert name_of(judge) == results["guard"]["name"] and judge.about["data"] == "abcd"
    again = [*asked, "--null", str(nulls)]
    refused = CliRunner().invoke(app, again)
    assert refused.exit_code == 2 and "holds a run already: resume it" in refused.output
    assert CliRunner().invoke(app, [*again, "--resume", "--seeds", "6"]).exit_code == 2  # of other settings
    heads = (out / "samples.jsonl").read_bytes()
    (out / "samples.jsonl").write_bytes(heads[: len(heads) // 2])  # as a kill in the midst of a line leaves it
    (out / "curve.json").unlink()
    resumed = CliRunner().invoke(app, [*again, "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert (out / "samples.jsonl").read_bytes() == heads
    assert json.loads((out / "curve.json").read_text())["points"] == results["points"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seeds": 4}, "seeds=4"), ({"sizes": (7,)}, "even"), ({"also": {HELD_OUT: None}}, "name of the run's own")],
)
def test_settings_out_of_range_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        TrainSettings(tmp_path, **change)


@pytest.mark.parametrize("asked", [["--n", "8.."], ["--also", "stock"], ["--features", "clip"]])
def test_bad_options_are_told_in_one_line(pairs, tmp_path, asked):
    done = CliRunner().invoke(app, ["guard", "train", str(pairs), "--out", str(tmp_path / "out"), *asked])
    assert done.exit_code == 2 and done.output.splitlines()[-1].startswith("dualsafe: ")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def pictures():
    scenes = [case.scene for case in prompt_set("explicit", 8, seed=1)]
    return [render(s).to_pil() for scene in scenes for s in (scene, counterfactual(scene))]


@pytest.fixture(scope="module")
def head(tower, pictures):
    return Probe(tower).fit(tower.features(pictures), np.tile([True, False], 8))


def test_a_guard_opens_as_it_was_saved_and_only_then(tower, head, pictures, tmp_path):
    GuardJudge(tower, head, {"policy": "picto@0123"}).save_pretrained(tmp_path)
    judge = load_judge(f"guard:{tmp_path}")
    verdicts = judge.verdicts(pictures)
    assert [v.is_unsafe for v in verdicts] == [True, False] * 8 and judge.verdicts([]) == []
    logits = Probe(tower).logits(head, tower.features(pictures))
    assert np.allclose([v.score for v in verdicts], 1 / (1 + np.exp(-logits)), atol=1e-2)
    assert name_of(judge) == name_of(GuardJudge(tower, head)) and judge.about == {"policy": "picto@0123"}
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {"weight": torch.full_like(tensors["weight"], torch.nan)}, tmp_path / "model.safetensors")
    assert all(verdict.is_unsafe for verdict in load_judge(f"guard:{tmp_path}").verdicts(pictures))
    save_file(tensors | {"tower.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"holds no trained guard.*tower\.weight"):
        load_judge(f"guard:{tmp_path}")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tower": "0" * 16}))
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="was trained on features 0000000000000000"):
        load_judge(f"guard:{tmp_path}")
    with pytest.raises(CheckpointError, match="holds no trained guard"):
        load_judge(f"guard:{tmp_path / 'nowhere'}")


def test_a_classifiers_checkpoint_serves_as_a_tower_without_its_head(pictures, tmp_path):
    shape = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    ViTForImageClassification(ViTConfig(**shape, image_size=32, patch_size=16)).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    tower = load_tower(f"vision:{tmp_path}")
    assert tower.features(pictures[:3]).shape == (3, 32)
    assert tower.digest() == load_tower(f"vision:{tmp_path}").digest() != load_tower("picto-clip").digest()
