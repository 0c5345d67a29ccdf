"""The watch over prompts that name nothing, on every family: what it spends, what it flags, and what then is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, OF_THE_SAME_CALLS, STEPS, dual_of, every
from PIL import Image

from dualsafe import CheckpointError, MethodSettings
from dualsafe.branches import Branches
from dualsafe.calibration import FILE, calibrate, calibrated, save, watch_scores
from dualsafe.judges import Verdict
from dualsafe.policy import resolve
from dualsafe.watch import Probes, Watch, margin, probes_of, reading, similarity, spread

NAMED, PLAIN = "a man with a knife", "a dog at a castle"
NEVER, ALWAYS = MethodSettings(watch=2.0), MethodSettings(watch=-2.0)
PROBES = probes_of(resolve("i2p"))


@pytest.fixture(scope="module", params=every(slow=OF_THE_SAME_CALLS))
def family(request: pytest.FixtureRequest):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def stock(family):
    return family.make()


@pytest.fixture(scope="module")
def dual(stock):
    return dual_of(stock)


def test_spread_similarity_and_margin_are_their_formulas():
    torch.manual_seed(0)
    e_p, e_0, e_k = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3), torch.randn(2, 5, 4, 3, 3)
    weight = spread(e_k)
    found = similarity(e_p, e_k, e_0, weight)
    for n in range(2):
        prompt, w = (e_p[n] - e_0[n]).flatten(), ((e_k[n] - e_k[n].mean(0)) ** 2).mean(0).flatten()
        assert torch.allclose(weight[n].flatten(), w / w.mean(), atol=1e-5)
        for k in range(5):
            concept = (e_k[n, k] - e_0[n]).flatten()
            cosine = (w * prompt * concept).sum() / ((w * prompt**2).sum() * (w * concept**2).sum()).sqrt()
            assert found[n, k] == pytest.approx(float(cosine), abs=1e-5)
        least = max(found[n, :3].tolist()) - max(found[n, 3:].tolist())
        assert float(margin(found, 3)[n]) == pytest.approx(least, abs=1e-6)


def test_probes_that_all_say_the_same_tell_nothing_so_that_a_picture_is_flagged():
    watch = Watch(Probes(("c", "e"), ("hate",), 2), {"prompt_embeds": torch.arange(2)}, False, 0.1, dict, [0])
    watch.look(torch.ones(1, 3), torch.zeros(1, 3), lambda samples, embeds: torch.ones(1, 2, 3))
    assert watch.found[0].is_flagged


def test_probes_are_the_first_concepts_of_the_categories_asked_for():
    probes = probes_of(resolve("picto"), ("hate", "disaster"))
    assert probes.texts[:2] == ("a picture of a hate flag", "a picture of a fire")
    assert probes.categories == ("hate", "disaster")
    assert probes.texts[probes.first :] == ("a picture of a heart flag", "a picture of a lantern")


@pytest.fixture
def everywhere(monkeypatch):
    """All elements count alike."""
    monkeypatch.setattr(reading, "spread", lambda e_k: torch.ones_like(e_k[:, 0]))


@pytest.mark.parametrize(
    "concept, everyday, lookalike, asked, flagged",
    [(0.5, 0.6, 0.0, False, False), (0.5, 0.2, 0.6, True, False), (0.5, 0.2, 0.3, True, True)],
)
def test_lookalikes_are_asked_only_where_everyday_things_leave_a_doubt(
    concept, everyday, lookalike, asked, flagged, everywhere
):
    axis = torch.eye(3)[None, 0]  # the prompt's direction; each prediction lies at an angle of its own to it
    values = torch.tensor([concept, everyday, lookalike])
    predicted = torch.stack([values, (1 - values.square()).sqrt(), torch.zeros(3)], 1)
    calls = []

    def predict(samples, embeds):
        calls.append(len(embeds["prompt_embeds"]))
        return predicted[embeds["prompt_embeds"].long()][None]

    watch = Watch(Probes(("c", "e", "l"), ("hate",), 2), {"prompt_embeds": torch.arange(3)}, False, 0.0, dict, [0])
    watch.look(axis, torch.zeros(1, 3), predict)
    assert calls == [2, 1][: 1 + asked] and watch.rows == {0: 2 + asked}
    assert watch.found[0].is_flagged == flagged
    assert watch.found[0].score == pytest.approx(concept - max(everyday, lookalike if asked else -1), abs=1e-6)


def test_the_category_that_leads_is_the_one_of_the_nearest_concept(everywhere):
    axis = torch.eye(3)[None, 0]
    values = torch.tensor([0.2, 0.7, 0.1])
    predicted = torch.stack([values, (1 - values.square()).sqrt(), torch.zeros(3)], 1)[None]
    probes = Probes(("a", "b", "everyday"), ("hate", "violence"), 3)
    watch = Watch(probes, {"prompt_embeds": torch.arange(3)}, False, 0.0, dict, [0])
    watch.look(axis, torch.zeros(1, 3), lambda samples, embeds: predicted)
    assert watch.found[0].category == "violence" and watch.found[0].score == pytest.approx(0.6)


def test_what_is_not_flagged_is_the_stock_picture(family, stock, dual, seeds):
    expected = family.images(stock, [PLAIN, "a cat"], generator=seeds(1, 2))
    output = family.call(dual, [PLAIN, "a cat"], settings=NEVER, generator=seeds(1, 2))
    assert np.array_equal(output.images, expected)
    off = family.call(dual, [PLAIN], safety_level=0, generator=seeds(1)).safety[0]
    for report in output.safety:
        assert report.decision == "benign" and report.watched is not None
        asked = report.denoiser_rows - off.denoiser_rows
        assert asked - PROBES.first in (0, 1)  # the empty text, where guidance has none
    words = family.call(dual, [PLAIN], scope="words", generator=seeds(1)).safety[0]
    assert words.denoiser_rows == off.denoiser_rows and words.watched is None


def test_what_is_flagged_is_drawn_as_its_aimed_text_says(family, dual, seeds):
    settings = replace(ALWAYS, mask_floor=None)
    found = family.call(dual, [PLAIN], settings=settings, generator=seeds(1), return_pair=True)
    report = found.safety[0]
    assert (report.decision, report.gate) == ("dual", "watch") and len(report.categories) == 1
    aim = resolve("i2p").categories[report.categories[0]].aim
    assert report.safe_prompt.startswith(PLAIN) and aim in report.safe_prompt
    assert not np.array_equal(found.images, found.unsafe_images)


def test_a_flagged_sample_is_what_the_caller_would_have_got_by_the_same_text(tiny_dual, seeds):
    call = {"num_inference_steps": 25, "output_type": "np", "settings": replace(ALWAYS, mask_floor=None)}
    found = tiny_dual(PLAIN, generator=seeds(1), **call)
    told = tiny_dual(PLAIN, safe_prompt=found.safety[0].safe_prompt, generator=seeds(1), **call)
    assert found.safety[0].gate == "watch" and told.safety[0].gate == "given"
    assert np.allclose(found.images, told.images, atol=1e-5)


def test_the_look_is_at_the_last_step_before_its_progress(tiny_dual, seeds, monkeypatch):
    looked, under = [], Branches.under

    def noted(self, call, samples, embeds):
        looked.append(float(call.timestep))
        return under(self, call, samples, embeds)

    monkeypatch.setattr(Branches, "under", noted)
    tiny_dual(PLAIN, num_inference_steps=25, generator=seeds(1), settings=replace(NEVER, tau=0.3))
    assert set(looked) == {min(t for t in tiny_dual.scheduler.timesteps.tolist() if 1 - t / 1000 < 0.3)}


def test_a_flagged_sample_parts_after_the_look_in_all_calls_of_a_step(seeds):
    family = FAMILIES["flux-true-cfg"]  # a negative's prediction is a call of its own
    dual, whole = dual_of(family.make()), {"tau": 0.0, "mask_floor": None, "original_interval": None}
    flagged, plain = (
        family.call(dual, [PLAIN], settings=replace(s, **whole), return_pair=True, generator=seeds(1)).safety[0]
        for s in (ALWAYS, NEVER)
    )
    lookalikes = len(PROBES.texts) - PROBES.first
    assert flagged.gate == "watch"
    assert flagged.denoiser_rows - plain.denoiser_rows == lookalikes + 2 * (STEPS - 1)


def test_words_watch_judge_and_nothing_decide_in_one_batch_as_alone(tiny_dual, seeds):
    class SeesDark:
        covers = ("sexual",)

        def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
            means = [np.asarray(image).mean() for image in images]
            return [Verdict(mean < 118, concepts=("sexual",)) for mean in means]

    prompts = [NAMED, PLAIN, "a picture of two people", "a cat in the snow"]
    call = {"num_inference_steps": 9, "output_type": "np", "preview": SeesDark()}
    alone = [tiny_dual(p, generator=seeds(i), settings=ALWAYS, **call) for i, p in enumerate(prompts)]
    threshold = sorted(output.safety[0].watched or -2 for output in alone)[-1] - 1e-4  # so that one is flagged
    call["settings"] = MethodSettings(watch=threshold)
    alone = [tiny_dual(p, generator=seeds(i), **call) for i, p in enumerate(prompts)]
    batch = tiny_dual(prompts, generator=seeds(0, 1, 2, 3), **call)
    assert {report.gate for report in batch.safety} >= {"prompt", "watch"}
    for i, output in enumerate(alone):
        assert batch.safety[i].gate == output.safety[0].gate
        assert np.allclose(batch.images[i], output.images[0], atol=1e-5)


@pytest.mark.parametrize("fault", ["nan", "error"])
def test_a_watch_that_fails_flags(fault, tiny_dual, seeds, monkeypatch):
    def broken(self, call, samples, embeds):
        if fault == "error":
            raise RuntimeError("out of memory")
        return torch.full((len(samples), len(embeds["prompt_embeds"]), 4, 8, 8), torch.nan)

    monkeypatch.setattr(Branches, "under", broken)
    output = tiny_dual(PLAIN, num_inference_steps=6, generator=seeds(1), settings=NEVER)
    assert output.safety[0].gate == "watch" and output.safety[0].decision == "dual"


def test_an_interrupted_watch_withholds(tiny_dual, seeds):
    def stop(pipe, step, timestep, kwargs):
        pipe._interrupt = True
        return kwargs

    output = tiny_dual(PLAIN, num_inference_steps=25, generator=seeds(1), callback_on_step_end=stop)
    assert output.safety[0].withheld and not np.asarray(output.images[0]).any()


def test_a_mask_that_keeps_a_flagged_picture_withholds_it(tiny_dual, seeds):
    output = tiny_dual(PLAIN, num_inference_steps=6, generator=seeds(1), settings=ALWAYS, mask=torch.zeros(8, 8))
    assert output.safety[0].gate == "watch" and output.safety[0].withheld


def test_the_negative_prompt_is_not_taken_for_the_empty_text(tiny_dual, seeds):
    plain = tiny_dual(PLAIN, num_inference_steps=6, generator=seeds(1), settings=NEVER).safety[0]
    told = tiny_dual(PLAIN, num_inference_steps=6, generator=seeds(1), settings=NEVER, negative_prompt="dark").safety[0]
    assert told.denoiser_rows == plain.denoiser_rows + 1  # a row for the empty text


def test_a_bad_scope_is_named(tiny_dual):
    with pytest.raises(ValueError, match="scope='some' is not one of all, words"):
        tiny_dual(PLAIN, scope="some")


def test_a_calibration_is_the_share_of_benign_prompts_asked_for_and_is_kept_beside_the_weights(tiny_dual, tmp_path):
    prompts = [f"a cat on {i} chairs" for i in range(20)]
    found = calibrate(tiny_dual, prompts, 0.1, num_inference_steps=2)
    scores = watch_scores(tiny_dual, prompts, num_inference_steps=2)
    assert found["settings"]["watch"] == pytest.approx(np.quantile(scores, 0.9), abs=1e-4) and found["prompts"] == 20
    save(found, tmp_path)
    assert calibrated(tmp_path) == MethodSettings(**found["settings"])
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="holds no calibration"):
        calibrated(tmp_path)
    assert calibrated(tmp_path / "elsewhere") == MethodSettings()
