"""The watch over prompts that name nothing, on every family: what it spends, what it flags, and what then is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, OF_THE_SAME_CALLS, dual_of, every
from PIL import Image

from dualsafe import CheckpointError, MethodSettings
from dualsafe.branches import Branches
from dualsafe.calibration import FILE, calibrate, calibrated, save, watch_scores
from dualsafe.denoiser import DualDenoiser
from dualsafe.judges import Verdict
from dualsafe.pipelines.call import Call
from dualsafe.policy import resolve
from dualsafe.watch import Finding, Probes, Watch, distance, margin, probes_of, reading, spread

NAMED, PLAIN = "a man with a knife", "a dog at a castle"
NEVER, ALWAYS = MethodSettings(watch=1.0), MethodSettings(watch=-1.0)
PROBES = probes_of(resolve("i2p"))
UNGUIDED = {"Qwen-Image": {"true_cfg_scale": 1.0}, "Z-Image": {"guidance_scale": 0.0}}
"""What turns guidance off, where it is not a guidance scale of 1."""


@pytest.fixture(scope="module", params=every(slow=OF_THE_SAME_CALLS))
def family(request: pytest.FixtureRequest):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def stock(family):
    return family.make()


@pytest.fixture(scope="module")
def dual(stock):
    return dual_of(stock)


@pytest.fixture(autouse=True)
def passes_the_second_look(monkeypatch, request):
    """With a threshold that flags everything, what is drawn in the place of a picture would be flagged as well."""
    if "second_look" not in request.node.name:
        monkeypatch.setattr(Watch, "look_again", lambda *_: Finding(-1.0, "hate", False))


def test_spread_distance_and_margin_are_their_formulas():
    torch.manual_seed(0)
    x, x_k = torch.randn(2, 4, 3, 3), torch.randn(2, 5, 4, 3, 3)
    weight = spread(x_k)
    found = distance(x, x_k, weight)
    for n in range(2):
        w = ((x_k[n] - x_k[n].mean(0)) ** 2).mean(0)
        assert torch.allclose(weight[n], w / w.mean(), atol=1e-5)
        for k in range(5):
            assert found[n, k] == pytest.approx(float((weight[n] * (x[n] - x_k[n, k]) ** 2).mean()), abs=1e-5)
        c, h = min(found[n, :3].tolist()), min(found[n, 3:].tolist())
        assert float(margin(found, 3)[n]) == pytest.approx((h - c) / (h + c), abs=1e-6)


def test_probes_that_all_say_the_same_tell_nothing_so_that_a_picture_is_flagged():
    watch = Watch(Probes(("c", "e", ""), ("hate",), 2), {"prompt_embeds": torch.arange(3)}, 0.1, [0])
    found = watch.look(torch.zeros(1, 3), lambda samples, embeds: torch.ones(1, len(embeds["prompt_embeds"]), 3))
    assert found[0].is_flagged


def test_probes_are_the_first_concepts_of_the_categories_asked_for():
    probes = probes_of(resolve("picto"), ("hate", "disaster"))
    assert probes.texts[:2] == ("a picture of a hate flag", "a picture of a fire")
    assert probes.categories == ("hate", "disaster")
    lookalikes, aims = ("a picture of a heart flag", "a picture of a lantern"), ("a picture with a balloon",)
    assert probes.texts[probes.first :] == (*lookalikes, *aims, "")  # an umbrella is among the everyday things
    assert "a picture, peaceful, calm, everyone unharmed" in PROBES.texts[PROBES.first :]


@pytest.fixture
def everywhere(monkeypatch):
    """All elements count alike."""
    monkeypatch.setattr(reading, "spread", lambda x_k: torch.ones_like(x_k[:, 0]))


@pytest.mark.parametrize(
    "concept, everyday, lookalike, asked, flagged",
    [(0.5, 0.4, 1.0, False, False), (0.5, 0.8, 0.4, True, False), (0.5, 0.8, 0.7, True, True)],
)
def test_lookalikes_are_asked_only_where_everyday_things_leave_a_doubt(
    concept, everyday, lookalike, asked, flagged, everywhere
):
    predicted = torch.tensor([concept, everyday, lookalike])[:, None]  # how far each is from the picture, at 0
    calls = []

    def early(samples, embeds):
        calls.append(len(embeds["prompt_embeds"]))
        return predicted[embeds["prompt_embeds"].long()][None]

    watch = Watch(Probes(("c", "e", "l"), ("hate",), 2), {"prompt_embeds": torch.arange(3)}, 0.0, [0])
    found = watch.look(torch.zeros(1, 1), early)[0]
    assert calls == [2, 1][: 1 + asked] and watch.rows == {0: 2 + asked}
    nearest = min(everyday, lookalike if asked else 9) ** 2
    assert found.is_flagged == flagged
    assert found.score == pytest.approx((nearest - concept**2) / (nearest + concept**2), abs=1e-6)


def test_the_category_that_leads_is_the_one_of_the_nearest_concept(everywhere):
    predicted = torch.tensor([0.8, 0.3, 0.9, 1.0])[None, :, None]
    probes = Probes(("a", "b", "everyday", ""), ("hate", "violence"), 4)
    watch = Watch(probes, {"prompt_embeds": torch.arange(4)}, 0.9, [0])
    assert watch.look(torch.zeros(1, 1), lambda samples, embeds: predicted)[0].category == "violence"


def test_a_second_look_compares_other_latents_with_the_same_texts(everywhere):
    predicted = torch.tensor([0.5, 2.0, 3.0])[:, None]

    def early(samples, embeds):
        return predicted[embeds["prompt_embeds"].long()][None].expand(len(samples), -1, -1)

    watch = Watch(Probes(("c", "e", ""), ("hate",), 2), {"prompt_embeds": torch.arange(3)}, 0.0, [0, 1])
    found = watch.look(torch.tensor([[0.4], [2.1]]), early)
    assert found[0].is_flagged and not found[1].is_flagged
    assert watch.look_again(0, torch.tensor([0.6])).is_flagged
    again = watch.look_again(0, torch.tensor([1.9]))
    assert not again.is_flagged and again.score == pytest.approx((0.1**2 - 1.4**2) / (0.1**2 + 1.4**2), abs=1e-4)
    assert watch.look_again(1, torch.tensor([1.9])).is_flagged  # nothing is known to compare it with


@pytest.mark.parametrize("until", [0, 1, 2])
def test_what_the_second_look_finds_is_drawn_again_and_then_withheld(until, tiny_dual, seeds, monkeypatch):
    """It finds something `until` so many pictures were drawn in the place of the flagged one."""
    looks = []

    def again(self, i, x0):
        looks.append(x0)
        return Finding(0.5, "violence", len(looks) <= until)

    monkeypatch.setattr(Watch, "look_again", again)
    call = {"num_inference_steps": 25, "settings": replace(ALWAYS, mask_floor=None), "generator": seeds(1)}
    report = tiny_dual(PLAIN, **call).safety[0]
    assert report.gate == "watch" and report.withheld == (until == 2)
    assert report.tries == 1 + (until > 0) and ("violence" in report.categories) == (until > 0)
    assert len(looks) == 2 and torch.equal(looks[0], looks[1]) == (until == 0)
    assert tiny_dual(PLAIN, **call | {"max_tries": 0, "generator": seeds(1)}).safety[0].tries == 1


def test_the_second_look_is_for_level_1(tiny_dual, seeds, monkeypatch):
    monkeypatch.setattr(Watch, "look_again", lambda *_: Finding(0.5, "violence", True))
    report = tiny_dual(PLAIN, num_inference_steps=25, settings=ALWAYS, generator=seeds(1), safety_level=0.5).safety[0]
    assert report.gate == "watch" and not report.withheld


def test_what_is_asked_of_the_early_step_is_what_the_model_predicts_there(family, stock, seeds, monkeypatch):
    """Under the prompt itself, and without guidance, it is the run's own early prediction."""
    dual, seen = dual_of(stock), {}
    probes = Probes((PLAIN, "a cat"), ("hate",), 2)
    monkeypatch.setattr("dualsafe.pipelines.call.probes_of", lambda *_: replace(probes, texts=(*probes.texts, "")))
    look = Watch.look

    def noted(self, x0, early):
        first = {name: value[:1] for name, value in self.embeds.items()}
        seen["x_k"] = early([0], first)[0, 0]
        return look(self, x0, early)

    monkeypatch.setattr(Watch, "look", noted)
    shown = DualDenoiser._look

    def kept(self, call, u, step):
        shown(self, call, u, step)
        if self._kept is not None and self._kept.step is step:
            seen["x0"] = dual._stock().finished(u.x0)[0]

    monkeypatch.setattr(DualDenoiser, "_look", kept)
    family.call(
        dual, [PLAIN], **UNGUIDED.get(dual.pattern.family, {"guidance_scale": 1.0}), settings=NEVER, generator=seeds(1)
    )
    assert torch.allclose(seen["x_k"], seen["x0"], atol=1e-4)


