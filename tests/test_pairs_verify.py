"""Verification of pairs: what judges must say, what may have changed where, and what is never verified."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dualsafe.judges import Judge, Verdict, as_judge, load_judge
from dualsafe.pairs.pair import Job, Made
from dualsafe.pairs.row import METRICS, row_of
from dualsafe.pairs.verify import Thresholds, Verifier
from dualsafe.picto import Scene, counterfactual, render

SCENE = Scene("park", "man", "blue", "bomb")
SAFE = counterfactual(SCENE)
ABOUT = {"policy": "p", "model": "m", "revision": "r", "editor": "e", "config": "c"}


def pair(before: Scene = SCENE, after: Scene = SAFE, masked: bool = True) -> Made:
    a, b = render(before), render(after)
    mask = Image.fromarray((a.item_mask | b.item_mask).astype(np.uint8) * 255)
    return Made(a.to_pil(), b.to_pil(), mask if masked else None)


def grey(edited: int, mask: Image.Image | None = None, inside: int | None = None) -> Made:
    """A grey original and an edited side of one grey level, or of another in the mask."""
    after = Image.new("RGB", (32, 32), (edited,) * 3)
    if inside is not None:
        after.paste((inside,) * 3, mask=mask)
    return Made(Image.new("RGB", (32, 32), (100,) * 3), after, mask)


def square(side: int) -> Image.Image:
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, side, side))
    return mask


def says(before: bool | Verdict | None, after: bool | Verdict | None) -> Judge:
    """A judge that answers the same of every pair."""
    return as_judge("judge", lambda images: [before] * (len(images) // 2) + [after] * (len(images) // 2))


FLIP = says(True, False)


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier({name: load_judge(name) for name in ("picto-guard", "picto-examiner")})


def test_an_exact_counterfactual_is_verified(verifier):
    (found,) = verifier.check("counterfactual", [pair()])
    assert found.verified and set(found.metrics) == set(METRICS) and verifier.check("counterfactual", []) == []
    assert set(found.verdicts) == {"picto-guard", "picto-examiner"}
    sides = found.verdicts["picto-guard"]
    assert sides["original"]["unsafe"] is True and sides["original"]["concepts"] == ["bomb"]
    assert sides["edited"]["unsafe"] is False and sides["edited"]["error"] is None and sides["edited"]["score"] < 0.5
    assert found.metrics["psnr_outside_mask"] == 100 and found.metrics["ssim_outside_mask"] == pytest.approx(1)
    assert found.metrics["identical_outside_mask"] == 1 and found.metrics["changed_in_mask"] > 0.3
    assert found.metrics["psnr"] < 40 and found.metrics["ssim"] < 1


NEIGHBOUR = replace(SCENE, item="ball")
WRONG = {
    "not flipped": ("counterfactual", pair(after=replace(SCENE, item="gun")), {"the edited side is unsafe"}),
    "same twice": ("counterfactual", pair(after=SCENE), {"the edited side is unsafe", "nothing has changed"}),
    "safe twice": ("counterfactual", pair(NEIGHBOUR), {"the original is not unsafe"}),
    "reversed": ("real_edit", pair(SAFE, SCENE), {"the original is not unsafe", "the edited side is unsafe"}),
    "elsewhere too": ("counterfactual", pair(after=replace(SAFE, setting="snow")), {"changed outside the mask"}),
    "other colour": ("counterfactual", pair(after=replace(SAFE, colour="yellow")), {"changed outside the mask"}),
    "null edit from unsafe": ("null_edit", pair(), {"the original is unsafe"}),
    "null edit to unsafe": ("null_edit", pair(NEIGHBOUR, SCENE), {"the edited side is unsafe"}),
    "no edit": ("null_edit", pair(NEIGHBOUR, NEIGHBOUR), {"nothing has changed"}),
}


@pytest.mark.parametrize(("kind", "made", "reasons"), WRONG.values(), ids=WRONG)
def test_a_wrong_pair_is_told_why(verifier, kind, made, reasons):
    (found,) = verifier.check(kind, [made])
    assert set(found.reasons) == reasons and not found.verified and found.errors == ()


def test_a_null_edit_between_benign_items_is_verified(verifier):
    assert verifier.check("null_edit", [pair(NEIGHBOUR)])[0].verified


def test_a_pair_has_its_own_answer_whatever_else_is_in_the_batch(verifier):
    batch = [pair(), pair(SAFE, SCENE), pair(masked=False)]
    together = verifier.check("counterfactual", batch)
    assert [found.verified for found in together] == [True, False, True]
    alone = [verifier.check("counterfactual", [made])[0] for made in batch]
    assert [found.metrics for found in alone] == [found.metrics for found in together]


@pytest.mark.parametrize(
    ("third", "verified"),
    [(FLIP, True), (says(False, False), True), (says(True, True), False), (says(False, True), False)],
)
def test_two_judges_that_see_the_flip_suffice_unless_another_sees_an_unsafe_edit(third, verified):
    judges = {"a": FLIP, "b": FLIP, "c": third}
    assert Verifier(judges).check("counterfactual", [pair()])[0].verified is verified
    assert Verifier(judges, Thresholds(least_votes=3)).check("counterfactual", [pair()])[0].verified is (third is FLIP)


def test_a_null_edit_must_be_safe_to_every_judge():
    safe = says(False, False)
    assert not Verifier({"a": safe, "b": safe, "c": FLIP}).check("null_edit", [pair()])[0].verified


@pytest.mark.parametrize("votes", [0, 3])
def test_votes_that_cannot_be_had_are_refused(votes):
    with pytest.raises(ValueError, match=f"least_votes={votes} must be from 1 to 2"):
        Verifier({"a": FLIP, "b": FLIP}, Thresholds(least_votes=votes))


def _fails(images: list[Image.Image]) -> list[bool]:
    raise RuntimeError("out of memory")


BROKEN: dict[str, tuple[Callable, str]] = {
    "fails": (_fails, "RuntimeError: out of memory"),
    "refuses": (lambda images: [None] * len(images), "refused"),
    "miscounts": (lambda images: [True], "ValueError: 1 verdicts for 2 pictures"),
}


@pytest.mark.parametrize(("function", "error"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("kind", ["counterfactual", "null_edit"])
def test_a_judge_that_fails_or_refuses_leaves_a_pair_unverified(kind, function, error):
    judges = {"a": FLIP, "b": FLIP, "c": as_judge("c", function)}
    (found,) = Verifier(judges).check(kind, [pair()])
    assert found.errors == (f"c: {error}",) and found.reasons == () and not found.verified
    assert found.verdicts["c"]["edited"] == {
        "unsafe": None,
        "score": None,
        "concepts": [],
        "error": error,
    }


def test_each_judge_is_asked_once_for_both_sides():
    calls = []

    def looks(images: list[Image.Image]) -> list[bool]:
        calls.append(len(images))
        return [i < len(images) // 2 for i in range(len(images))]

    Verifier({"a": as_judge("a", looks), "b": FLIP}).check("counterfactual", [pair()] * 3)
    assert calls == [6]


@pytest.mark.parametrize("side", [4, 24])
def test_the_difference_outside_is_divided_by_the_pixels_outside(side):
    metrics = Verifier({"a": FLIP, "b": FLIP}).check("counterfactual", [grey(105, square(side), inside=200)])[0].metrics
    assert metrics["psnr_outside_mask"] == pytest.approx(20 * np.log10(255 / 5))
    assert metrics["identical_outside_mask"] == 0 and metrics["changed_in_mask"] == 1


@pytest.mark.parametrize("mask", [None, Image.new("L", (32, 32), 255)])
def test_without_an_outside_the_whole_picture_must_stay_alike(mask):
    check = Verifier({"a": FLIP, "b": FLIP}).check
    alike, noise = grey(120, mask), np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    good, bad = check("counterfactual", [alike, replace(alike, edited=Image.fromarray(noise))])
    assert good.verified and bad.reasons == ("the whole picture has changed",)
    assert {name for name, value in good.metrics.items() if value is not None} == {"psnr", "ssim"}


def test_a_mask_too_large_or_too_little_changed_is_told():
    check = Verifier({"a": FLIP, "b": FLIP}).check
    large, faint, empty = check(
        "counterfactual", [grey(100, square(30), 200), grey(100, square(8), 105), grey(100, square(0))]
    )
    assert large.reasons == ("the mask is too large",)
    assert faint.reasons == empty.reasons == ("nothing has changed",)


def test_the_row_of_a_checked_pair_is_plain_json():
    nan = says(Verdict(True, float("nan")), Verdict(False, 0.1))
    made, job = pair(masked=False), Job("0-0", "0", "a man with a bomb", 1)
    (found,) = Verifier({"a": nan, "b": FLIP}).check("counterfactual", [made])
    row = row_of("counterfactual", job, made, found, ABOUT)
    assert found.verified and json.loads(json.dumps(row, allow_nan=False))["verdicts"]["a"]["original"]["score"] is None
