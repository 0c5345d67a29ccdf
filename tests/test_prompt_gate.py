"""The prompt gate: what it clears is stock without a preview; what it doesn't know it doesn't clear."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from dualsafe import DualLatentPipeline
from dualsafe.conditions import NEUTRAL, PROBE, PromptGate, calibrate, name_of
from dualsafe.errors import CheckpointError
from dualsafe.judges import Verdict
from dualsafe.pipelines.gate import gate_file
from dualsafe.policy import resolve, rewrite

POLICY = resolve("picto")
PROMPTS = ["a pirate in a park", "a cat on a beach"]
FAST = {"num_inference_steps": 4, "output_type": "np", "policy": "picto"}
NEUTRAL_PROMPTS = NEUTRAL.read_text(encoding="utf-8").splitlines()


def words(texts: list[str]) -> torch.Tensor:
    """An encoder in whose space terms lie apart: how often each letter pair occurs."""
    rows = torch.zeros(len(texts), 26)
    for row, text in zip(rows, texts):
        for letter in text.lower():
            if letter.isalpha():
                row[ord(letter) - 97] += 1
        row[0] += 20 * bool(rewrite(POLICY, text).triggers)
    return rows


def gate_for(pipe: DualLatentPipeline, threshold: float, policy: str = name_of(POLICY)) -> PromptGate:
    """A gate that gives every prompt a score of 0."""
    probe = pipe._pooled([PROBE])[0]
    return PromptGate(policy, torch.zeros(len(probe)), 0.0, threshold, probe)


class Counting:
    def __init__(self) -> None:
        self.shown = 0

    def verdicts(self, images):
        self.shown += len(images)
        return [Verdict(False)] * len(images)


def test_calibration_clears_neutral_prompts_and_none_with_a_term():
    gate, measured = calibrate(words, POLICY, NEUTRAL_PROMPTS)
    assert 0 < measured["cleared"] <= 0.25
    with_terms = [f"{prompt} with a knife" for prompt in NEUTRAL_PROMPTS[:50]]
    assert not any(gate.clears(score) for score in gate.score(words(with_terms)))
    assert any(gate.clears(score) for score in gate.score(words(NEUTRAL_PROMPTS)))
    assert not gate.clears(float("nan"))


def test_the_same_prompts_give_the_same_gate():
    first, second = (calibrate(words, POLICY, NEUTRAL_PROMPTS)[0] for _ in range(2))
    assert torch.equal(first.direction, second.direction) and first.threshold == second.threshold


def test_an_encoder_without_sense_gives_no_gate():
    with pytest.raises(ValueError, match="no gate is made"):
        calibrate(lambda texts: torch.zeros(len(texts), 8), POLICY, NEUTRAL_PROMPTS)
    with pytest.raises(ValueError, match="40 needed"):
        calibrate(words, POLICY, ["a cat", "a cat", "a man with a knife"])


def test_what_is_cleared_is_stock_and_shown_to_no_judge(tiny_dual, seeds):
    judge = Counting()
    options = {"generator": seeds(1, 2), "preview": judge, "prompt_gate": gate_for(tiny_dual, 0.5)}
    output = tiny_dual(PROMPTS, **options, **FAST)
    stock = tiny_dual(PROMPTS, safety_level=0, generator=seeds(1, 2), **FAST)
    assert np.array_equal(output.images, stock.images) and judge.shown == 0
    assert [(r.cleared, r.prompt_score, r.denoiser_rows) for r in output.safety] == [(True, 0.0, 8)] * 2


def test_what_isnt_cleared_is_previewed(tiny_dual, seeds):
    judge = Counting()
    options = {"generator": seeds(1, 2), "preview": judge, "prompt_gate": gate_for(tiny_dual, -0.5)}
    output = tiny_dual([PROMPTS[0], "a man with a knife"], **options, **FAST)
    assert judge.shown == 1 and not any(report.cleared for report in output.safety)
    assert [report.prompt_score for report in output.safety] == [0.0, None]


def test_a_stored_gate_is_found_for_its_policy_only(tmp_path):
    tiny.stable_diffusion().save_pretrained(tmp_path)
    pipe = tiny.quiet(DualLatentPipeline.from_pretrained(tmp_path))
    judge = Counting()
    gate_for(pipe, 0.5).save(gate_file(tmp_path, POLICY))
    assert all(report.cleared for report in pipe(PROMPTS, preview=judge, **FAST).safety) and judge.shown == 0
    assert not any(r.cleared for r in pipe(PROMPTS, preview=judge, prompt_gate=None, **FAST).safety)
    gate_for(pipe, 0.5, "picto@other").save(gate_file(tmp_path, POLICY))
    assert not any(report.cleared for report in pipe(PROMPTS, preview=judge, **FAST).safety)
    with pytest.raises(ValueError, match="calibrated for policy picto@other"):
        pipe(PROMPTS, preview=judge, prompt_gate=gate_file(tmp_path, POLICY), **FAST)


def test_a_gate_of_another_text_encoder_is_not_used(tmp_path):
    tiny.stable_diffusion().save_pretrained(tmp_path)
    pipe = tiny.quiet(DualLatentPipeline.from_pretrained(tmp_path))
    gate = gate_for(pipe, 0.5)
    gate.save(gate_file(tmp_path, POLICY))
    with torch.no_grad():
        pipe.text_encoder.get_input_embeddings().weight.mul_(-1.0)
    assert not any(report.cleared for report in pipe(PROMPTS, preview=Counting(), **FAST).safety)
    with pytest.raises(ValueError, match="another text encoder"):
        pipe(PROMPTS, preview=Counting(), prompt_gate=gate, **FAST)


def test_bad_gates_are_refused(tiny_dual, tmp_path):
    (tmp_path / "gate.safetensors").write_bytes(b"nonsense")
    for value, error, message in (
        (3, ValueError, "prompt_gate=3"),
        (tmp_path / "gate.safetensors", CheckpointError, "not a prompt gate"),
        (tmp_path / "none.safetensors", CheckpointError, "not a prompt gate"),
        (PromptGate(name_of(POLICY), torch.zeros(3), 0.0, 0.5, torch.zeros(3)), ValueError, "another text encoder"),
    ):
        with pytest.raises(error, match=message):
            tiny_dual(PROMPTS, prompt_gate=value, preview=Counting(), **FAST)


def test_families_with_several_encoders_have_a_pooled_space():
    from families import FAMILIES, dual_of

    for name in ("xl", "sd3", "flux"):
        assert dual_of(FAMILIES[name].make())._pooled(["a cat", "two dogs in a park"]).shape[0] == 2
