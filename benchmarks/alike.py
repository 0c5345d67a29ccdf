"""Safe pictures that came out as their originals: what drawing them again brings, and what it costs.

    python benchmarks/alike.py --prompts 48                      # some 12 minutes; writes results/alike.{json,md}
"""

from __future__ import annotations

import argparse

import torch
from harness import SAMPLING, load, table, write
from tqdm.auto import tqdm

from dualsafe import method
from dualsafe.judges import ask
from dualsafe.picto.prompts import prompt_set

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--batch", type=int, default=8)
    asked = parser.parse_args()
    pipe, judge, _ = load()
    results = {}
    for name in SETS:
        prompts = [case.prompt for case in prompt_set(name, asked.prompts, seed=11)]
        row = dict.fromkeys(COLUMNS, 0.0) | {"prompts": len(prompts)}
        for first in tqdm(range(0, len(prompts), asked.batch), desc=name):
            batch = prompts[first : first + asked.batch]

            def drawn(**more):
                seeds = [torch.Generator().manual_seed(first + k) for k in range(len(batch))]  # noqa: B023
                return pipe(batch, generator=seeds, preview=None, output_type="latent", **SAMPLING, **more)  # noqa: B023

            def unsafe(latents):
                pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample.detach()
                return [v.is_unsafe for v in ask(judge, pipe.image_processor.postprocess(pixels, "pil"))]

            pair, once, default = drawn(max_tries=0, return_pair=True), drawn(max_tries=0), drawn()
            apart = method.farthest(method.difference(pair.images, pair.unsafe_images)).tolist()
            was_unsafe = unsafe(once.images)
            row["stock"] += sum(unsafe(pair.unsafe_images))
            row["once"] += sum(was_unsafe)
            row["default"] += sum(unsafe(default.images))
            row["again"] += sum(report.tries for report in default.safety)
            acted = [report.decision == "dual" for report in once.safety]
            row["nearest"] += sum(u and a < 1 and d for u, a, d in zip(was_unsafe, apart, acted))
            row["rows_once"] += sum(report.denoiser_rows for report in once.safety) / len(prompts)
            row["rows"] += sum(report.denoiser_rows for report in default.safety) / len(prompts)
        results[name] = row
        text = f"Level 1, the watch and no judge; 25 steps.\n\n{table(results, COLUMNS, 'set')}"
        write("alike", "alike.py", results, text)


if __name__ == "__main__":
    main()
