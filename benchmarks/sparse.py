"""A safe branch that is computed at the mask's tokens alone, `MethodSettings(sparse=True)`: its cost, and its loss.

    python benchmarks/sparse.py cost      # operations and seconds of one call, by the share of tokens in the mask
    python benchmarks/sparse.py effect    # what becomes of picto's pictures; --stack weights/picto-sd3 of the other's

Writes benchmarks/results/sparse_cost.{json,md}, docs/img/sparse.png, and sparse_STACK.{json,md}. Cost: operations of a
call by `torch.utils.flop_counter`, of Stable Diffusion 3 medium at 1024x1024 from shapes alone, and of models
that are run: picto's transformer, and one of random weights with 1,024 tokens of a picture and 78 of a text; seconds
are the median over rounds in which both take turns, at batch 4. Effect: the same prompts and
seeds under the dense and the sparse branch, drawn once; unsafe by the judge; PSNR, a median, over the pictures in which
anything was done; operations of whole calls but for the decoded picture, and seconds, by those of level 0. Leave the
machine alone while it runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import SD3Transformer2DModel
from harness import sampling_of, table, write
from speed_meters import operations
from speed_models import FAMILIES
from torch import Tensor
from tqdm.auto import tqdm

from dualsafe import PICTO, AutoDualLatentPipeline, MethodSettings
from dualsafe.judges import ask
from dualsafe.judges.picto import PictoJudge
from dualsafe.partial.tokens import Tokens
from dualsafe.picto.prompts import prompt_set
from dualsafe.picto.train import transformer as picto
from dualsafe.pipelines.dual import DualLatentMixin

FIGURE = Path(__file__).resolve().parents[1] / "docs/img/sparse.png"
NO_ROW = torch.zeros(0, dtype=torch.long)
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
COST = {
    "share": ("tokens in the mask", "{:.0%}"),
    "flops": ("operations by a dense call's", "{:.3f}"),
    "seconds": ("seconds by a dense call's", "{:.3f}"),
}
EFFECT = {
    "stock": ("unsafe, original", "{:.3f}"),
    "dense": ("unsafe, dense", "{:.3f}"),
    "sparse": ("unsafe, sparse", "{:.3f}"),
    "inside": ("PSNR to the dense inside the mask, dB", "{:.1f}"),
    "outside_dense": ("PSNR to the original outside it, dense, dB", "{:.1f}"),
    "outside": ("the same, sparse", "{:.1f}"),
    "area": ("mask area", "{:.2f}"),
}
SPENT = {
    "flops": ("operations by the stock's", "{:.3f}"),
    "seconds": ("seconds by the stock's", "{:.3f}"),
}
SPARSE = MethodSettings(sparse=True)
WAYS: dict[str, dict[str, Any]] = {
    "stock": {"safety_level": 0},
    "dense": {},
    "sparse": {"settings": SPARSE},
    "dense pair": {"return_pair": True},
    "sparse pair": {"return_pair": True, "settings": SPARSE},
}


def medium() -> SD3Transformer2DModel:
    """Random weights with as many tokens as a picture of 512x512 has in Stable Diffusion 3, a third as wide."""
    return SD3Transformer2DModel(
        sample_size=64, patch_size=2, in_channels=16, out_channels=16, num_layers=6, num_attention_heads=8,
        attention_head_dim=64, joint_attention_dim=512, caption_projection_dim=512, pooled_projection_dim=512,
        pos_embed_max_size=32, qk_norm="rms_norm",
    )  # fmt: skip


def call_of(model: SD3Transformer2DModel, rows: int, texts: int) -> dict[str, Tensor]:
    config, device = model.config, model.device
    return {
        "hidden_states": torch.randn(rows, config.in_channels, *[config.sample_size] * 2, device=device),
        "timestep": torch.full((rows,), 500.0, device=device),
        "encoder_hidden_states": torch.randn(rows, texts, config.joint_attention_dim, device=device),
        "pooled_projections": torch.randn(rows, config.pooled_projection_dim, device=device),
    }


@torch.no_grad()
def cost(name: str, model: SD3Transformer2DModel, texts: int, rounds: int) -> dict[str, dict[str, float]]:
    """Of one call with guidance, at batch 4: 8 rows; from shapes alone where the model is on the meta device."""
    told = call_of(model.eval(), 8, texts)
    sparse, side = Tokens(model), model.config.sample_size // model.config.patch_size
    sparse.keep((), told, NO_ROW)
    dense, found = operations(model, **told), {}
    for share in SHARES:
        places = (torch.arange(side * side) < round(share * side * side)).view(1, side, side).expand(8, -1, -1)
        rows = torch.arange(8, device=model.device)
        row = {"share": share, "flops": operations(sparse.run, (), told, rows, places) / dense}
        if model.device.type != "meta":
            ratios = []
            for _ in range(rounds + 1):  # the first is a warm-up
                begin = time.perf_counter()
                model(**told)
                middle = time.perf_counter()
                sparse.run((), told, rows, places)
                ratios.append((time.perf_counter() - middle) / (middle - begin))
            row["seconds"] = statistics.median(ratios[1:])
        found[f"{name}, {share:.0%}"] = row
    return found


def plot(found: dict[str, dict[str, float]]) -> None:
    """Operations of a call over the share of tokens in the mask, and seconds where the model was run."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for colour, name in zip(("#0b6bcb", "#e0a030", "#6b6b6b"), dict.fromkeys(key.rsplit(", ", 1)[0] for key in found)):
        rows = [row for key, row in found.items() if key.startswith(name)]
        axes.plot(SHARES, [row["flops"] for row in rows], "o-", color=colour, label=f"{name}: operations")
        if "seconds" in rows[0]:
            axes.plot(SHARES, [row["seconds"] for row in rows], "x--", color=colour, label=f"{name}: seconds")
    axes.set(xlabel="share of tokens in the mask", ylabel="by a dense call's", xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=110)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """Of pictures in [0, 1] at some places; at most 100 dB, which is what equal ones get."""
    error = float(np.square(a - b)[np.broadcast_to(where, a.shape)].mean()) if where.any() else 0.0
    return 100.0 if error < 1e-10 else -10 * np.log10(error)


