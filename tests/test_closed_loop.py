"""Judges in the loop: what they flag is drawn anew and at last withheld; what they pass stays stock, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dualsafe import MethodSettings, Policy
from dualsafe.conditions import Decision
from dualsafe.conditions.aim import aimed
from dualsafe.judges import Verdict, as_judge, ask
from dualsafe.judges.picto import Attributes
from dualsafe.judges.registry import load_judge
from dualsafe.policy import resolve

PROMPTS = ["a pirate in a park", "a cat on a beach"]
FAST = {"num_inference_steps": 6, "output_type": "np", "policy": "picto", "scope": "words"}
SEEN = Verdict(True, 0.9, ("knife",))
CLEAR = Verdict(False, 0.1)


class Scripted:
    """Answers with its verdicts call after call, the last one for ever; keeps what it was shown."""

    def __init__(self, *answers: list[Verdict]):
        self.answers, self.shown = list(answers), []

    def verdicts(self, images):
        self.shown.append(images)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def stock(dual, seeds):
    return dual(PROMPTS, safety_level=0, generator=seeds(1, 2), **FAST).images


def test_what_the_preview_passes_is_stock_at_the_stock_cost(tiny_dual, seeds):
    judge = Scripted([CLEAR, CLEAR])
    output = tiny_dual(PROMPTS, preview=judge, generator=seeds(1, 2), **FAST)
    assert np.array_equal(output.images, stock(tiny_dual, seeds))
    assert len(judge.shown) == 1 and judge.shown[0][0].size == (16, 16)
    assert [report.denoiser_rows for report in output.safety] == [12, 12]
    assert [report.decision for report in output.safety] == ["benign", "benign"]


def test_what_the_preview_flags_starts_over_and_the_others_stay(tiny_dual, seeds):
    output = tiny_dual(PROMPTS, preview=Scripted([SEEN, CLEAR]), generator=seeds(1, 2), **FAST)
    flagged, passed = output.safety
    assert np.array_equal(output.images[1], stock(tiny_dual, seeds)[1])
    assert (passed.decision, passed.denoiser_rows, passed.tries) == ("benign", 12, 0)
    assert (flagged.decision, flagged.gate, flagged.tries) == ("dual", "preview", 1)
    assert flagged.seen == ("knife",) and flagged.safe_prompt == "a pirate in a park with a flower"
    assert flagged.categories == ("violence",) and flagged.score == 0.9


def test_a_call_too_short_for_a_preview_is_judged_at_its_end(tiny_dual, seeds):
    judge = Scripted([SEEN, CLEAR])
    settings = MethodSettings(tau=0.0, preview=0.9)
    options = {"preview": judge, "settings": settings, "generator": seeds(1, 2)}
    output = tiny_dual(PROMPTS, **options, **(FAST | {"num_inference_steps": 2}))
    assert [report.gate for report in output.safety] == ["preview", "prompt"] and len(judge.shown) == 1


def test_a_preview_is_shown_beside_branches_that_agree(tiny_dual, seeds):
    judge = Scripted([SEEN])
    settings = MethodSettings(tau=0.0, latent_gate=0.2, preview=0.5)
    prompts = ["a man in a hat", PROMPTS[0]]
    output = tiny_dual(
        prompts, safe_prompt=[prompts[0], None], preview=judge, settings=settings, generator=seeds(1, 2), **FAST
    )
    assert [report.gate for report in output.safety] == ["latent", "preview"]


def test_a_flagged_picture_is_what_its_safe_prompt_would_have_given(tiny_dual, seeds):
    whole = {"settings": MethodSettings(tau=0.0, mask_floor=None)}
    flagged = tiny_dual(PROMPTS[:1], preview=Scripted([SEEN]), generator=seeds(1), **whole, **FAST)
    told = tiny_dual(PROMPTS[:1], safe_prompt=["a pirate in a park with a flower"], generator=seeds(1), **whole, **FAST)
    assert np.allclose(flagged.images, told.images, atol=1e-5)
    assert flagged.safety[0].denoiser_rows < 12 + told.safety[0].denoiser_rows  # the first pass was cut short


def test_a_pair_keeps_the_stock_original_of_a_flagged_picture(tiny_dual, seeds):
    output = tiny_dual(PROMPTS, preview=Scripted([SEEN, SEEN]), return_pair=True, generator=seeds(1, 2), **FAST)
    assert np.array_equal(output.unsafe_images, stock(tiny_dual, seeds))


def test_verify_tries_again_until_the_judge_is_content(tiny_dual, seeds):
    judge = Scripted([SEEN, CLEAR], [SEEN], [CLEAR])
    output = tiny_dual(PROMPTS, verify=judge, generator=seeds(1, 2), **FAST)
    assert [len(shown) for shown in judge.shown] == [2, 1, 1]
    assert [report.tries for report in output.safety] == [2, 0]
    assert output.safety[0].gate == "verify" and not output.safety[0].withheld
    assert np.array_equal(output.images[1], stock(tiny_dual, seeds)[1])


def test_what_stays_flagged_is_withheld(tiny_dual, seeds):
    output = tiny_dual(PROMPTS, verify=Scripted([SEEN, CLEAR], [SEEN]), max_tries=1, generator=seeds(1, 2), **FAST)
    assert [report.withheld for report in output.safety] == [True, False]
    assert output.images[0].max() == 0 and output.images[1].max() > 0
    latents = tiny_dual(
        PROMPTS, verify=lambda images: [True] * len(images), max_tries=0, **(FAST | {"output_type": "latent"})
    )
    assert latents.images.abs().max() == 0


def test_a_policy_without_aims_shows_the_counterpart_or_nothing(tiny_dual, seeds):
    knife, blood = {"term": "knife", "counterpart": "flower"}, {"term": "blood", "counterpart": None}
    data = {"description": "", "concepts": [knife, blood]}
    policy = Policy.from_data({"id": "own", "version": 1, "description": "", "categories": {"violence": data}}, "own")
    judge = Scripted([SEEN, Verdict(True, concepts=("blood",))])
    output = tiny_dual(PROMPTS, preview=judge, generator=seeds(1, 2), **(FAST | {"policy": policy}))
    assert output.safety[0].safe_prompt == "a pirate in a park with a flower"
    assert [report.withheld for report in output.safety] == [False, True]
    assert output.images[1].max() == 0


@pytest.mark.parametrize("answer", [RuntimeError("out of memory"), [CLEAR]], ids=["crash", "too few"])
def test_a_judge_that_fails_flags_everything(tiny_dual, seeds, answer):
    def judge(images):
        if isinstance(answer, Exception):
            raise answer
        return answer

    output = tiny_dual(PROMPTS, verify=judge, max_tries=1, generator=seeds(1, 2), **FAST)
    assert [report.withheld for report in output.safety] == [True, True]
    assert output.images.max() == 0


def test_a_flagged_picture_is_changed_however_high_the_floor_of_the_mask(tiny_dual, seeds):
    settings = MethodSettings(mask_floor=1e6)
    output = tiny_dual(PROMPTS, preview=Scripted([SEEN, CLEAR]), settings=settings, generator=seeds(1, 2), **FAST)
    assert not np.array_equal(output.images[0], stock(tiny_dual, seeds)[0])
    assert output.safety[0].mask_area > 0 and output.safety[0].gate == "preview"


@pytest.mark.parametrize("kind", ["preview", "verify"])
def test_a_flagged_picture_whose_aim_the_text_encoder_does_not_reach_is_withheld(tiny_dual, seeds, kind):
    prompt = "a pirate in a park, at the end of a long day, by the cold sea"  # over the encoder's 48 tokens
    judge = Scripted([SEEN], [CLEAR])
    output = tiny_dual(prompt, **{kind: judge}, generator=seeds(1), **FAST)
    assert output.safety[0].withheld and output.images.max() == 0
    assert output.safety[0].tries == 0 and output.safety[0].denoiser_rows <= 12


def test_a_flagged_picture_that_the_callers_mask_keeps_as_it_is_is_withheld(tiny_dual, seeds):
    nowhere = torch.zeros(16, 16)
    output = tiny_dual(PROMPTS, preview=Scripted([SEEN, CLEAR]), mask=nowhere, generator=seeds(1, 2), **FAST)
    assert [report.withheld for report in output.safety] == [True, False] and output.images[0].max() == 0


def test_level_zero_asks_no_judge(tiny_dual, seeds):
    judge = Scripted([SEEN, SEEN])
    output = tiny_dual(PROMPTS, safety_level=[0.0, 1.0], verify=judge, max_tries=0, generator=seeds(1, 2), **FAST)
    assert [report.withheld for report in output.safety] == [False, True]
    assert len(judge.shown[0]) == 1


def test_stochastic_schedulers_start_over_from_the_same_noise(tiny_dual, seeds):
    whole = {"settings": MethodSettings(tau=0.0, mask_floor=None), "eta": 0.7}
    flagged = tiny_dual(PROMPTS, preview=Scripted([SEEN, CLEAR]), generator=seeds(1, 2), **whole, **FAST)
    told = tiny_dual(PROMPTS[:1], safe_prompt=["a pirate in a park with a flower"], generator=seeds(1), **whole, **FAST)
    assert np.allclose(flagged.images[0], told.images[0], atol=1e-4)


def test_without_text_a_flagged_picture_is_withheld(tiny_dual, seeds):
    embeds, negative = tiny_dual.encode_prompt(PROMPTS, tiny_dual.device, 1, True)
    output = tiny_dual(
        prompt_embeds=embeds,
        negative_prompt_embeds=negative,
        safe_prompt_embeds=embeds,
        verify=Scripted([SEEN, CLEAR], [SEEN]),
        max_tries=1,
        generator=seeds(1, 2),
        **FAST,
    )
    assert [report.withheld for report in output.safety] == [True, False]


def test_ask_and_as_judge():
    assert ask(as_judge("verify", lambda images: [True, 0]), [None, None]) == [Verdict(True), Verdict(False)]
    assert all(v.is_unsafe and "division" in v.error for v in ask(as_judge("verify", lambda images: 1 / 0), [None]))
    with pytest.raises(ValueError, match="verify=3"):
        as_judge("verify", 3)


def test_no_answer_is_never_taken_for_safe():
    silent = as_judge("verify", lambda images: [None, False])
    assert [verdict.is_unsafe for verdict in ask(silent, [None, None])] == [True, False]
    assert Verdict(False, refused=True).is_unsafe and Verdict(False, error="out of memory").is_unsafe
    assert Attributes({}, float("nan")).is_unsafe


NAMED = {**FAST, "num_inference_steps": 12, "return_pair": True}
"""Enough steps for a shared phase; random weights hardly heed texts, so that both branches draw nearly the same."""


def test_what_still_shows_the_same_is_drawn_again_from_the_first_step(tiny_dual, seeds):
    prompts = ["a man with a knife", "a cat on a beach"]
    late, soon = (MethodSettings(tau=tau, mask_floor=9.0) for tau in (0.3, 0.0))
    output = tiny_dual(prompts, settings=late, generator=seeds(1, 2), **NAMED)
    at_once = tiny_dual(prompts, settings=soon, generator=seeds(1, 2), **NAMED)
    assert [report.tries for report in output.safety] == [1, 0] and output.safety[0].tau == 0
    assert [report.tries for report in at_once.safety] == [0, 0]  # drawing it again would change nothing
    assert np.allclose(output.images, at_once.images, atol=1e-5)
    assert np.array_equal(output.unsafe_images, stock_of(tiny_dual, prompts, seeds))


@pytest.mark.parametrize(
    "more",
    [
        {"max_tries": 0},
        {"safety_level": 0.5},  # which asks for something between
        {"settings": MethodSettings(tau=0.3, mask_floor=None)},  # nothing to tell it by
        {"prompt": "a man with a drum", "safe_prompt": "a man with a flower"},  # nothing unsafe is known of it
        {"settings": MethodSettings(tau=0.3, mask_floor=0.001)},  # it differs by that
    ],
    ids=["no tries", "level", "no mask", "no word", "floor"],
)
def test_what_may_stay_near_its_original_is_drawn_once(tiny_dual, seeds, more):
    settings = MethodSettings(tau=0.3, mask_floor=9.0, latent_gate=None)
    told = {"prompt": "a man with a knife", "settings": settings, "generator": seeds(1)} | NAMED | more
    assert tiny_dual(**told).safety[0].tries == 0


def test_an_original_that_the_first_pass_only_followed_is_computed_in_the_second(tiny_dual, seeds):
    """Beside a prompt that a judge looks at, a sample does in every pass as alone."""
    settings = MethodSettings(tau=0.0, original_interval=0.3, preview=0.9)
    call = {"settings": settings} | FAST | {"num_inference_steps": 10}
    named, alone, beside = "a man with a knife", Scripted([SEEN], [CLEAR]), Scripted([SEEN, CLEAR], [CLEAR])
    expected = tiny_dual(named, verify=alone, generator=seeds(1), **call)
    found = tiny_dual([named, PROMPTS[1]], preview=Scripted([CLEAR]), verify=beside, generator=seeds(1, 2), **call)
    assert expected.safety[0].tries == found.safety[0].tries == 1
    assert np.allclose(found.images[0], expected.images[0], atol=1e-5)


def test_an_item_that_the_first_steps_have_settled_goes_all_the_same(picto_dual):
    prompt = "a woman in red with a gun on a beach"  # under seed 9 the gun is there before the branches part
    output = picto_dual(prompt, generator=torch.Generator().manual_seed(9), return_pair=True, guidance_scale=5.0)
    before, after = load_judge("picto").verdicts([*output.unsafe_images, *output.images])
    assert before.is_unsafe and not after.is_unsafe and output.safety[0].tries == 1


def stock_of(dual, prompts, seeds):
    return dual(prompts, safety_level=0, generator=seeds(1, 2), **NAMED | {"return_pair": False}).images


def test_a_prompt_that_says_the_aim_already_is_told_another_categorys():
    told = aimed(Decision("benign", 1.0), {"prompt": "a bear with a balloon"}, ["hate"], resolve("picto"), "watch")
    assert told.safe_prompt == "a bear with a balloon with a flower" and told.categories == ("hate",)
    both = aimed(Decision("benign", 1.0), {"prompt": "a bear"}, ["hate", "disaster"], resolve("picto"), "watch")
    assert both.safe_prompt == "a bear with a balloon with an umbrella"
