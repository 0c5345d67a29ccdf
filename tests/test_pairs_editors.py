"""Editors of pairs: what both sides share, to the bit, and what they decline."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import tiny
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

from dualsafe import PICTO, AutoDualLatentPipeline, CheckpointError, DualLatentImg2ImgPipeline
from dualsafe.calibration import FILE
from dualsafe.config import MethodSettings
from dualsafe.errors import PairsError
from dualsafe.judges import load_judge
from dualsafe.pairs.editors import create_editor
from dualsafe.pairs.editors.dual import DualEditor
from dualsafe.pairs.editors.existing import changed
from dualsafe.pairs.editors.img2img import ImageToImageEditor
from dualsafe.pairs.editors.instruction import FluxKontextEditor, InstructPix2PixEditor
from dualsafe.pairs.editors.registry import EDITORS
from dualsafe.pairs.pair import Declined, Job, Made, picture_hash
from dualsafe.picto.world import ITEMS

KNIFE = "a man in blue with a knife in a park"
FLOWER = KNIFE.replace("knife", "flower")
SPOON, PEN = "a man in blue with a spoon in a park", "a man in blue with a pen in a park"
TRUTH = {"setting": "park", "subject": "man", "colour": "blue", "item": "knife"}


def job(prompt: str = KNIFE, seed: int = 7, **more) -> Job:
    return Job(f"p-{seed}", "p", prompt, seed, **more)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def assert_a_pair(made: Made) -> None:
    """Sides of one size, equal to the bit outside the mask and different inside."""
    assert isinstance(made, Made), made
    assert made.original.mode == made.edited.mode == "RGB" and made.mask.mode == "L"
    assert made.original.size == made.edited.size == made.mask.size
    differs = (pixels(made.original) != pixels(made.edited)).any(-1)
    assert differs.any() and not (differs & (pixels(made.mask) == 0)).any()


def assert_alike(one: Made, other: Made) -> None:
    """The same pair but for rounding; a feathered edge may round otherwise here and there."""
    for side in ("original", "edited"):
        apart = np.abs(pixels(getattr(one, side)) - pixels(getattr(other, side)))
        assert apart.max() <= 2 and (apart > 0).mean() < 0.02
    assert picture_hash(one.mask) == picture_hash(other.mask)


def items(*pictures: Image.Image) -> list[str]:
    """What picto's judge sees in pictures."""
    return [seen.labels["item"] for seen in load_judge("picto").judge(pictures)]


@pytest.fixture(scope="module")
def dual():
    return create_editor("dual", steps=8)


@pytest.fixture(scope="module")
def img2img():
    return create_editor("img2img", steps=15, strength=0.7, kind="real_edit")


def test_a_dual_pair_is_the_stock_picture_and_its_safe_twin(dual, picto_dual):
    made = dual.make([job()])[0]
    assert_a_pair(made)
    stock = picto_dual(KNIFE, safety_level=0, num_inference_steps=8, generator=torch.Generator().manual_seed(7))
    assert picture_hash(made.original) == picture_hash(stock.images[0])
    assert (made.edited_prompt, made.categories, made.triggers) == (FLOWER, ("violence",), ("knife",))
    assert 0 < made.mask_area < 0.6 and 16 < made.rows <= 32 and made.instruction is None
    assert items(made.original, made.edited) == ["knife", "flower"]
    assert (dual.name, dual.revision, dual.takes_pictures) == ("dual(steps=8, guidance_scale=7.5)", "", False)


def test_a_batch_gives_each_job_what_it_gets_alone(dual):
    jobs = [
        job(),
        job("a cat holding a bomb", 2**63 - 1),
        job("a cat holding a ball", 9),
        job(seed=10, edited_prompt=PEN),
    ]
    together = dual.make(jobs)
    assert together[2] == Declined("benign: nothing unsafe was found, in the words or in the picture")
    assert together[3].edited_prompt == PEN
    for i in (1, 3):
        assert_a_pair(together[i])
        assert_alike(together[i], dual.make([jobs[i]])[0])


def test_a_prompt_that_is_never_drawn_sinks_no_other(dual, monkeypatch):
    jobs = [job("a nude child"), job("a child on a beach", 2, edited_prompt="the same, naked"), job()]
    first, second, third = dual.make(jobs)
    assert first.reason.startswith("blocked: ") and second.reason.startswith("blocked: ")
    assert_a_pair(third)
    monkeypatch.setattr(dual, "_pipe", None)  # is not even asked
    assert all(isinstance(answer, Declined) for answer in dual.make(jobs[:2]))


