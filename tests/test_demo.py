"""The app without a browser: the report in words, what is blurred, the pair to take away, stopping, errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
import tiny
from diffusers import StableDiffusionPipeline
from PIL import Image
from typer.testing import CliRunner

from dualsafe.cli import app
from dualsafe.demo import draw
from dualsafe.demo.pack import pack
from dualsafe.demo.session import LADDER, Cancelled, DrawnPair, Studio, Wish, with_levels
from dualsafe.demo.words import level_name, sentences
from dualsafe.judges import Verdict, own_judge
from dualsafe.pipelines import DualLatentPipeline, SafetyReport
from dualsafe.policy import Policy, resolve

WISH = Wish("a man with a knife", 1.0, "picto", {}, seed=3, steps=3, guidance_scale=5.0)
POLICY = resolve("picto")


def untold(share: float, text: str) -> None:
    """For whom progress is nothing."""


def same(shown: tuple[Image.Image, ...] | list[Image.Image], *wanted: Image.Image) -> list[bool]:
    """Which pictures are equal, pixel by pixel, whatever they are marked with."""
    return [one.tobytes() == other.tobytes() for one, other in zip(shown, wanted, strict=True)]


def shown(pair: DrawnPair, plain: bool) -> list[Image.Image]:
    return [picture for picture, _ in pair.strip(plain)]


@pytest.fixture(scope="module")
def studio(picto_dual) -> Studio:
    return Studio(picto_dual, {"picto": POLICY}, model="picto")


@pytest.fixture(scope="module")
def drawn(studio):
    return studio.draw(WISH, "me", untold)


def said(prompt: str, **report) -> str:
    return " ".join(sentences(SafetyReport(**{"level": 1.0, "denoiser_rows": 94, "seed": 7} | report), prompt, POLICY))


def test_the_report_names_the_word_its_stand_in_and_the_category():
    text = said("a knife", decision="dual", safe_prompt="a flower", mask_area=0.32)
    assert "“knife” was replaced by “flower” because the policy “picto” names it under violence." in text
    assert "32% of the picture was allowed to change." in text and "94 passes through the model" in text
    assert "“blood” was taken out" in said("a man in blood", decision="dual")


def test_a_benign_prompt_is_said_to_give_the_stock_picture():
    assert "Nothing in the prompt is named by the policy “picto”: this is the stock picture." in said(
        "a cat", decision="benign"
    )
    assert "the judge saw nothing" in said("a cat", decision="benign", score=0.1)
    assert "looked like nothing that it names: this is" in said("a cat", decision="benign", watched=-0.1)


def test_level_0_agreement_judges_and_withheld_pictures_have_their_own_words():
    assert "stock picture although the policy names “knife”" in said("a knife", decision="off", level=0.0)
    assert "lead to the same picture" in said("a knife", decision="dual", gate="latent")
    seen = said("a pirate", decision="dual", gate="preview", seen=("knife", "gun"), tries=1)
    assert "saw knife and gun in the half-drawn picture" in seen and "drawn again once" in seen
    watched = said(
        "a pirate", decision="dual", gate="watch", watched=0.1, categories=("violence",), safe_prompt="a cat"
    )
    assert "about to be drawn looked like something that it names under “violence”." in watched
    assert "judge" not in watched and "told “a cat”" in watched
    withheld = said("a pirate", decision="benign", gate="preview", seen=("fire",), withheld=True)
    assert "Nothing safe could be drawn in its place, so" in withheld and "stock picture" not in withheld
    assert "still flagged" in said("a pirate", decision="dual", gate="verify", tries=3, withheld=True)
    assert "The model still saw it" in said("a pirate", decision="dual", gate="watch", tries=2, withheld=True)


@pytest.mark.parametrize(
    ("level", "words"), [(0.0, "0 (off)"), (0.5, "0.5 (medium)"), (0.8, "0.8 (between high and max)")]
)
def test_a_level_is_said_with_its_names(level, words):
    assert level_name(level) == words


def test_the_blur_leaves_too_little_to_sharpen():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8))
    other = Image.fromarray(np.asarray(noise)[:, ::-1].copy())
    assert draw.blurred(noise).size == noise.size
    detail = np.asarray(draw.blurred(noise), float).std(), np.asarray(noise, float).std()
    assert detail[0] < 0.25 * detail[1] and draw.blurred(noise) != draw.blurred(other)


def test_the_overlay_tints_what_is_in_the_mask_and_nothing_else():
    picture, mask = Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 64))
    assert draw.overlaid(picture, mask) == picture
    mask.paste(255, (0, 0, 32, 64))
    over = np.asarray(draw.overlaid(picture, mask))
    assert (over[:, :31] != 255).any(-1).all() and (over[:, 36:] == 255).all()


def test_the_sharp_original_is_shown_only_when_asked_for(drawn):
    sharp, safe = draw.enlarged(drawn.original), draw.enlarged(drawn.safe)
    assert all(same(drawn.pair(plain=False, masked=False), draw.blurred(sharp), safe))
    assert all(same(drawn.pair(plain=True, masked=False), sharp, safe))
    assert drawn.pair(plain=False, masked=True)[1] == draw.overlaid(safe, drawn.mask)


def test_at_level_0_the_safe_side_is_an_original_and_blurred_too(studio):
    off = studio.draw(replace(WISH, level=0.0), "me", untold)
    blur = draw.blurred(draw.enlarged(off.safe))
    assert not off.is_stock and all(same(off.pair(plain=False, masked=False), blur, blur))


def test_a_benign_picture_is_no_secret(studio):
    benign = studio.draw(replace(WISH, prompt="a cat"), "me", untold)
    sharp = draw.enlarged(benign.safe)
    assert benign.is_stock and all(same(benign.pair(plain=False, masked=False), sharp, sharp))


def test_the_ladder_ends_at_the_picture_and_blurs_what_is_less_safe(studio, drawn):
    shares: list[float] = []
    climbed = studio.ladder(drawn, "me", lambda share, text: shares.append(share))
    pictures = [rung.picture for rung in climbed.ladder]
    assert pictures[0] == drawn.original and pictures[-1].tobytes() == drawn.safe.tobytes()
    assert [caption for _, caption in climbed.strip(plain=True)] == [f"{level:g}" for level in LADDER]
    assert shares == sorted(shares) and shares[-1] == 1.0
    sharp = [draw.enlarged(picture) for picture in pictures]
    assert all(same(shown(climbed, plain=True), *sharp))
    middle = shown(replace(climbed, wish=replace(WISH, level=0.5)), plain=False)
    assert same(middle, *sharp) == [level >= 0.5 for level in LADDER]


class Never:
    """A judge to whom everything is unsafe."""

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        return [Verdict(True, concepts=("knife",)) for _ in images]


def test_the_ladder_shows_the_dial_and_what_the_judge_says_of_it(picto_dual, studio, drawn):
    judged = Studio(picto_dual, {"picto": POLICY}, Never())
    climbed = judged.ladder(replace(drawn, wish=replace(WISH, level=0.25)), "me", untold)
    plain = studio.ladder(drawn, "me", untold)
    assert all(same([rung.picture for rung in climbed.ladder], *(rung.picture for rung in plain.ladder)))
    assert [caption for _, caption in climbed.strip(plain=False)][1:] == [f"{level:g}, unsafe" for level in LADDER[1:]]
    sharp = shown(plain, plain=True)
    assert not any(same(shown(climbed, plain=False), *sharp)) and all(same(shown(climbed, plain=True), *sharp))


def test_a_safety_checker_of_the_checkpoints_own_withholds_rungs_and_that_is_said():
    checker, features = tiny.safety_checker()
    parts = tiny.stable_diffusion().components | {"safety_checker": checker, "feature_extractor": features}
    pipe = tiny.quiet(DualLatentPipeline.from_pipe(StableDiffusionPipeline(**parts)))
    studio = Studio(pipe, {"picto": POLICY}, own_judge(pipe))
    climbed = studio.ladder(studio.draw(replace(WISH, steps=4), "me", untold), "me", untold)
    for rung in climbed.ladder[1:]:
        assert rung.caption == f"{rung.level:g}, withheld" and not np.asarray(rung.picture).any()


def test_a_categorys_own_level_goes_before_the_dial_and_changes_the_policys_hash(studio):
    drawn = studio.draw(replace(WISH, own={"violence": 0.25}), "me", untold)
    assert drawn.report.level == 0.25 and drawn.report.policy != f"picto@{POLICY.hash}"
    assert with_levels(drawn.policy, {}) == with_levels(POLICY, {}) == POLICY


def test_a_stopped_drawing_leaves_no_trace_in_the_next(studio, drawn):
    def stop(share: float, text: str) -> None:
        studio.stop("me")

    with pytest.raises(Cancelled):
        studio.draw(WISH, "me", stop)
    with pytest.raises(Cancelled):
        studio.draw(WISH, "me", untold)  # stopped while it waited
    assert studio.draw(WISH, "someone else", untold).safe == drawn.safe
    studio.ready("me")
    again = studio.draw(WISH, "me", untold)
    assert (again.safe, again.original, again.report) == (drawn.safe, drawn.original, drawn.report)


def test_a_judge_in_the_loop_withholds_what_it_flags(picto_dual):
    withheld = Studio(picto_dual, {"picto": POLICY}, Never()).draw(replace(WISH, prompt="a pirate"), "me", untold)
    assert withheld.report.withheld and not withheld.is_stock and np.asarray(withheld.safe).max() == 0


def test_the_zip_holds_both_pictures_the_mask_and_what_drew_them(drawn, tmp_path):
    path = pack(drawn, tmp_path, "tiny")
    assert [path] == list(tmp_path.iterdir())
    with ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["manifest.json", "mask.png", "original.png", "safe.png"]
        row = json.loads(archive.read("manifest.json"))
        with archive.open("original.png") as file:
            original = Image.open(file)
            assert original.tobytes() == drawn.original.tobytes()
            assert json.loads(original.text["dualsafe"])["side"] == "unsafe original"
    assert row["seed"] == 3 and row["triggers"] == ["knife"] and row["model"] == "tiny"
    assert re.fullmatch("[0-9a-f]{64}", row["files"]["safe.png"]["sha256"])


def test_a_wish_without_prompt_or_seed_is_said_to_be_one():
    with pytest.raises(ValueError, match="say what to draw"):
        replace(WISH, prompt="  ")
    with pytest.raises(ValueError, match="seed=None must be a whole number"):
        replace(WISH, seed=None)


def test_errors_reach_the_page_as_escaped_sentences(studio, monkeypatch):
    gr = pytest.importorskip("gradio", reason="gradio is not installed: pip install 'dualsafe[demo]'")
    from dualsafe.demo.desk import in_words
    from dualsafe.demo.look import paragraphs

    shipped = POLICY.model_dump(mode="json")
    shipped["categories"]["violence"]["block"] = True
    strict = Studio(studio.pipe, {"picto": Policy.from_data(shipped, "strict")})
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: told.append(text))
    sentence = "prompt: policy 'picto' blocks 'violence', which 'knife' asks for"
    assert in_words(lambda: strict.draw(WISH, "me", untold)) == sentence
    assert told == ["prompt: policy &#x27;picto&#x27; blocks &#x27;violence&#x27;, which &#x27;knife&#x27; asks for"]
    assert "<b>" not in paragraphs(["<b>bold</b>", "cost"])


def test_the_app_is_built_without_analytics_and_its_events_are_private(studio):
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'dualsafe[demo]'")
    from dualsafe.demo.app import build
    from dualsafe.demo.desk import Desk

    page = build(studio, examples=("a cat",))
    assert page.analytics_enabled is False
    assert {event.concurrency_limit for event in page.fns.values() if event.concurrency_id == "pipeline"} == {1}
    ours = [event for event in page.fns.values() if isinstance(getattr(event.fn, "__self__", None), Desk)]
    assert {event.api_visibility for event in ours} == {"private"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "nowhere"], "'nowhere' is not one of"),
        (["--model", "/no/where"], "/no/where"),
        (["--port", "0"], "port"),
    ],
)
def test_the_command_says_in_a_line_what_it_cannot_do(arguments, words):
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == 2 and words in result.output and "Traceback" not in result.output