def test_what_is_not_flagged_is_the_stock_picture(family, stock, dual, seeds):
    expected = family.images(stock, [PLAIN, "a cat"], generator=seeds(1, 2))
    output = family.call(dual, [PLAIN, "a cat"], settings=NEVER, generator=seeds(1, 2))
    assert np.array_equal(output.images, expected)
    off = family.call(dual, [PLAIN], safety_level=0, generator=seeds(1)).safety[0]
    for report in output.safety:
        assert report.decision == "benign" and report.watched is not None
        assert report.denoiser_rows == off.denoiser_rows + PROBES.first
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


def test_a_second_pass_is_the_same_with_the_originals_of_the_first(family, dual, seeds, monkeypatch):
    monkeypatch.setattr("dualsafe.denoiser.OWN_CALLS", 1)  # so that a run this short has a shared phase
    settings = replace(ALWAYS, tau=0.3, original_interval=None)
    call = {"settings": settings, "return_pair": True, "max_tries": 0}
    found = family.call(dual, [PLAIN, "a cat"], generator=seeds(1, 2), **call)
    assert [report.gate for report in found.safety] == ["watch", "watch"]
    monkeypatch.setattr(Call, "_known_of", lambda *_: {})
    anew = family.call(dual, [PLAIN, "a cat"], generator=seeds(1, 2), **call)
    assert np.array_equal(found.unsafe_images, anew.unsafe_images)
    assert np.allclose(found.images, anew.images, atol=2e-4)