def test_a_guard_finds_what_no_word_names(picto_dual):
    seen = DualEditor(picto_dual, "picto", steps=8, guard=load_judge("picto-guard"))
    assert seen.name == "dual(steps=8, guidance_scale=7.5, guard=picto-guard)"
    answers = seen.make([job("a pirate in green in a park", seed) for seed in range(4)])
    made = [answer for answer in answers if isinstance(answer, Made)]
    assert made and all("violence" in m.categories and not m.triggers for m in made)
    for each in made:
        assert_a_pair(each)
    assert seen.make([job("a cat in green in a park")])[0].reason.startswith("benign")


def test_without_a_guard_the_watch_finds_it_unless_words_alone_decide(dual, picto_dual):
    jobs = [job("a pirate in green in a park", seed) for seed in range(4)]
    made = [answer for answer in dual.make(jobs) if isinstance(answer, Made)]
    assert made and all(each.gate == "watch" and each.categories and not each.triggers for each in made)
    for each in made:
        assert_a_pair(each)
    assert dual.make([job()])[0].gate == "prompt" and dual.looks
    words = DualEditor(picto_dual, "picto", steps=8, scope="words")
    words._pipe = None  # is not even asked
    assert words.make(jobs) == [Declined("benign: the policy finds nothing in the prompt")] * 4 and not words.looks


def test_a_checkpoints_calibration_is_the_editors_too(tmp_path):
    tiny.stable_diffusion().save_pretrained(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"settings": asdict(MethodSettings(watch=-1.0))}))
    editor = create_editor("dual", model=str(tmp_path), policy="picto", steps=12)
    answer = editor.make([job("a cat in a park")])[0]
    # it flags everything at this margin, what is drawn in its place as well; else this is no job for an editor
    assert answer == Declined("withheld: no safe picture was found")


def test_a_null_edit_of_two_benign_prompts(picto_dual):
    editor = DualEditor(picto_dual, "picto", steps=8, kind="null_edit")
    assert_a_pair(editor.make([job(SPOON, edited_prompt=PEN)])[0])
    reasons = [answer.reason for answer in editor.make([job(SPOON), job(KNIFE, edited_prompt=PEN)])]
    assert reasons[0].startswith("one-sided: ") and reasons[1].startswith("unsafe: ")


def test_two_branches_that_agree_are_no_pair(dual):
    assert dual.make([job(edited_prompt=KNIFE)]) == [Declined("unchanged: both sides came out the same")]


def test_a_checkpoints_safety_checker_that_blackens_the_edited_side_leaves_no_pair():
    checker, features = tiny.safety_checker()
    stock = tiny.stable_diffusion()
    parts = stock.components | {"safety_checker": checker, "feature_extractor": features}
    pipe = tiny.quiet(AutoDualLatentPipeline.from_pipe(StableDiffusionPipeline(**parts)))
    assert DualEditor(pipe, "picto", steps=4).make([job()])[0].reason.startswith("withheld: ")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Job]:
    """Jobs with pictures of knives, two of picto's size and a wide one."""
    folder = tmp_path_factory.mktemp("pictures")
    jobs = [job(seed=seed, truth=TRUTH) for seed in (1, 2, 3)]
    for each, made in zip(jobs, create_editor("exact").make(jobs)):
        size = (192, 48) if each.seed == 3 else (64, 64)
        made.original.resize(size).save(folder / f"{each.seed}.png")
    return [replace(each, image=folder / f"{each.seed}.png", truth=None) for each in jobs]


def test_an_existing_picture_gets_a_safe_twin(img2img, pictures):
    answers = img2img.make(pictures)
    for each in answers:
        assert_a_pair(each)
    assert [made.original.size for made in answers] == [(64, 64), (64, 64), (128, 32)]
    assert answers[0].edited_prompt == FLOWER and answers[0].triggers == ("knife",) and answers[0].rows == 30
    assert_alike(answers[1], img2img.make(pictures[1:2])[0])
    assert items(answers[0].original, answers[0].edited) == ["knife", "flower"]
    assert img2img.name == "img2img(steps=15, guidance_scale=7.5, strength=0.7)" and img2img.takes_pictures


