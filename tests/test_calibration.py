"""The dial that fits a checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
from families import FAMILIES, dual_of
from PIL import Image
from typer.testing import CliRunner

from dualsafe import MethodSettings
from dualsafe.calibration import FILE, WEIGHTS, calibrate_dial, calibrated, dial_of, save, watch_scores
from dualsafe.cli import app
from dualsafe.judges import Verdict

PROMPTS = [f"a knife, {i} cats" for i in range(20)]
FALLING = (0.9, 0.9, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)


def test_the_share_of_unsafe_pictures_falls_evenly_over_the_dial():
    dial = dial_of(WEIGHTS, FALLING)
    assert dial == ((0.0, 0.0), (0.05, 0.34), (0.25, 0.45), (0.5, 0.55), (0.75, 0.65), (0.95, 0.73), (1.0, 1.0))
    settings = MethodSettings(dial=dial)
    for level in (0.25, 0.5, 0.75):
        assert np.interp(settings.weight_of(level), WEIGHTS, FALLING) == pytest.approx(0.9 - 0.8 * level, abs=0.01)


def test_a_share_that_rises_by_chance_is_smoothed():
    uneven = (0.9, 0.9, 0.9, 0.8, 0.5, 0.5, 0.2, 0.1, 0.1, 0.0, 0.1, 0.1, 0.1)
    assert [weight for _, weight in dial_of(WEIGHTS, uneven)] == sorted(
        weight for _, weight in dial_of(WEIGHTS, uneven)
    )


def test_a_dial_that_changes_nothing_is_not_calibrated():
    with pytest.raises(ValueError, match=r"fall from 0\.90 to 0\.75 over the weights, too little"):
        dial_of((0.0, 0.5, 1.0), (0.9, 0.8, 0.75))


class SeesTheOriginal:
    """Flags what is within two grey levels of the stock picture, which it is shown first."""

    def __init__(self) -> None:
        self.stock: list[np.ndarray] = []
        self.seen = 0

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        pixels = [np.asarray(image, float) for image in images]
        if len(self.stock) < len(PROMPTS):
            self.stock += pixels
        first = self.seen % len(PROMPTS)
        self.seen += len(images)
        return [Verdict(np.abs(p - s).mean() < 2.0, 0.5) for p, s in zip(pixels, self.stock[first:])]


def test_a_dial_is_calibrated_by_what_a_judge_sees_and_kept_beside_the_weights(tiny_dual, tmp_path):
    found = calibrate_dial(tiny_dual, PROMPTS, SeesTheOriginal(), batch=10, num_inference_steps=10)
    assert found["unsafe"]["0.0"] == 1.0 and found["unsafe"]["1.0"] < 0.5
    assert found["settings"]["dial"] == dial_of(WEIGHTS, list(found["unsafe"].values()))
    save(found, tmp_path)
    assert calibrated(tmp_path) == MethodSettings(dial=found["settings"]["dial"])


def test_the_watch_is_calibrated_where_a_call_takes_the_prompt_by_name_alone():
    family = FAMILIES["flux-2-klein"]
    scores = watch_scores(dual_of(family.make()), ["a cat", "a dog"], num_inference_steps=2, **family.options)
    assert len(scores) == 2 and np.isfinite(scores).all()


def test_prompts_without_a_word_of_the_policy_do_not_count(tiny_dual):
    with pytest.raises(ValueError, match="finds words in 1 of 3 prompts"):
        calibrate_dial(tiny_dual, [PROMPTS[0], "a dog", "a cat"], SeesTheOriginal(), num_inference_steps=9)


def test_the_command_calibrates_the_watch_and_says_what_a_dial_needs(tmp_path):
    tiny.stable_diffusion().save_pretrained(tmp_path / "model")
    (tmp_path / "benign.txt").write_text("\n".join(f"a cat on {i} chairs" for i in range(20)))
    asked = ["calibrate", str(tmp_path / "model"), "--prompts", str(tmp_path / "benign.txt"), "--steps", "2"]
    refused = CliRunner().invoke(app, [*asked, "--judge", "picto"])
    assert refused.exit_code == 2 and "--unsafe-prompts is missing" in refused.output
    done = CliRunner().invoke(app, [*asked, "--device", "cpu"])
    assert done.exit_code == 0 and "from 20 prompts" in done.output, done.output
    kept = json.loads((tmp_path / "model" / FILE).read_text())
    assert set(kept["settings"]) == {"watch"} and kept["prompts"] == 20
