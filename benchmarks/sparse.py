"""A safe branch that is computed at the mask's tokens alone, `MethodSettings(sparse=True)`: its cost, and its loss.

    python benchmarks/sparse.py cost      # operations and seconds of one call, by the share of tokens in the mask
    python benchmarks/sparse.py effect --stack weights/picto-sd3 --prompts 100

Writes benchmarks/results/sparse_cost.{json,md} and sparse_effect.{json,md}. Cost: operations of a call by
`torch.utils.flop_counter`, of Stable Diffusion 3 medium's published size at 1024x1024 from shapes alone, and of models
that are run: picto's transformer, and one of random weights with 1,024 tokens of a picture and 78 of a text; seconds
are the median over rounds in which both take turns, at batch 4. Effect: the same prompts and seeds under the dense and
the sparse branch; unsafe by the judge, PSNR of the sparse safe picture against the dense one inside and outside its
mask.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import SD3Transformer2DModel
from harness import table, write
from speed_models import FAMILIES
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from dualsafe import PICTO, AutoDualLatentPipeline, MethodSettings
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.prompts import prompt_set
from dualsafe.picto.train import transformer as picto
from dualsafe.pipelines.dual import DualLatentMixin
from dualsafe.sparse import Sparse

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
COST = {
    "share": ("tokens in the mask", "{:.0%}"),
    "flops": ("operations by a dense call's", "{:.3f}"),
    "seconds": ("seconds by a dense call's", "{:.3f}"),
}
EFFECT = {
    "unsafe_stock": ("unsafe, original", "{:.3f}"),
    "unsafe_dense": ("unsafe, dense", "{:.3f}"),
    "unsafe_sparse": ("unsafe, sparse", "{:.3f}"),
    "inside": ("PSNR inside the mask, dB", "{:.1f}"),
    "outside": ("PSNR outside it, dB", "{:.1f}"),
    "area": ("mask area", "{:.2f}"),
    "flops": ("operations of a call by the dense", "{:.3f}"),
    "seconds": ("seconds by the dense", "{:.3f}"),
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


def flops(run: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        run(*args, **kwargs)
    return counter.get_total_flops()


@torch.no_grad()
def cost(name: str, model: SD3Transformer2DModel, texts: int, rounds: int) -> dict[str, dict[str, float]]:
    """Of one call with guidance, at batch 4: 8 rows; from shapes alone where the model is on the meta device."""
    told = call_of(model.eval(), 8, texts)
    sparse, side = Sparse(model), model.config.sample_size // model.config.patch_size
    sparse.keep(lambda: model(**told))
    dense, found = flops(model, **told), {}
    for share in SHARES:
        places = (torch.arange(side * side) < round(share * side * side)).view(1, side, side).expand(8, -1, -1)
        rows = torch.arange(8, device=model.device)
        row = {"share": share, "flops": flops(sparse, told, rows, places) / dense}
        if model.device.type != "meta":
            ratios = []
            for _ in range(rounds + 1):  # the first is a warm-up
                begin = time.perf_counter()
                model(**told)
                middle = time.perf_counter()
                sparse(told, rows, places)
                ratios.append((time.perf_counter() - middle) / (middle - begin))
            row["seconds"] = statistics.median(ratios[1:])
        found[f"{name}, {share:.0%}"] = row
    return found


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """Of pictures in [0, 1] at some places; at most 100 dB, which is what equal ones get."""
    error = float(np.square(a - b)[np.broadcast_to(where, a.shape)].mean()) if where.any() else 0.0
    return 100.0 if error < 1e-10 else -10 * np.log10(error)


def effect(pipe: DualLatentMixin, judge: PictoJudge, name: str, count: int, batch: int = 4) -> dict[str, float]:
    """Both branches on the prompts of a set; pairs, so that the originals are to be seen."""
    cases = prompt_set(name, count, seed=6)
    settings = {"dense": MethodSettings(), "sparse": MethodSettings(sparse=True)}
    drawn: dict[str, list[Any]] = {"dense": [], "sparse": [], "stock": []}
    inside, outside, area, spent, seconds = [], [], [], {"dense": 0, "sparse": 0}, {"dense": 0.0, "sparse": 0.0}
    for start in tqdm(range(0, count, batch), desc=name, leave=False):
        prompts, found = [case.prompt for case in cases[start : start + batch]], {}
        for kind, chosen in settings.items():
            call = {"settings": replace(chosen), "policy": "picto", "output_type": "np", "max_sequence_length": 1}
            call |= {"generator": [torch.Generator().manual_seed(start + i) for i in range(len(prompts))]}
            call |= {"num_inference_steps": 25, "guidance_scale": 5.0}
            begin = time.perf_counter()
            found[kind] = pipe(prompts, **call)
            seconds[kind] += time.perf_counter() - begin
            call["generator"] = [torch.Generator().manual_seed(start + i) for i in range(len(prompts))]
            if start == 0:
                spent[kind] = flops(pipe, prompts, **call | {"output_type": "latent"})
            drawn[kind] += pipe.numpy_to_pil(found[kind].images)
        off = pipe(prompts, safety_level=0, **{k: v for k, v in call.items() if k != "settings"})
        drawn["stock"] += pipe.numpy_to_pil(off.images)
        for i, report in enumerate(found["dense"].safety):
            if report.decision != "dual" or found["dense"].masks is None:
                continue
            mask = np.asarray(found["dense"].masks[i]) > 0
            pictures = [found[kind].images[i] for kind in settings]
            inside.append(psnr(*pictures, mask))
            outside.append(psnr(*pictures, ~mask))
            area.append(float(mask.mean()))
    unsafe = {kind: statistics.mean(v.is_unsafe for v in judge.verdicts(pictures)) for kind, pictures in drawn.items()}
    return {
        **{f"unsafe_{kind}": rate for kind, rate in unsafe.items()},
        "inside": statistics.median(inside),
        "outside": statistics.median(outside),
        "area": statistics.mean(area),
        "flops": spent["sparse"] / spent["dense"],
        "seconds": seconds["sparse"] / seconds["dense"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("cost", "effect"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stack", type=Path, default=Path(PICTO).with_name("picto-sd3"))
    parser.add_argument("--prompts", type=int, default=100)
    asked = parser.parse_args()
    if asked.part == "cost":
        with torch.device("meta"):
            full = FAMILIES["sd3"].parts["transformer"].make("full")
        found = cost("Stable Diffusion 3 medium, shapes alone", full, 77 + 256, asked.rounds)
        found |= cost("random weights, 1,024 tokens", medium(), 78, asked.rounds)
        found |= cost("picto's transformer, 64 tokens", picto.build(), 78, asked.rounds)
        write("sparse_cost", "sparse.py", found, table(found, COST, "model"))
    else:
        pipe = AutoDualLatentPipeline.from_pretrained(asked.stack, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        judge = PictoJudge.from_pretrained(Path(PICTO) / "judge").eval()
        found = {name: effect(pipe, judge, name, asked.prompts) for name in ("explicit", "implicit", "context")}
        write("sparse_effect", "sparse.py", found, table(found, EFFECT, "set"))


if __name__ == "__main__":
    main()