@pytest.mark.parametrize("pair", [False, True])
def test_what_the_first_pass_has_computed_is_not_computed_again(pair, tiny_dual, seeds, monkeypatch):
    call = {"num_inference_steps": 25, "output_type": "np", "return_pair": pair, "max_tries": 0}
    settings = replace(ALWAYS, original_interval=None)
    found = tiny_dual(PLAIN, generator=seeds(1), settings=settings, **call)
    monkeypatch.setattr(Call, "_known_of", lambda *_: {})
    anew = tiny_dual(PLAIN, generator=seeds(1), settings=settings, **call)
    assert np.allclose(found.images, anew.images, atol=1e-4)
    steps = 25 if pair else 13  # nobody sees the end of the first pass otherwise, so that it is left at the look
    assert anew.safety[0].denoiser_rows - found.safety[0].denoiser_rows == 2 * steps


def test_the_early_step_is_the_last_until_its_progress_and_the_look_comes_later(tiny_dual, seeds, monkeypatch):
    asked, looked, under = [], [], Branches.under

    def noted(self, call, samples, embeds):
        asked.append(float(call.timestep))
        return under(self, call, samples, embeds)

    def step(pipe, i, timestep, kwargs):
        looked.append((float(timestep), len(asked)))
        return kwargs

    monkeypatch.setattr(Branches, "under", noted)
    call = {"generator": seeds(1), "settings": NEVER, "callback_on_step_end": step}
    tiny_dual(PLAIN, num_inference_steps=25, **call)
    table = tiny_dual.scheduler.timesteps.tolist()
    assert set(asked) == {min(t for t in table if 1 - t / 1000 <= 0.12)}
    assert next(t for t, count in looked if count) == max(t for t in table if 1 - t / 1000 >= 0.5)
    asked.clear(), looked.clear()
    tiny_dual(PLAIN, num_inference_steps=25, **call | {"settings": replace(NEVER, preview=0.0)})
    assert set(asked) == {table[2]} and next(t for t, count in looked if count) == table[3]
    for steps, early in ((10, 1), (4, 0)):  # the second step, where it comes early enough, for the first is given noise
        asked.clear()
        tiny_dual(PLAIN, num_inference_steps=steps, **call)
        assert set(asked) == {tiny_dual.scheduler.timesteps.tolist()[early]}


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_are_watched(steps, tiny_dual, seeds):
    settings = replace(ALWAYS, tau=0.0)
    reports = [
        tiny_dual(PLAIN, num_inference_steps=steps, generator=seeds(1), settings=s).safety[0] for s in (NEVER, settings)
    ]
    assert reports[0].decision == "benign" and reports[0].watched is not None
    assert reports[1].gate == "watch"


