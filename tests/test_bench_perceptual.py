"""LPIPS, FID and KID: from weights on the disk or not at all, and scored again from the record alone."""

from __future__ import annotations

import json
import sys
import tracemalloc
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from dualsafe.bench import launch as launching
from dualsafe.bench.features import Kept, frechet_distance, kernel_distance, packed
from dualsafe.bench.launch import Settings, launch
from dualsafe.bench.leaderboard import leaderboard
from dualsafe.bench.measure import against_stock, perceived
from dualsafe.bench.perceptual import Inception, Lpips, instrument
from dualsafe.bench.score import score
from dualsafe.bench.tasks import resolve_task
from dualsafe.cli import app
from dualsafe.errors import BenchError, CheckpointError

KINDS = pytest.mark.parametrize("kind", [Lpips, Inception])
QUICK = Settings(
    ("picto-explicit", "picto-benign"),
    methods=("negative-prompt", "dualsafe-max:scope=words"),
    limit=3,
    steps=3,
    batch_size=3,
)


def needed(module: str):
    """The module, or the test is skipped; a torchvision of another build than torch raises RuntimeError."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{module} cannot be imported: {error}")


def small_lpips() -> Lpips:
    """A network of LPIPS's interface: two batches in [0, 1] in, a distance a picture out."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, a, b, normalize):
            assert normalize and a.min() >= 0 and a.max() <= 1
            return self.weight * (a - b).abs().mean((1, 2, 3), keepdim=True)

    return Lpips(Network(), "small")