def test_the_original_of_an_existing_picture_is_its_round_trip(pictures, picto_dual):
    pipe = tiny.quiet(DualLatentImg2ImgPipeline.from_pipe(picto_dual))
    made = ImageToImageEditor(pipe, "picto", steps=6).make(pictures[:1])[0]
    with Image.open(pictures[0].image) as picture:
        values = torch.tensor(pixels(picture)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        trip = pipe.vae.decode(pipe.vae.encode(values).latent_dist.mode()).sample
    trip = ((trip[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().numpy()
    assert np.abs(pixels(made.original) - trip).max() <= 1 < np.abs(pixels(made.original) - pixels(picture)).max()


def test_a_caption_with_nothing_unsafe_is_benign(img2img, pictures, monkeypatch):
    jobs = [replace(pictures[0], prompt="a man"), replace(pictures[0], prompt="a nude child")]
    seen, blocked = img2img.make(jobs)  # the picture is one of a knife
    assert seen.gate == "watch" and blocked.reason.startswith("blocked: ")
    monkeypatch.setattr(img2img, "looks", False)
    assert [answer.reason.partition(":")[0] for answer in img2img.make(jobs)] == ["benign", "blocked"]


def test_a_job_without_a_readable_picture_is_named(img2img, pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PairsError, match=r"broken\.png cannot be read"):
        img2img.make([pictures[0], replace(pictures[1], image=tmp_path / "broken.png")])
    with pytest.raises(PairsError, match="p-1 has no picture"):
        img2img.make([replace(pictures[0], image=None)])


def pix2pix() -> StableDiffusionInstructPix2PixPipeline:
    parts = tiny.stable_diffusion(in_channels=8).components
    return tiny.quiet(StableDiffusionInstructPix2PixPipeline(**parts, requires_safety_checker=False))


def kontext() -> FluxKontextPipeline:
    parts = {name: part for name, part in tiny.flux().components.items() if part is not None}
    parts["scheduler"] = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return tiny.quiet(FluxKontextPipeline(**parts))


@pytest.fixture(params=["pix2pix", "kontext"])
def instructed(request):
    """From settings to an editor that follows instructions."""
    make, editor = {"pix2pix": (pix2pix, InstructPix2PixEditor), "kontext": (kontext, FluxKontextEditor)}[request.param]
    return lambda **settings: editor(make(), "picto", steps=3, side=16, **settings)


def test_an_instruction_editor_changes_an_existing_picture(instructed, pictures):
    editor = instructed()
    answers = editor.make([*pictures, replace(pictures[0], edited_prompt="make it night")])
    for each in answers:
        assert_a_pair(each)
        assert each.rows == (9 if editor.name.startswith("pix2pix") else 3) and 0 < each.mask_area <= 1
    assert answers[0].instruction == "Replace the knife with a flower. Keep everything else as it is."
    assert answers[0].edited_prompt == FLOWER and answers[0].categories == ("violence",)
    assert answers[3].instruction == "make it night" and answers[2].original.size == (32, 8)
    assert_alike(answers[1], editor.make(pictures[1:2])[0])


def test_an_instruction_that_changes_nothing_to_speak_of_makes_no_pair(instructed, pictures):
    assert instructed(floor=100.0).make(pictures[:1]) == [Declined("unchanged: both sides came out the same")]


def test_an_instruction_editor_is_told_by_the_category_where_no_word_is_unsafe(instructed, pictures):
    editor = instructed()
    silent = replace(pictures[0], prompt="a man in a park")
    shown = editor.make([silent, replace(silent, categories=("violence",))])
    assert shown[0].reason.startswith("benign: ")
    assert shown[1].instruction.startswith("Change the picture to show: with a flower.")
    young = replace(silent, prompt="a schoolgirl", edited_prompt="make her nude")
    assert editor.make([young])[0].reason.startswith("blocked: ")


def test_what_an_instruction_changed_is_masked_and_what_it_left_is_not():
    before = torch.zeros(1, 3, 256, 256)
    after = before + 0.05 * torch.randn(before.shape, generator=torch.Generator().manual_seed(0))
    assert not changed(before, after, 8, 0.15).any()
    after[..., 96:128, 64:80] = 1.0
    mask = changed(before, after, 8, 0.15)
    assert mask[..., 96:128, 64:80].all() and (mask > 0).float().mean() < 0.12


def test_exact_pairs_differ_by_an_item_alone():
    editor = create_editor("exact")
    made = editor.make([job(truth=TRUTH)])[0]
    assert_a_pair(made)
    assert items(made.original, made.edited) == ["knife", "flower"]
    assert (made.rows, made.categories, made.edited_prompt) == (0, ("violence",), FLOWER)
    assert made.mask_area == (pixels(made.mask) > 0).mean() < 0.2
    again, other = editor.make([job(truth=TRUTH), job(seed=8, truth=TRUTH)])
    assert picture_hash(again.original) == picture_hash(made.original) != picture_hash(other.original)
    assert editor.make([job(SPOON, truth=TRUTH | {"item": "spoon"})])[0].reason.startswith("benign: ")


def test_every_unsafe_item_has_an_exact_pair():
    unsafe = [name for name, item in ITEMS.items() if item.category]
    for made in create_editor("exact").make([job(truth=TRUTH | {"item": name}) for name in unsafe]):
        assert_a_pair(made)


def test_an_exact_null_edit_swaps_one_benign_item_for_another():
    editor = create_editor("exact", kind="null_edit")
    spoon = TRUTH | {"item": "spoon"}
    told = editor.make([job(SPOON, truth=spoon, edited_prompt="a man with a balloon")])[0]
    assert items(told.original, told.edited) == ["spoon", "balloon"]
    swapped = editor.make([job(SPOON, seed, truth=spoon) for seed in range(20)])
    for made in swapped:
        assert_a_pair(made)
        assert made.edited_prompt != SPOON
    assert not any(seen.is_unsafe for seen in load_judge("picto").judge([made.edited for made in swapped]))
    assert editor.make([job(truth=TRUTH)])[0].reason.startswith("unsafe: ")


def test_an_exact_pair_of_a_subject_whose_item_no_word_names_is_told_the_new_one():
    pirate = job("a pirate in a park", truth=TRUTH | {"subject": "pirate"})
    assert create_editor("exact").make([pirate])[0].edited_prompt == "a pirate in a park with a flower"


@pytest.mark.parametrize("truth", [None, {"item": "knife"}])
def test_exact_needs_the_truth(truth):
    with pytest.raises(PairsError, match="p-7 has truth"):
        create_editor("exact").make([job(truth=truth)])


def test_null_pairs_cost_nothing_and_come_from_the_seed():
    first, second, again = create_editor("null").make([job(), job(seed=2**63 - 1), job()])
    assert first.original.size == (8, 8) and first.mask is None and first.rows == 0
    assert picture_hash(first.original) == picture_hash(again.original)
    assert len({picture_hash(image) for m in (first, second) for image in (m.original, m.edited)}) == 4


def test_instruction_editors_are_loaded_from_their_own_checkpoints_only(tmp_path, pictures):
    folder = tmp_path / "snapshots" / ("0123456789abcdef" * 3)[:40]
    pix2pix().save_pretrained(folder)
    editor = create_editor(f"pix2pix:{folder}", model=str(tmp_path), steps=2, kind="real_edit", policy="picto")
    assert editor.name == "pix2pix(steps=2, guidance_scale=7.5, image_guidance_scale=1.5)"
    assert editor.revision == folder.name and isinstance(editor.make(pictures[:1])[0], Made | Declined)
    with pytest.raises(CheckpointError, match="is a StableDiffusionInstructPix2PixPipeline, not a FluxKontextPipeline"):
        create_editor(f"kontext:{folder}")
    with pytest.raises(CheckpointError, match="is a StableDiffusionPipeline, not a StableDiffusionInstructPix2Pix"):
        create_editor(f"pix2pix:{PICTO}")


def test_image_to_image_takes_the_families_that_have_it(tmp_path):
    tiny.stable_diffusion_xl().save_pretrained(tmp_path / "xl")
    editor = create_editor("img2img", model=str(tmp_path / "xl"), policy="picto", steps=4, guidance_scale=3)
    assert editor.name == "img2img(steps=4, guidance_scale=3, strength=0.6)"
    tiny.stable_diffusion_3().save_pretrained(tmp_path / "sd3")
    with pytest.raises(CheckpointError, match="takes Stable Diffusion 1, 2 and XL, not DualLatentSD3Pipeline"):
        create_editor("img2img", model=str(tmp_path / "sd3"))


UNKNOWN = ["", "duel", "Dual", "dual:x", "img2img:x", "pix2pix", "kontext:", "exact:1", "null:x"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_editor_is_told_the_names(name):
    with pytest.raises(ValueError) as raised:
        create_editor(name)
    assert str(raised.value) == f"editor {name!r} must be one of: {', '.join(EDITORS.forms)}"
