"""Runs of the benchmark on picto: one noise for every method, nothing dropped, and a stopped run goes on as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from dualsafe.baselines.protocol import concepts
from dualsafe.bench import launch as launching
from dualsafe.bench.launch import Settings, launch
from dualsafe.bench.record import SAMPLES
from dualsafe.bench.rows import PromptRow
from dualsafe.bench.run import seed_of
from dualsafe.cli import app
from dualsafe.errors import BenchError, PolicyViolation
from dualsafe.picto.prompts import prompt_set
from dualsafe.policy import resolve

UNLUCKY = prompt_set("explicit", 3, seed=7)[1].scene.item
"""In a prompt of picto-explicit that QUICK draws."""
QUICK = Settings(
    ("picto-explicit", "picto-neighbour"),
    methods=("negative-prompt", "dualsafe-max:scope=words"),
    limit=3,
    steps=3,
    batch_size=2,
    guidance_scale=5.0,
)


def samples(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / SAMPLES).read_text("utf-8").splitlines()]


def timeless(sample: dict) -> dict:
    return {key: value for key, value in sample.items() if key != "seconds"}


@pytest.fixture(scope="module")
def done(picto_dual, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, launch(replace(QUICK, pictures=1), picto_dual, folder)


def test_every_method_draws_every_prompt_from_the_same_noise(done):
    folder, results = done
    found = samples(folder)
    assert len(found) == 2 * 3 * 3 and all(sample["error"] is None for sample in found)
    by_prompt = {}
    for sample in found:
        by_prompt.setdefault((sample["task"], sample["id"]), set()).add(sample["seed"])
    assert all(len(seeds) == 1 for seeds in by_prompt.values())
    stock = [sample for sample in found if sample["method"] == "stock"]
    assert all(sample["metrics"]["identical"] == 1 and sample["rows"] == 6 for sample in stock)
    neighbours = [s for s in found if s["task"] == "picto-neighbour" and s["method"] == "dualsafe-max:scope=words"]
    assert all(sample["metrics"]["identical"] == 1 and sample["decision"] == "benign" for sample in neighbours)
    assert set(results["tasks"]) == set(QUICK.tasks) and not results["comparable"]


def test_benign_prompts_are_near_the_concept_whose_embedding_is_nearest(picto_dual, done):
    found = [sample for sample in samples(done[0]) if sample["task"] == "picto-neighbour"]
    terms = concepts(resolve("picto"))
    pooled = [
        picto_dual.text_encoder(picto_dual.tokenizer(text, return_tensors="pt").input_ids)[0][0, -1].detach()
        for text in (*terms, found[0]["prompt"])
    ]
    cosines = [float(torch.cosine_similarity(pooled[-1], each, dim=0)) for each in pooled[:-1]]
    assert found[0]["concept"] == terms[int(np.argmax(cosines))]
    assert found[0]["metrics"]["concept_distance"] == pytest.approx(1 - max(cosines), abs=1e-5)
    assert all("concept" not in sample for sample in samples(done[0]) if sample["task"] == "picto-explicit")
    assert "near_concepts" in done[1]["tasks"]["picto-neighbour"]


def test_editing_is_recorded_apart_from_a_pictures_seconds(picto_dual, tmp_path):
    results = launch(replace(QUICK, tasks=QUICK.tasks[1:], methods=("uce",), limit=1), picto_dual, tmp_path)
    metrics = results["tasks"]["picto-neighbour"]["methods"]["uce"]["metrics"]
    assert metrics["editing"]["value"] > 0 and metrics["rows"]["value"] == 6


def test_pictures_are_kept_only_where_asked(done):
    folder, _ = done
    kept = [sample["image"] for sample in samples(folder) if sample["image"]]
    assert len(kept) == 2 * 3 and all(Image.open(folder / path).size == (64, 64) for path in kept)
    assert len(list((folder / "images").rglob("*.png"))) == len(kept)


@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_stopped_run_goes_on_to_the_same_results(picto_dual, tmp_path, done, after):
    def stop(pictures: int, total: int) -> None:
        if pictures >= after:
            raise KeyboardInterrupt

    settings = replace(QUICK, pictures=1)
    with pytest.raises(KeyboardInterrupt):
        launch(settings, picto_dual, tmp_path, progress=stop)
    with open(tmp_path / SAMPLES, "a") as file:
        file.write('{"task": "picto-ex')  # as a kill leaves it
    launch(settings, picto_dual, tmp_path, resume=True)
    assert [timeless(s) for s in samples(tmp_path)] == [timeless(s) for s in samples(done[0])]


@pytest.fixture
def raising(monkeypatch):
    """A method "raising" that raises an error on prompts with a word in them, and else draws as stock does."""
    create = launching.create

    class Raising:
        name = "raising"

        def generate(self, pipe, prompts, seeds, policy, **sampling):
            if any(self.word in prompt for prompt in prompts):
                raise self.error
            return create("stock").generate(pipe, prompts, seeds, policy, **sampling)

    method = Raising()
    monkeypatch.setattr(launching, "create", lambda name, judge: method if name == "raising" else create(name, judge))
    return method


def test_a_failed_picture_is_counted_and_named(picto_dual, tmp_path, raising):
    raising.word, raising.error = UNLUCKY, RuntimeError("out of memory")
    results = launch(replace(QUICK, tasks=QUICK.tasks[:1], methods=("raising",)), picto_dual, tmp_path)
    found = [sample for sample in samples(tmp_path) if sample["method"] == "raising"]
    failed = [sample for sample in found if sample["error"]]
    assert len(found) == 3 and failed and all(UNLUCKY in sample["prompt"] for sample in failed)
    assert failed[0]["error"] == "RuntimeError: out of memory"
    method = results["tasks"]["picto-explicit"]["methods"]["raising"]
    assert method["n_original"] == 3 and method["n_effective"] == 3 - len(failed)


def test_a_prompt_that_is_refused_is_withheld_and_no_failure(picto_dual, tmp_path, raising):
    raising.word, raising.error = "", PolicyViolation("never drawn")
    results = launch(replace(QUICK, tasks=QUICK.tasks[:1], methods=("raising",)), picto_dual, tmp_path)
    method = results["tasks"]["picto-explicit"]["methods"]["raising"]
    assert method["n_effective"] == 3 and not method["failed"]
    rates = {name: method["metrics"][name]["value"] for name in ("unsafe_rate", "withheld", "refused")}
    assert rates == {"unsafe_rate": 0, "withheld": 1, "refused": 0}


def test_an_attack_is_a_task_of_its_own(picto_dual, tmp_path):
    settings = replace(
        QUICK, tasks=("picto-explicit",), methods=("dualsafe-max",), attacks=("suffix",), budget=2, limit=2
    )
    results = launch(settings, picto_dual, tmp_path)
    assert list(results["tasks"]) == ["picto-explicit+suffix"]
    found = samples(tmp_path)
    assert {sample["method"] for sample in found} == {"stock", "dualsafe-max"}
    launch(replace(settings, attack_seed=1), picto_dual, tmp_path / "other")
    others = {sample["prompt"] for sample in samples(tmp_path / "other") if sample["prompt"] != sample["base"]}
    assert others.isdisjoint(sample["prompt"] for sample in found)
    assert all(
        1 <= sample["metrics"]["queries"] <= 2 and sample["prompt"].startswith(sample["base"]) for sample in found
    )


def test_seeds_hang_on_the_prompt_alone():
    row = PromptRow("row-3", "a cat")
    assert seed_of(row, 0) == seed_of(replace(row, prompt="a dog", number=9), 0) != seed_of(row, 1)
    assert [seed_of(replace(row, seed=7), k) for k in range(3)] == [7, 8, 9]
    assert 0 <= seed_of(row, 0) < 2**31


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"judges": ("picto-guard",)}, "cannot grade what it has filtered"),
        ({"methods": ("stock", "stock")}, "methods=.* different names"),
        ({"tasks": ()}, "tasks="),
        ({"steps": 0}, "steps=0"),
        ({"attacks": ("magic",)}, "'magic', which is not one of disguise"),
        ({"call": {"guidance_scale": 3}}, "call has 'guidance_scale'"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, message):
    with pytest.raises(BenchError, match=message):
        replace(QUICK, **changed)


def test_the_command_runs_scores_and_reports(tmp_path):
    data = tmp_path / "mine.csv"
    data.write_text('prompt,seed\n"a man with a knife, in a park",3\na cat,oops\n', encoding="utf-8-sig")
    task = tmp_path / "mine.yaml"
    task.write_text(
        "name: mine\ndescription: Own prompts.\nkind: unsafe\npolicy: picto\npolicy_hash: null\ndata_hash: null\n"
        "columns: {prompt: prompt, seed: seed}\nmetrics: [unsafe_rate]\n"
    )
    out = tmp_path / "out"
    arguments = [
        "bench",
        "run",
        str(task),
        "--file",
        str(data),
        "--out",
        str(out),
        "--methods",
        "dualsafe-max",
    ]
    result = CliRunner().invoke(app, [*arguments, "--steps", "3", "--device", "cpu", "--pictures", "2"])
    assert result.exit_code == 0, result.output
    assert (out / "report.html").is_file() and "dualsafe-max" in (out / "leaderboard.md").read_text("utf-8")
    again = CliRunner().invoke(app, [*arguments, "--steps", "3", "--device", "cpu"])
    assert again.exit_code == 2 and "holds a run already" in again.output
    assert CliRunner().invoke(app, ["bench", "report", str(out)]).exit_code == 0


def test_a_file_of_ones_own_needs_no_task(tmp_path):
    data = tmp_path / "mine.jsonl"
    data.write_text('{"text": "a man with a knife"}\n{"text": ""}\n', encoding="utf-8")
    arguments = ["bench", "run", "custom", "--policy", "picto", "--methods", "dualsafe-max", "--steps", "3"]
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [*arguments, "--file", str(data), "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert [(s["method"], s["decision"], s["triggers"]) for s in samples(out)][1:] == [
        ("dualsafe-max", "dual", ["knife"])
    ]
    refused = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "none")])
    assert refused.exit_code == 2 and "needs --file" in refused.output


def test_other_arguments_of_the_stock_call_reach_it(picto_dual, tmp_path):
    few = replace(QUICK, tasks=("picto-explicit",), methods=("stock",), limit=1, pictures=1)
    launch(replace(few, call={"height": 32, "width": 48}), picto_dual, tmp_path / "run")
    (picture,) = (tmp_path / "run").rglob("*.png")
    assert Image.open(picture).size == (48, 32)
    with pytest.raises(BenchError, match="call has 'scheduler', which is no argument"):
        launch(replace(few, call={"scheduler": "DDIM"}), picto_dual, tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "said"), [("eta", "must be NAME=VALUE"), ("eta=[", "must be NAME=VALUE"), ("steps=3", "call has 'steps'")]
)
def test_what_is_no_argument_of_the_stock_call_is_refused_in_a_line(tmp_path, text, said):
    result = CliRunner().invoke(app, ["bench", "run", "picto-explicit", "--out", str(tmp_path / "out"), "--call", text])
    assert result.exit_code == 2 and said in result.output


def test_a_real_checkpoint_needs_a_judge(tmp_path):
    result = CliRunner().invoke(app, ["bench", "run", "picto-explicit", "--model", "somewhere", "--out", str(tmp_path)])
    assert result.exit_code == 2 and "--judge is needed" in result.output


def test_tasks_methods_and_attacks_are_listed_and_validated():
    listed = CliRunner().invoke(app, ["bench", "ls"]).output
    assert "picto-explicit" in listed and "sld-max" in listed and "ring-a-bell" in listed
    assert "200 prompts" in CliRunner().invoke(app, ["bench", "validate", "picto-explicit"]).output
    assert CliRunner().invoke(app, ["bench", "validate", "nothing"]).exit_code == 2


def test_each_validated_task_gets_its_own_file(tmp_path):
    file = tmp_path / "coco.csv"
    file.write_text("case_number,prompt\n1,a cat\n")
    said = CliRunner().invoke(app, ["bench", "validate", "unlearndiff", "coco", "--file", f"coco={file}"]).output
    assert "unlearndiff: a task; give --file" in said
    assert "coco: 1 prompts" in said and "not comparable" in said
    wrong = CliRunner().invoke(app, ["bench", "validate", "coco", "--file", f"i2p={file}"])
    assert wrong.exit_code == 2 and "--file names 'i2p'" in wrong.output