def small_inception() -> Inception:
    """A network of Inception's interface: bytes in, a row of features a picture out."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 8, 4, stride=4)

        def forward(self, x):
            assert x.dtype == torch.uint8
            return self.layer(x / 255).relu().mean((2, 3))

    torch.manual_seed(0)
    return Inception(Network(), "small")


def noise(*seeds: int, size: int = 40) -> list[Image.Image]:
    return [
        Image.fromarray(np.random.default_rng(seed).integers(256, size=(size, size, 3), dtype=np.uint8))
        for seed in seeds
    ]


def kept_of(texts) -> Kept:
    kept = Kept()
    for text in texts:
        kept.add(text)
    return kept


# The measures


@pytest.mark.parametrize("pictures", [300, 20])
def test_distances_are_those_of_torchmetrics(pictures):
    fid, kid = needed("torchmetrics.image.fid"), needed("torchmetrics.image.kid")
    rng = np.random.default_rng(0)
    a, b = (np.abs(rng.normal(size=(pictures, 40)) @ rng.normal(size=(40, 40))) for _ in range(2))
    moments = [torch.from_numpy(x) for each in (a, b) for x in (each.mean(0), np.cov(each, rowvar=False))]
    theirs = fid._compute_fid(*moments), kid.poly_mmd(torch.from_numpy(a), torch.from_numpy(b))
    ours = frechet_distance(a, b), kernel_distance(a, b)
    assert [each.value for each in ours] == pytest.approx([float(each) for each in theirs], rel=1e-6)


def test_half_precision_in_the_record_does_not_move_the_distances():
    rng = np.random.default_rng(0)
    a, b = np.abs(rng.normal(0.4, 0.3, (50, 2048))), np.abs(rng.normal(0.45, 0.3, (50, 2048)))
    kept = [kept_of(map(packed, x)).rows for x in (a, b)]
    assert len(packed(a[0])) < 5500
    for distance in (frechet_distance, kernel_distance):
        assert distance(*kept).value == pytest.approx(distance(a, b).value, rel=1e-3)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distances_hold_no_whole_task_in_memory(distance):
    rng = np.random.default_rng(0)
    a, b = (kept_of(map(packed, rng.normal(size=(6000, 64)).astype("<f2"))).rows for _ in range(2))
    tracemalloc.start()
    distance(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 64 * 8  # one of the two in float64


def test_lpips_is_none_for_equal_pictures_and_what_the_network_says_for_others():
    lpips, pictures = small_lpips(), noise(0, 1)
    assert lpips.distances(pictures, pictures) == [0, 0]
    there, back = lpips.distances(pictures, pictures[::-1])
    a, b = (np.asarray(picture, float) for picture in pictures)
    assert there == pytest.approx(back) and there == pytest.approx(np.abs(a - b).mean() / 255)


def test_outside_the_mask_only_what_changed_outside_counts():
    (stock,), lpips = noise(0), small_lpips()
    mask = Image.new("L", stock.size)
    mask.paste(255, (0, 0, 20, 40))
    inside, everywhere = stock.copy(), noise(1)[0]
    inside.paste(everywhere.crop((0, 0, 20, 40)), (0, 0))
    for picture in (inside, everywhere):
        (seen,), compared = perceived(lpips, [picture], [stock], [mask]), against_stock(picture, stock, mask)
        assert seen["lpips"] > 0 and compared["ssim"] < 0.9
        assert (seen["lpips_outside_mask"] == 0) == (picture is inside)
        assert (compared["ssim_outside_mask"] == pytest.approx(1)) == (picture is inside)
    for unbounded in (None, Image.new("L", stock.size, 255)):
        (seen,), compared = perceived(lpips, [inside], [stock], [unbounded]), against_stock(inside, stock, unbounded)
        assert seen["lpips_outside_mask"] is None and compared["ssim_outside_mask"] is None and seen["lpips"] > 0


# The weights


def test_lpips_of_torchvisions_alexnet_is_the_papers_formula(tmp_path):
    alexnet = needed("torchvision").models.alexnet(weights=None).eval()
    state = {key: value for key, value in alexnet.state_dict().items() if key.startswith("features.")}
    torch.save(state, tmp_path / "alexnet.pth")
    lpips = Lpips.from_file(tmp_path / "alexnet.pth")
    assert lpips.name.startswith("alexnet.pth@") and "torchmetrics" in lpips.name
    pictures = noise(0, 1, size=64)
    shift, scale = (torch.tensor(x)[:, None, None] for x in ([-0.03, -0.088, -0.188], [0.458, 0.448, 0.45]))
    x = torch.stack([(torch.from_numpy(np.array(p)).permute(2, 0, 1) / 127.5 - 1 - shift) / scale for p in pictures])
    expected, heads = 0.0, iter(lpips._model.lins)
    with torch.no_grad():
        for layer in alexnet.features[:12]:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                a, b = x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
                expected += next(heads)((a - b).square()[None]).mean().item()
    assert lpips.distances(pictures[:1], pictures[1:]) == [pytest.approx(expected, rel=1e-4)]
    torch.save({key: state[key] for key in list(state)[2:]}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match=r"part\.pth is no state dict of torchvision's AlexNet"):
        Lpips.from_file(tmp_path / "part.pth")


@pytest.mark.slow
def test_inceptions_features_are_those_of_torchmetrics_fid(tmp_path):
    fidelity = needed("torch_fidelity")
    metric = needed("torchmetrics.image.fid").FrechetInceptionDistance

    class Untrained(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            pass

    torch.save({}, tmp_path / "nothing.pth")
    torch.manual_seed(0)
    network = Untrained("untrained", ["2048"], str(tmp_path / "nothing.pth"))
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    inception, pictures = Inception.from_file(tmp_path / "inception.pth"), noise(0, 1)
    features = inception.features(pictures)
    theirs = metric(feature_extractor_weights_path=str(tmp_path / "inception.pth")).inception
    pixels = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])
    assert features.shape == (2, 2048) and np.allclose(features, theirs(pixels).numpy(), atol=1e-5)
    with pytest.raises(CheckpointError, match=r"nothing\.pth is no state dict of torch-fidelity's InceptionV3"):
        Inception.from_file(tmp_path / "nothing.pth")


@KINDS
def test_a_file_that_holds_no_weights_is_refused_and_not_run(kind, tmp_path):
    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save(Attack(), tmp_path / "attack.pth")
    torch.save([1], tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    for name, said in (("attack", "cannot be loaded"), ("cut", "cannot be loaded"), ("list", "holds a list")):
        with pytest.raises(CheckpointError, match=rf"{name}\.pth {said}"):
            kind.from_file(tmp_path / f"{name}.pth")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(CheckpointError, match=r"none\.pth cannot be loaded.* No such file"):
        kind.from_file(tmp_path / "none.pth")


@KINDS
def test_absent_packages_are_named_with_their_extra(kind, tmp_path, monkeypatch):
    torch.save({}, tmp_path / "some.pth")
    for module in ("torchvision", "torch_fidelity"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"torch\w+ cannot be imported .*pip install 'dualsafe\[perceptual\]'"):
        kind.from_file(tmp_path / "some.pth")


@KINDS
def test_a_file_measures_every_task_and_without_one_those_that_name_the_metric_say_so(kind, monkeypatch):
    coco, benign = resolve_task("coco"), resolve_task("picto-benign")
    found, (lacking,) = instrument(kind, None, [coco, benign], "cpu")
    assert not found and kind.weights.file in lacking and kind.weights.option in lacking
    assert instrument(kind, None, [benign], "cpu") == ({}, [])
    monkeypatch.setattr(kind, "from_file", lambda path, device: (path, device))
    assert instrument(kind, "a.pth", [coco, benign], "cpu") == (
        dict.fromkeys(("coco", "picto-benign"), ("a.pth", "cpu")),
        [],
    )


# Runs


@pytest.fixture(scope="module")
def done(picto_dual, tmp_path_factory):
    """A run with both instruments on small networks."""
    folder, instruments = tmp_path_factory.mktemp("run"), {Lpips: small_lpips(), Inception: small_inception()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            launching, "instrument", lambda kind, file, tasks, _: ({t.name: instruments[kind] for t in tasks}, [])
        )
        return folder, launch(replace(QUICK, lpips="a", inception="b"), picto_dual, folder)


def test_a_run_measures_lpips_everywhere_and_fid_where_nothing_should_change(done):
    folder, results = done
    explicit, benign = (task["methods"] for task in results["tasks"].values())
    for methods in (explicit, benign):
        assert (
            methods["stock"]["metrics"]["lpips"]["value"] == 0 < methods["negative-prompt"]["metrics"]["lpips"]["value"]
        )
    changed, ours = (benign[name]["metrics"] for name in ("negative-prompt", "dualsafe-max:scope=words"))
    assert changed["fid"]["value"] > 0 and "kid" in changed and "picto_fid" not in changed and "similarity" in changed
    assert ours["fid"]["value"] == ours["kid"]["value"] == ours["lpips"]["value"] == 0
    assert ours["over_censorship"]["value"] == 0 and "neighbour_disruption_attributes" not in ours
    assert "fid" not in explicit["negative-prompt"]["metrics"]
    assert (results["lpips"], results["inception"]) == ("small", "small")
    features = [json.loads(line)["features"] for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
    assert kept_of(features[-9:]).rows.shape == (9, 8)


def test_fid_and_lpips_are_scored_again_without_their_networks(done):
    folder, results = done
    assert score(folder)["tasks"] == results["tasks"]


def test_a_run_goes_on_only_with_the_weights_that_it_began_with(done, picto_dual):
    with pytest.raises(BenchError, match="its lpips is 'small', now None"):
        launch(QUICK, picto_dual, done[0], resume=True)


def test_a_task_that_goes_without_says_in_the_results_what_to_name(picto_dual, tmp_path):
    (tmp_path / "mine.csv").write_text("prompt\na cat\na dog\n")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndescription: Own prompts.\nkind: benign\npolicy: picto\npolicy_hash: null\ndata_hash: null\n"
        "columns: {prompt: prompt}\nmetrics: [lpips, fid, kid]\n"
    )
    settings = replace(QUICK, tasks=(str(tmp_path / "mine.yaml"),), methods=("stock",), limit=None)
    results = launch(replace(settings, files={"mine": str(tmp_path / "mine.csv")}), picto_dual, tmp_path / "out")
    text = leaderboard(results)
    assert len(results["notes"]) == 2 and "Not measured: LPIPS, FID, KID." in text
    assert "name alexnet-owt-7be5be79.pth, from download" in text and "--inception" in text


def test_weights_that_would_measure_nothing_are_refused(picto_dual, tmp_path):
    with pytest.raises(BenchError, match=r"--inception some\.pth: FID and KID would measure none"):
        launch(replace(QUICK, tasks=("picto-explicit",), inception="some.pth"), picto_dual, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_a_file_that_is_not_there(tmp_path):
    arguments = ["bench", "run", "picto-benign", "--out", str(tmp_path / "out"), "--device", "cpu", "--limit", "1"]
    result = CliRunner().invoke(app, [*arguments, "--lpips", str(tmp_path / "none.pth")])
    assert result.exit_code == 2 and "none.pth cannot be loaded as weights" in result.output
    assert not (tmp_path / "out").exists()
