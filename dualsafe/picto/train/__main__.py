"""`python -m dualsafe.picto.train STAGE`: trains one stage of the picto stack and writes it to the weights folder.

Stages in order: vae, clip, judge, guard, examiner, unet; decoder may sharpen the autoencoder's pictures later, and
transformer writes a second stack, of Stable Diffusion 3's kind, to a folder beside the first. Guard and examiner are
further judges, each of another size and seed: the guard for use inside the safety loop, both for verifying pairs, while
the first one measures. Each stage resumes from its checkpoint in the runs folder, reads what earlier ones wrote to the
weights folder, and updates metrics.json and the model card there. `card` only measures and writes the card.
"""

from __future__ import annotations

import json
import platform
import random
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import (
    AutoencoderKL,
    ConfigMixin,
    DiffusionPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTokenizer

from ... import AutoDualLatentPipeline
from ...judges.picto import PictoJudge
from ..captions import TRAINING, caption
from ..prompts import prompt_set
from ..world import SIZE
from . import clip as clip_stage
from . import judge as judge_stage
from . import transformer as transformer_stage
from . import unet as unet_stage
from . import vae as vae_stage
from .card import write_card
from .data import Dataset, dataset
from .grid import save_grid
from .loop import M, Run
from .measure import draw, stock_accuracy

TRAIN_SEED, HELD_OUT_SEED = 1, 2
HELD_OUT_COUNT = 2000


class Stage(str, Enum):
    vae = "vae"
    clip = "clip"
    judge = "judge"
    guard = "guard"
    examiner = "examiner"
    unet = "unet"
    decoder = "decoder"
    transformer = "transformer"
    card = "card"


def _record(out: Path, stage: str, values: dict) -> None:
    path = out / "metrics.json"
    metrics = json.loads(path.read_text()) if path.exists() else {}
    metrics[stage] = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
    path.write_text(json.dumps(metrics, indent=2) + "\n")
    write_card(out, metrics)


def _progress(run: Run, stage: str) -> dict:
    """Steps and minutes spent so far, read off the stage's log."""
    lines = [json.loads(line) for line in (run.folder / f"{stage}.log.jsonl").read_text().splitlines()]
    minutes, last = 0.0, 0.0
    for line in lines:
        if line["minutes"] < last:
            minutes += last
        last = line["minutes"]
    return {
        "steps": lines[-1]["step"],
        "minutes": round(minutes + last, 1),
        "machine": f"{platform.machine()} {run.device}",
    }


def _half(model: M) -> M:
    """As it is stored: in half precision, and without the folder that it was read from."""
    if isinstance(model, ConfigMixin):
        model.register_to_config(_name_or_path="")
    return model.to("cpu").half()


def train_vae(run: Run, data: Dataset, held: Dataset, out: Path) -> dict:
    start = AutoencoderKL.from_pretrained(out / "vae", dtype=torch.float32) if (out / "vae").exists() else None
    vae = vae_stage.fit(run, data, start)
    values = vae_stage.measure(vae, held, run.device)
    _half(vae).save_pretrained(out / "vae")
    return values


def train_decoder(run: Run, data: Dataset, held: Dataset, out: Path) -> dict:
    vae = AutoencoderKL.from_pretrained(out / "vae", dtype=torch.float32).to(run.device)
    vae = vae_stage.fit_decoder(run, data, vae)
    values = vae_stage.measure(vae, held, run.device)
    _half(vae).save_pretrained(out / "vae")
    return values


def train_clip(run: Run, data: Dataset, held: Dataset, out: Path) -> dict:
    rng = random.Random(run.seed)
    texts = [caption(scene, rng, TRAINING) for scene in data.scenes]
    start = CLIPModel.from_pretrained(out / "clip", dtype=torch.float32) if (out / "clip").exists() else None
    if start:
        tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    else:
        tokenizer = clip_stage.build_tokenizer(texts, out / "tokenizer")
    clip = clip_stage.fit(run, data, tokenizer, start)
    values = clip_stage.measure(clip, held, tokenizer, run.device)
    _half(clip).save_pretrained(out / "clip")
    half = [0.5, 0.5, 0.5]
    CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SIZE, image_mean=half, image_std=half).save_pretrained(
        out / "clip"
    )
    tokenizer.save_pretrained(out / "clip")
    clip_stage.text_encoder(clip).half().save_pretrained(out / "text_encoder")
    return values


def train_judge(run: Run, data: Dataset, held: Dataset, out: Path, name: str = "judge") -> dict:
    vae = AutoencoderKL.from_pretrained(out / "vae").to(run.device)
    start = PictoJudge.from_pretrained(out / name, dtype=torch.float32) if (out / name).exists() else None
    model = judge_stage.fit(run, data, vae, name, start)
    values = judge_stage.measure(model, held, run.device)
    _half(model).save_pretrained(out / name)
    return values


def _grid(pipe: DiffusionPipeline, path: Path, **settings: Any) -> None:
    prompts = [case.prompt for name in ("explicit", "neighbour") for case in prompt_set(name, 16)]
    pictures = draw(pipe, prompts, num_inference_steps=25, guidance_scale=5.0, output_type="pt", batch=32, **settings)
    save_grid(torch.stack(pictures) * 2 - 1, path, columns=16)