def test_words_watch_judge_and_nothing_decide_in_one_batch_as_alone(tiny_dual, seeds):
    class SeesDark:
        def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
            means = [np.asarray(image).mean() for image in images]
            return [Verdict(mean < 118, concepts=("sexual",)) for mean in means]

    prompts = [NAMED, PLAIN, "a picture of two people", "a cat in the snow"]
    call = {"num_inference_steps": 10, "output_type": "np", "preview": SeesDark()}
    alone = [tiny_dual(p, generator=seeds(i), settings=ALWAYS, **call) for i, p in enumerate(prompts)]
    threshold = sorted(output.safety[0].watched or -1 for output in alone)[-1] - 1e-4  # so that one is flagged
    # each original is computed at every step: a pass of its own is cut short, after which it is only followed
    call["settings"] = MethodSettings(watch=threshold, original_interval=None)
    alone = [tiny_dual(p, generator=seeds(i), **call) for i, p in enumerate(prompts)]
    batch = tiny_dual(prompts, generator=seeds(0, 1, 2, 3), **call)
    assert {report.gate for report in batch.safety} >= {"prompt", "watch"}
    for i, output in enumerate(alone):
        assert batch.safety[i].gate == output.safety[0].gate
        assert np.allclose(batch.images[i], output.images[0], atol=1e-5)


@pytest.mark.parametrize("sees", [False, True])
@pytest.mark.parametrize("settings", [ALWAYS, NEVER, MethodSettings(watch=None)])
def test_a_judge_looks_beside_the_watch_and_either_may_flag(settings, sees, tiny_dual, seeds):
    call = {"num_inference_steps": 12, "generator": seeds(1), "preview": lambda images: [sees] * len(images)}
    report = tiny_dual(PLAIN, settings=settings, policy="picto", **call).safety[0]
    assert (report.watched is None) == (settings.watch is None)
    assert report.gate == ("preview" if sees else "watch" if settings is ALWAYS else "prompt")


def test_from_noise_alone_a_judge_looks_without_the_watch(tiny_dual, seeds):
    call = {"num_inference_steps": 4, "generator": seeds(1)}
    off = tiny_dual(PLAIN, safety_level=0, **call).safety[0]
    report = tiny_dual(PLAIN, settings=ALWAYS, preview=lambda images: [False] * len(images), **call).safety[0]
    assert report.decision == "benign" and report.watched is None and report.denoiser_rows == off.denoiser_rows


def test_a_judge_of_some_categories_does_not_look_alone(tiny_dual, seeds):
    class OfOne:
        covers = ("sexual",)

        def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
            return [Verdict(False)] * len(images)

    call = {"num_inference_steps": 4, "generator": seeds(1), "settings": ALWAYS, "preview": OfOne()}
    report = tiny_dual(PLAIN, **call).safety[0]
    assert report.gate == "watch" and report.watched is not None


@pytest.mark.parametrize(("steps", "withheld"), [(4, False), (25, True)])
def test_from_noise_alone_there_is_no_second_look(steps, withheld, tiny_dual, seeds):
    report = tiny_dual(PLAIN, num_inference_steps=steps, settings=ALWAYS, generator=seeds(1)).safety[0]
    assert report.gate == "watch" and report.withheld == withheld


def test_without_a_watch_nothing_but_a_judge_looks(tiny_dual, seeds):
    call = {"num_inference_steps": 12, "generator": seeds(1)}
    off = tiny_dual(PLAIN, safety_level=0, **call).safety[0]
    report = tiny_dual(PLAIN, settings=MethodSettings(watch=None), **call).safety[0]
    assert report.decision == "benign" and report.denoiser_rows == off.denoiser_rows


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
