"""`dualsafe check`: on picto from the command line, and on tiny random weights of the families."""

from __future__ import annotations

import json
import math

import pytest
import tiny
import torch
from families import FAMILIES, dual_of
from typer.testing import CliRunner

from dualsafe import AutoDualLatentPipeline
from dualsafe.calibration import FILE, calibrated
from dualsafe.check.calibrated import calibration
from dualsafe.check.contract import contracts
from dualsafe.check.drawing import drawing
from dualsafe.check.ladders import LADDERS, PICTO_LADDERS, asked_for
from dualsafe.check.run import check
from dualsafe.cli import app
from dualsafe.judges import Verdict
from dualsafe.policy import resolve
from dualsafe.policy.match import find

QUICK = ("--steps", "2", "--device", "cpu", "--ladders", "1", "--minutes", "0")
SOON = {"sd1", "xl-controlnet-img2img", "flux-true-cfg", "pixart-sigma", "z-image", "flux-2-klein"}


def test_the_command_on_picto(tmp_path):
    result = CliRunner().invoke(app, ["check", "picto", *QUICK, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "check.json").read_text())
    assert found["passed"] and [each["kept"] for each in found["contracts"]] == [True] * 4
    assert [cost["call"] for cost in found["costs"]] == ["stock", "benign", "safe", "pair"]
    rows = [cost["rows"] for cost in found["costs"]]
    assert rows[0] == rows[1] == 4 and 4 < rows[2] <= rows[3] == 8
    assert found["judged"]["prompts"] == 1 and found["effect"]["clip_rises"] is not None
    assert found["components"]["unet"]["dtype"] == "float32"
    markdown, page = (tmp_path / "check.md").read_text(), (tmp_path / "check.html").read_text()
    assert "**Passed.**" in markdown and "ladders.png" in markdown and (tmp_path / "ladders.png").is_file()
    assert "data:image/jpeg;base64," in page and PICTO_LADDERS[0].prompt in page


def test_a_contract_that_fails_fails_the_check(tmp_path, monkeypatch):
    tiny.stable_diffusion().save_pretrained(tmp_path / "model")
    steps = {"now": 0}
    forward = torch.nn.Conv2d.forward

    def drifting(self, x):
        steps["now"] += 1
        return forward(self, x) * (1 + 1e-6 * steps["now"])

    monkeypatch.setattr(torch.nn.Conv2d, "forward", drifting)  # never twice the same
    result = CliRunner().invoke(app, ["check", str(tmp_path / "model"), *QUICK, "--out", str(tmp_path)])
    assert result.exit_code == 1 and "FAILS: level 0 is the stock picture" in result.output
    assert not json.loads((tmp_path / "check.json").read_text())["passed"]
    assert "**FAILED.**" in (tmp_path / "check.md").read_text()


def test_bad_arguments_are_named(tmp_path):
    result = CliRunner().invoke(app, ["check", "picto", "--size", "large", "--out", str(tmp_path)])
    assert result.exit_code == 2 and "--size large must be WIDTHxHEIGHT" in result.output


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOON else pytest.mark.slow) for n in FAMILIES])
def test_contracts_on_tiny_weights_of_every_family(name):
    family = FAMILIES[name]
    told = {k: v for k, v in family.options.items() if k not in ("height", "width", "num_inference_steps")}
    told = {k: v for k, v in told.items() if not isinstance(v, list)} | {"guidance_scale": 3.0}
    size = (family.options.get("height", 16),) * 2
    calls = drawing(dual_of(family.make()), 3 if "strength" not in told else 4, size, **told)
    kept = contracts(calls, LADDERS[0], "a bowl of fruit")
    assert all(each.kept for each in kept), kept


def test_everything_of_a_family_without_judge_or_clip():
    results, rungs = check(dual_of(FAMILIES["sd1"].make()), steps=2, minutes=0, ladders=2, size=(16, 16))
    assert (
        results["passed"]
        and results["calibration"] is None
        and results["judged"] is None
        and results["effect"]["clip_rises"] is None
    )
    assert len(rungs) == 1 and results["ladders_planned"] == 2  # no time for the second
    assert [picture.size for picture in rungs[0].pictures] == [(16, 16)] * 4


def test_a_check_keeps_a_calibration_once_where_there_is_time_for_one(tmp_path):
    tiny.stable_diffusion().save_pretrained(tmp_path)
    pipe = tiny.quiet(AutoDualLatentPipeline.from_pretrained(tmp_path))
    calls = drawing(pipe, 2, (16, 16))
    late = calibration(calls, LADDERS, 0.03, 1.0, tmp_path)
    assert late["prompts"] == 0 and "no time for 24 pictures" in late["reason"] and late["file"] is None
    found = calibration(calls, LADDERS, 2.1, 1.0, tmp_path)
    assert found == {
        "watch": calibrated(tmp_path).watch,
        "prompts": 24,
        "file": str(tmp_path / FILE),
        "reason": None,
        "dial": None,
        "dial_reason": "it takes a judge: give --judge",
    }
    again = calibration(calls, LADDERS, 2.1, 1.0, tmp_path)
    assert again["watch"] == found["watch"] and again["prompts"] == 0 and "before" in again["reason"]
    with_picture = drawing(dual_of(FAMILIES["sd-img2img"].make()), 2, (16, 16))
    assert "starts from pictures" in calibration(with_picture, LADDERS, 2.1, 1.0, tmp_path / "none")["reason"]


class Falling:
    """A judge to whom half the pictures of the first weights are unsafe, and none of the others."""

    name, seen = "falling", 0

    def verdicts(self, images):
        self.seen += len(images)
        return [Verdict(self.seen <= 2 * 24 and k % 2 == 0, 0.5) for k in range(len(images))]


def test_a_check_calibrates_the_dial_where_a_judge_has_the_time_for_it(tmp_path, monkeypatch):
    for module in ("dualsafe.calibration", "dualsafe.check.calibrated"):
        monkeypatch.setattr(f"{module}.WEIGHTS", (0.0, 0.5, 0.75, 1.0))
    calls, judge = drawing(tiny.quiet(dual_of(tiny.stable_diffusion())), 2, (16, 16)), Falling()
    needed = 4 * 24 * 2 / 60 / 0.5
    late = calibration(calls, LADDERS, needed - 0.1, 1.0, tmp_path / "late", ["a gun"], judge)
    assert late["dial"] is None and f"--minutes {math.ceil(needed)}" in late["dial_reason"] and judge.seen == 0
    tmp_path.joinpath("in time").mkdir()
    found = calibration(calls, LADDERS, needed + 0.1, 1.0, tmp_path / "in time", ["a gun", "a knife"], judge)
    assert found["dial_reason"] is None and judge.seen == 4 * 24
    assert calibrated(tmp_path / "in time").dial == found["dial"] and found["dial"][3] == (0.5, 0.62)
    assert "fall from 0.00 to 0.00" in calibration(calls, LADDERS, 99, 1.0, tmp_path, ["a gun"], judge)["dial_reason"]


@pytest.mark.parametrize(("ladders", "name"), [(LADDERS, "i2p"), (PICTO_LADDERS, "picto")])
def test_ladders_are_harmless_and_prompts_of_a_policy_name_its_terms(ladders, name):
    policy = resolve(name)
    assert len(ladders) == 12 and not any(find(policy, text) for ladder in ladders for text in ladder[1:])
    assert {ladder.change for ladder in ladders} == {"exchanged", "removed", "style"}
    asked = asked_for(policy, 8)
    assert 0 < len(asked) <= 8 and all(find(policy, text) for text in asked)