def train_unet(run: Run, data: Dataset, held: Dataset, out: Path) -> dict:
    vae = AutoencoderKL.from_pretrained(out / "vae").to(run.device)
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(out / "text_encoder", dtype=torch.float32).to(run.device).eval()
    latents = unet_stage.scaled_latents(vae, vae_stage.encode(vae, data.images, run.device))

    def pipeline(unet: torch.nn.Module) -> StableDiffusionPipeline:
        return StableDiffusionPipeline(
            vae, encoder, tokenizer, unet, unet_stage.build_scheduler(), None, None, requires_safety_checker=False
        )

    start = UNet2DConditionModel.from_pretrained(out / "unet") if (out / "unet").exists() else None
    unet = unet_stage.fit(run, data, latents, tokenizer, encoder, lambda unet, path: _grid(pipeline(unet), path), start)
    pipe = pipeline(_half(unet)).to("cpu", torch.float16)
    pipe.save_pretrained(out)
    return {}


def train_transformer(run: Run, data: Dataset, held: Dataset, out: Path) -> dict:
    vae = AutoencoderKL.from_pretrained(out / "vae").to(run.device)
    vae.register_to_config(shift_factor=0.0)
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    encoder = transformer_stage.text_encoder(CLIPModel.from_pretrained(out / "clip", dtype=torch.float32))
    latents = unet_stage.scaled_latents(vae, vae_stage.encode(vae, data.images, run.device))

    def pipeline(transformer: torch.nn.Module) -> StableDiffusion3Pipeline:
        scheduler, texts = transformer_stage.build_scheduler(), (encoder, tokenizer)
        return StableDiffusion3Pipeline(transformer, scheduler, vae, *texts, *texts, None, None)

    second = beside(out)
    start = SD3Transformer2DModel.from_pretrained(second / "transformer") if second.exists() else None
    transformer = transformer_stage.fit(
        run,
        data,
        latents,
        tokenizer,
        encoder.to(run.device),
        lambda transformer, path: _grid(pipeline(transformer), path, max_sequence_length=1),
        start,
    )
    pipeline(_half(transformer)).to("cpu", torch.float16).save_pretrained(second)
    return {}


def measure_stack(stack: Path, out: Path, run: Run) -> dict:
    """Attribute accuracy of a stack on 500 held-out prompts: 200 explicit, 200 neighbour, 100 benign."""
    pipe = AutoDualLatentPipeline.from_pretrained(stack, dtype=torch.float32).to(run.device)
    judge = PictoJudge.from_pretrained(out / "judge").eval().to(run.device)
    cases = prompt_set("explicit", 200) + prompt_set("neighbour", 200) + prompt_set("benign", 100)
    told = {"max_sequence_length": 1} if isinstance(pipe, StableDiffusion3Pipeline) else {}
    return {"prompts": len(cases), **stock_accuracy(pipe, judge, cases, safety_level=0, **told)}


def beside(out: Path) -> Path:
    """Where the second stack is written."""
    return out.with_name(f"{out.name}-sd3")


def main(
    stage: Stage,
    minutes: Annotated[float, typer.Option(help="Wall-clock budget of this call.")] = 20.0,
    device: Annotated[str, typer.Option(help="Torch device; auto takes the GPU if there is one.")] = "auto",
    bf16: Annotated[bool, typer.Option(help="bf16 autocast; slower where the processor has no bf16 units.")] = False,
    runs: Annotated[Path, typer.Option(help="Checkpoints, logs, rendered scenes, sample grids.")] = Path("runs/picto"),
    out: Annotated[Path, typer.Option(help="Where the stack is written.")] = Path("weights/picto"),
    rate_scale: Annotated[float, typer.Option(help="Factor on the peak learning rate; 0.5 to refine.")] = 1.0,
    scenes: Annotated[int, typer.Option(help="Training scenes, a multiple of 500.")] = 24_000,
) -> None:
    """Trains STAGE for MINUTES, resuming from its checkpoint."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(runs, torch.device(device), minutes, torch.bfloat16 if bf16 else None, rate_scale=rate_scale)
    out.mkdir(parents=True, exist_ok=True)
    if stage is Stage.card:
        _record(out, "stack", measure_stack(out, out, run))
        if beside(out).exists():
            _record(out, "transformer_stack", measure_stack(beside(out), out, run))
        return
    data, held = dataset(runs, TRAIN_SEED, scenes), dataset(runs, HELD_OUT_SEED, HELD_OUT_COUNT)
    actions: dict[Stage, Callable[..., dict]] = {
        Stage.vae: train_vae,
        Stage.clip: train_clip,
        Stage.judge: train_judge,
        Stage.guard: partial(train_judge, name="guard"),
        Stage.examiner: partial(train_judge, name="examiner"),
        Stage.unet: train_unet,
        Stage.decoder: train_decoder,
        Stage.transformer: train_transformer,
    }
    values = actions[stage](run, data, held, out)
    _record(out, stage.value, values | _progress(run, stage.value))


if __name__ == "__main__":
    typer.run(main)
