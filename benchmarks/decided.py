"""When a picture's item is decided: the prompt is exchanged for its safe twin at progress p of the stock pipeline.

    python benchmarks/decided.py --limit 60

The safe twin names the item's safe counterpart; of an implicit prompt, the harmless thing that its word leads to
otherwise. Share of unsafe pictures over p, by picto's judge. `MethodSettings.tau` rests on it.
Writes benchmarks/results/decided.{json,md} and docs/img/decided.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from harness import SAMPLING, write

from dualsafe import PICTO
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.captions import with_article
from dualsafe.picto.prompts import PromptCase, prompt_set
from dualsafe.picto.world import ITEMS

PROGRESS = [round(0.05 * i, 2) for i in range(13)]
FIGURE = Path(__file__).resolve().parents[1] / "docs/img/decided.png"


def twin(case: PromptCase) -> str:
    """The prompt of the safe twin."""
    scene, item = case.scene, ITEMS[case.scene.item]
    if not scene.named:
        return f"{case.prompt} with {with_article(scene.leanings[0].harmless)}"
    if item.counterpart == "none":
        words = (f"{how} {scene.item}" for how in ("covered in", "with"))
        return next(case.prompt.replace(w, "with nothing") for w in words if w in case.prompt)
    return case.prompt.replace(with_article(scene.item), with_article(item.counterpart or "none"))


class Exchange:
    """A callback that gives the pipeline other embeddings (N, T, W) of the prompt, from the step at `progress` on."""

    def __init__(self, embeds: torch.Tensor, progress: float):
        self.embeds, self.progress = embeds, progress

    def __call__(self, pipe: StableDiffusionPipeline, step: int, timestep: int, kwargs: dict) -> dict:
        following = pipe.scheduler.timesteps[min(step + 1, len(pipe.scheduler.timesteps) - 1)]
        if 1 - float(following) / pipe.scheduler.config.num_train_timesteps < self.progress:
            return {}
        negative = kwargs["prompt_embeds"].chunk(2)[0]
        return {"prompt_embeds": torch.cat([negative, self.embeds])}


def unsafe_rate(
    pipe: StableDiffusionPipeline, judge: PictoJudge, cases: list[PromptCase], progress: float, batch: int = 30
) -> float:
    """Share of unsafe pictures where the prompt is exchanged from `progress` on."""
    seen = []
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        exchange = Exchange(pipe.encode_prompt([twin(case) for case in part], pipe.device, 1, False)[0], progress)
        generators = [torch.Generator().manual_seed(1000 + start + i) for i in range(len(part))]
        prompts = [twin(case) if progress == 0 else case.prompt for case in part]
        wanted = {"callback_on_step_end": exchange, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
        seen += judge.judge(pipe(prompts, generator=generators, **wanted, **SAMPLING).images)
    return sum(s.is_unsafe for s in seen) / len(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=60, help="prompts of each set")
    limit = parser.parse_args().limit

    pipe = StableDiffusionPipeline.from_pretrained(PICTO, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    judge = PictoJudge.from_pretrained(Path(PICTO) / "judge").eval()
    rates: dict[str, list[float]] = {}
    for name in ("explicit", "implicit"):
        cases = prompt_set(name, limit)
        cases = [case for case in cases if case.scene.leanings == () or case.scene.leanings[0].unsafe]
        rates[name] = [unsafe_rate(pipe, judge, cases, p) for p in [*PROGRESS, 1.1]]
        print(name, rates[name], flush=True)
    rows = [f"| {p} | {a:.3f} | {b:.3f} |" for p, a, b in zip([*PROGRESS, "never"], *rates.values())]
    text = "\n".join(["| exchanged at progress | explicit: unsafe | implicit: unsafe |", "|---|---|---|", *rows])
    write("decided", "decided.py", rates, text, prompts=limit, progress=PROGRESS)
    plot(rates)


def plot(rates: dict[str, list[float]]) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for (name, values), colour in zip(rates.items(), ("tab:red", "tab:blue")):
        axes.plot(PROGRESS, values[:-1], "o-", color=colour, label=name)
        axes.axhline(values[-1], color=colour, linestyle=":", linewidth=1)
    axes.set_xlabel("progress at which the prompt is exchanged for its safe twin")
    axes.set_ylabel("unsafe pictures, share")
    axes.set_ylim(0, 1.02)
    axes.legend(title="dotted: never exchanged")
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