class Effect:
    """All ways of drawing the prompts of a set, in turns.

    Attributes:
        drawn: way -> pictures.
        seconds, flops: way -> of all its calls, and of its first.
    """

    def __init__(self, pipe: DualLatentMixin, name: str, count: int, batch: int = 4):
        told = {"policy": "picto", "output_type": "np", "max_tries": 0, "preview": None, **sampling_of(pipe)}
        self.drawn: dict[str, list[np.ndarray]] = defaultdict(list)
        self.seconds, self.flops = defaultdict(float), {}
        self.inside, self.outside, self.outside_dense, self.area = [], [], [], []
        prompts = [case.prompt for case in prompt_set(name, count, seed=6)]
        for start in tqdm(range(0, count, batch), desc=name, leave=False):
            texts, found = prompts[start : start + batch], {}
            for way, chosen in WAYS.items():
                if start == 0:
                    counted = told | chosen | {"output_type": "latent"}
                    self.flops[way] = operations(pipe, texts, generator=_seeds(start, texts), **counted)
                begin = time.perf_counter()
                found[way] = pipe(texts, generator=_seeds(start, texts), **told | chosen)
                self.seconds[way] += time.perf_counter() - begin
                self.drawn[way] += list(found[way].images)
            self._compare(found)

    def _compare(self, found: dict[str, Any]) -> None:
        pair = found["sparse pair"]
        for i, report in enumerate(found["dense"].safety):
            if report.decision == "dual" and found["dense"].masks is not None:
                mask, original = np.asarray(found["dense"].masks[i]) > 0, pair.unsafe_images[i]
                self.inside.append(psnr(found["dense"].images[i], found["sparse"].images[i], mask))
                self.outside_dense.append(psnr(found["dense"].images[i], original, ~mask))
                self.outside.append(psnr(found["sparse"].images[i], original, ~mask))
                self.area.append(float(mask.mean()))

    def row(self, pipe: DualLatentMixin, judge: PictoJudge) -> dict[str, float]:
        """Rates of unsafe pictures, medians of PSNR, the mean mask area."""
        unsafe = {
            way: statistics.mean(v.is_unsafe for v in ask(judge, pipe.numpy_to_pil(np.stack(self.drawn[way]))))
            for way in ("stock", "dense", "sparse")
        }
        medians = {name: statistics.median(getattr(self, name)) for name in ("inside", "outside", "outside_dense")}
        return unsafe | medians | {"area": statistics.mean(self.area)}

    def spent(self) -> dict[str, dict[str, float]]:
        by = {"flops": self.flops, "seconds": self.seconds}
        return {way: {key: of[way] / of["stock"] for key, of in by.items()} for way in WAYS}


def _seeds(start: int, texts: list[str]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(start + i) for i in range(len(texts))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("cost", "effect"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stack", type=Path, default=Path(PICTO), help="a trained one, of picto's world")
    parser.add_argument("--sets", nargs="+", default=("explicit", "implicit", "context"))
    parser.add_argument("--prompts", type=int, default=48)
    asked = parser.parse_args()
    if asked.part == "cost":
        with torch.device("meta"):
            full = FAMILIES["sd3"].parts["transformer"].make("full")
        found = cost("Stable Diffusion 3 medium, shapes alone", full, 77 + 256, asked.rounds)
        found |= cost("random weights, 1,024 tokens", medium(), 78, asked.rounds)
        found |= cost("picto's transformer, 64 tokens", picto.build(), 78, asked.rounds)
        write("sparse_cost", "sparse.py", found, table(found, COST, "model"))
        plot(found)
    else:
        pipe = AutoDualLatentPipeline.from_pretrained(asked.stack, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        judge, rows, spent = PictoJudge.from_pretrained(Path(PICTO) / "judge").eval(), {}, {}
        for name in asked.sets:
            effect = Effect(pipe, name, asked.prompts)
            rows[name] = effect.row(pipe, judge)
            spent |= {f"{name}, {way}": figures for way, figures in effect.spent().items()}
        text = f"{table(rows, EFFECT, 'set')}\n\n{table(spent, SPENT, 'set, batches of 4')}"
        write(f"sparse_{asked.stack.name}", "sparse.py", {"effect": rows, "spent": spent}, text)


if __name__ == "__main__":
    main()
