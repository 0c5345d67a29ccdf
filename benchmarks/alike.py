"""Safe pictures that came out as their originals: what drawing them again brings, and what it costs.

python benchmarks/alike.py                      # some 12 minutes; writes results/alike.{json,md}
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from harness import SAMPLING, load, table, write
from tqdm.auto import tqdm

from dualsafe import DualLatentPipeline, method
from dualsafe.judges import ask
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.prompts import prompt_set
from dualsafe.pipelines.output import DualLatentOutput

SETS = ("explicit", "synonym", "implicit")
COLUMNS = {
    "prompts": ("prompts", "{:.0f}"),
    "stock": ("unsafe originals", "{:.0f}"),
    "once": ("unsafe, drawn once", "{:.0f}"),
    "default": ("unsafe, by default", "{:.0f}"),
    "again": ("drawn again", "{:.0f}"),
    "nearest": ("unsafe and nowhere apart by 1", "{:.0f}"),
    "rows_once": ("rows a picture, drawn once", "{:.1f}"),
    "rows": ("rows a picture, by default", "{:.1f}"),
}


def drawn(pipe: DualLatentPipeline, prompts: list[str], seed: int, **more: Any) -> DualLatentOutput:
    seeds = [torch.Generator().manual_seed(seed + k) for k in range(len(prompts))]
    return pipe(prompts, generator=seeds, preview=None, output_type="latent", **SAMPLING, **more)


@torch.no_grad()
def unsafe(pipe: DualLatentPipeline, judge: PictoJudge, latents: torch.Tensor) -> list[bool]:
    pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return [verdict.is_unsafe for verdict in ask(judge, pipe.image_processor.postprocess(pixels, "pil"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    asked = parser.parse_args()
    pipe, judge, _ = load()
    results = {}
    for name in SETS:
        prompts = [case.prompt for case in prompt_set(name, asked.prompts, seed=11)]
        row = dict.fromkeys(COLUMNS, 0.0) | {"prompts": len(prompts)}
        for first in tqdm(range(0, len(prompts), asked.batch), desc=name):
            batch = prompts[first : first + asked.batch]
            pair = drawn(pipe, batch, first, max_tries=0, return_pair=True)
            once, default = drawn(pipe, batch, first, max_tries=0), drawn(pipe, batch, first)
            apart = method.farthest(method.difference(pair.images, pair.unsafe_images)).tolist()
            was_unsafe = unsafe(pipe, judge, once.images)
            row["stock"] += sum(unsafe(pipe, judge, pair.unsafe_images))
            row["once"] += sum(was_unsafe)
            row["default"] += sum(unsafe(pipe, judge, default.images))
            row["again"] += sum(b.tries - a.tries for a, b in zip(once.safety, default.safety))
            acted = [report.decision == "dual" for report in once.safety]
            row["nearest"] += sum(u and a < 1 and d for u, a, d in zip(was_unsafe, apart, acted))
            row["rows_once"] += sum(report.denoiser_rows for report in once.safety) / len(prompts)
            row["rows"] += sum(report.denoiser_rows for report in default.safety) / len(prompts)
        results[name] = row
        text = f"Level 1, the watch and no judge; 25 steps.\n\n{table(results, COLUMNS, 'set')}"
        write("alike", "alike.py", results, text)


if __name__ == "__main__":
    main()
