"""Whether the model itself tells that a picture is about to be unsafe, and what it costs to ask.

    python benchmarks/watch.py                       # 120 implicit prompts, 60 of each harmless set
    python benchmarks/watch.py --from out/watch.npz  # the tables again from what was collected

Along stock trajectories, the prediction under the prompt is compared with those under probes: concepts, categories,
harmless things. Each reading is scored by its AUC within the implicit set (the same prompts, unsafe against safe
pictures), its AUC of unsafe implicit against benign, look-alike and context pictures, and its recall among the former
at 5 and 10% false alarms among the latter. Rows are denoiser rows of one picture, that takes 50 anyway.
Writes benchmarks/results/watch.{json,md,png}.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import RESULTS, SAMPLING, write
from sklearn.metrics import roc_auc_score, roc_curve
from tqdm.auto import tqdm

from dualsafe import PICTO, DualLatentPipeline
from dualsafe.judges.picto import PictoJudge
from dualsafe.method import clean_latents, guide
from dualsafe.noise_level import Schedule
from dualsafe.picto.prompts import PromptCase, prompt_set
from dualsafe.picto.world import NEIGHBOUR_ITEMS
from dualsafe.policy import resolve, with_article
from dualsafe.watch import HARMLESS

SETS = ("implicit", "benign", "neighbour", "context")
FROM, UNTIL = 0.1, 0.21
CONCEPTS = [concept.term for category in resolve("picto").categories.values() for concept in category.concepts]
CATEGORIES = list(resolve("picto").categories)
TEXTS = {
    **{f"concept {term}": f"a picture of {with_article(term)}" for term in CONCEPTS},
    **{f"category {name}": name for name in CATEGORIES},
    **{
        f"row {name}": ", ".join(concept.term for concept in category.concepts)
        for name, category in resolve("picto").categories.items()
    },
    "list": ", ".join(CONCEPTS),
    "safe list": ", ".join(HARMLESS),
    **{f"harmless {term}": f"a picture of {with_article(term)}" for term in HARMLESS},
    **{f"near {term}": f"a picture of {with_article(term)}" for term in NEIGHBOUR_ITEMS},
    "nothing": "a picture with nothing",
}
NAMES = list(TEXTS)
Found = dict[str, np.ndarray]


@torch.no_grad()
def collect(pipe: DualLatentPipeline, judge: PictoJudge, sets: dict[str, list[PromptCase]], batch: int = 10) -> Found:
    """Along the stock trajectory of every prompt: along (S, steps, K) = <e_p - e_0, e_k - e_0>, the lengths of both
    differences, DNG's evidence for each probe by step, and whether the picture came out unsafe."""
    probes = pipe.encode_texts(list(TEXTS.values()))["prompt_embeds"]
    blank = pipe.encode_texts([""])["prompt_embeds"]
    found: dict[str, list] = {name: [] for name in ("along", "length", "prompt_length", "evidence", "unsafe", "set")}
    for name, cases in sets.items():
        for start in tqdm(range(0, len(cases), batch), desc=name, leave=False):
            part = cases[start : start + batch]
            seeds = [torch.Generator().manual_seed(9000 + start + i) for i in range(len(part))]
            z = torch.cat([torch.randn(1, 4, 16, 16, generator=seed) for seed in seeds])
            prompts = pipe.encode_texts([case.prompt for case in part])["prompt_embeds"]
            z, seen = _trajectory(pipe, z, prompts, blank, probes)
            pixels = pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample
            pictures = pipe.image_processor.postprocess(pixels, output_type="pil")
            for key, value in seen.items():
                found[key] += list(value)
            found["unsafe"] += [verdict.is_unsafe for verdict in judge.judge(pictures)]
            found["set"] += [name] * len(part)
    return {name: np.array(value) for name, value in found.items()}


def _trajectory(
    pipe: DualLatentPipeline, z: torch.Tensor, prompts: torch.Tensor, blank: torch.Tensor, probes: torch.Tensor
) -> tuple[torch.Tensor, Found]:
    pipe.scheduler.set_timesteps(SAMPLING["num_inference_steps"])
    schedule, n, k = Schedule.of(pipe.scheduler), len(z), len(probes)
    seen: dict[str, list] = {name: [] for name in ("along", "length", "prompt_length", "evidence")}
    for t in pipe.scheduler.timesteps:
        step = schedule.at(t)
        e_0, e_p = pipe.unet(torch.cat([z, z]), t, torch.cat([blank.expand(n, -1, -1), prompts])).sample.chunk(2)
        guided = guide(e_0, e_p, SAMPLING["guidance_scale"])
        if FROM < step.progress < UNTIL:
            e_k = torch.cat([pipe.unet(one[None].expand(k, -1, -1, -1), t, probes).sample[None] for one in z])
            to_prompt, to_probes = (e_p - e_0).flatten(1), (e_k - e_0[:, None]).flatten(2)
            seen["along"].append(torch.einsum("nd,nkd->nk", to_prompt, to_probes))
            seen["length"].append(to_probes.norm(dim=2))
            seen["prompt_length"].append(to_prompt.norm(dim=1))
            x0, without = (clean_latents(z, g, step.level, "epsilon") for g in (guided, e_0))
            under = clean_latents(z[:, None], e_k, step.level, "epsilon")
            # DNG (arXiv 2410.14398), without its temperature: log p gains d(x0*, x0_0)^2 - d(x0*, x0_c)^2
            far = (x0 - without).square().flatten(1).sum(1)
            seen["evidence"].append(far[:, None] - (x0[:, None] - under).square().flatten(2).sum(2))
        z = pipe.scheduler.step(guided, t, z).prev_sample
    return z, {name: torch.stack(value, 1).numpy() for name, value in seen.items()}


def of(kind: str) -> list[int]:
    """The probes whose name begins with `kind`."""
    return [i for i, name in enumerate(NAMES) if name.startswith(kind)]


def readings(found: Found, looks: list[float]) -> dict[str, tuple[np.ndarray, int]]:
    """Name -> scores (S,), higher is more unsafe, and the rows that they cost."""
    along, length = found["along"], found["length"]
    cosine = along / (length * found["prompt_length"][..., None])
    casg = along / length  # CASG (arXiv 2602.20880): the length of e_p - e_0 along the concept's direction
    evidence = found["evidence"].cumsum(1)
    concepts, categories, harmless = of("concept"), of("category"), of("harmless")
    near, everything = of("near"), [*of("harmless"), *of("near")]

    def margin(values: np.ndarray, unsafe: list[int], safe: list[int]) -> np.ndarray:
        return values[..., unsafe].max(-1) - (values[..., safe].max(-1) if safe else 0)

    at = {look: i for i, look in enumerate(looks)}
    middle = [look for look in looks if 0.1 < look < 0.21]
    late = [look for look in looks if 0.14 < look < 0.21]
    forms: dict[str, tuple[Callable[[np.ndarray], np.ndarray], list[int], list[int]]] = {
        "concepts": (lambda v: margin(v, concepts, []), concepts, []),
        "concepts less harmless": (lambda v: margin(v, concepts, harmless), concepts, harmless),
        "concepts less near things": (lambda v: margin(v, concepts, near), concepts, near),
        "concepts less harmless and near": (lambda v: margin(v, concepts, everything), concepts, everything),
        "concepts less two harmless": (lambda v: margin(v, concepts, harmless[:2]), concepts, harmless[:2]),
        "concepts less nothing": (lambda v: margin(v, concepts, of("nothing")), concepts, of("nothing")),
        "rows of categories less harmless": (lambda v: margin(v, of("row"), harmless), of("row"), harmless),
        "rows of categories less two harmless": (lambda v: margin(v, of("row"), harmless[:2]), of("row"), harmless[:2]),
        "rows of categories less the safe list": (lambda v: margin(v, of("row"), of("safe")), of("row"), of("safe")),
        "concepts less the safe list": (lambda v: margin(v, concepts, of("safe")), concepts, of("safe")),
        "categories less harmless": (lambda v: margin(v, categories, harmless), categories, harmless),
        "list less harmless": (lambda v: margin(v, of("list"), harmless), of("list"), harmless),
        "list": (lambda v: margin(v, of("list"), []), of("list"), []),
    }
    table: dict[str, tuple[np.ndarray, int]] = {}
    for look in looks:
        for name, (form, unsafe, safe) in forms.items():
            table[f"cosine, {name}, at {look:.2f}"] = form(cosine[:, at[look]]), len(unsafe) + len(safe)
    for name, (form, unsafe, safe) in forms.items():
        for span in (middle, late):
            places = [at[look] for look in span]
            label = f"mean of {span[0]:.2f} to {span[-1]:.2f}"
            rows = len(span) * (len(unsafe) + len(safe))
            table[f"cosine, {name}, {label}"] = form(cosine[:, places]).mean(1), rows
            table[f"CASG length, {name}, {label}"] = form(casg[:, places]).mean(1), rows
    for look in middle:
        form, unsafe, safe = forms["concepts less harmless"]
        rows = (at[look] + 1) * (len(unsafe) + len(safe))  # from the first look on
        table[f"DNG's evidence, concepts less harmless, until {look:.2f}"] = form(evidence[:, at[look]]), rows
        table[f"DNG's evidence, list, until {look:.2f}"] = evidence[:, at[look], of("list")[0]], at[look] + 1
    return table


def scored(score: np.ndarray, found: Found) -> dict[str, float]:
    """AUCs and recalls of one reading."""
    implicit, unsafe = found["set"] == "implicit", found["unsafe"]
    hit, other = implicit & unsafe, ~implicit & ~unsafe
    against = {
        "auc": float(roc_auc_score(np.r_[np.ones(hit.sum()), np.zeros(other.sum())], np.r_[score[hit], score[other]]))
    }
    for share in (0.05, 0.1):
        threshold = np.quantile(score[other], 1 - share)
        against[f"recall at {share:.0%}"] = float((score[hit] > threshold).mean())
        against[f"threshold at {share:.0%}"] = float(threshold)
    return {"within": float(roc_auc_score(unsafe[implicit], score[implicit])), **against}


def draw(curves: dict[str, tuple[np.ndarray, int]], found: Found, path: Path) -> None:
    """ROC curves of a few readings, and recall at 5% over rows of all."""
    import matplotlib.pyplot as plt

    implicit, unsafe = found["set"] == "implicit", found["unsafe"]
    chosen = (implicit & unsafe) | (~implicit & ~unsafe)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    best = sorted(curves, key=lambda name: -scored(curves[name][0], found)["recall at 5%"])
    shown = [
        best[0],
        *[next(n for n in best if n.startswith(k)) for k in ("cosine, concepts, ", "CASG", "DNG", "cosine, list")],
    ]
    for name in dict.fromkeys(shown):
        false, true, _ = roc_curve(implicit[chosen], curves[name][0][chosen])
        left.plot(false, true, label=name)
    left.set(xlabel="false alarms: benign, look-alike, context", ylabel="recall: unsafe implicit pictures")
    left.legend(fontsize=7, loc="lower right")
    for name in curves:
        right.scatter(curves[name][1], scored(curves[name][0], found)["recall at 5%"], s=14, color="tab:blue")
    right.set(xlabel="denoiser rows of a picture that is watched to the end", ylabel="recall at 5% false alarms")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=PICTO)
    parser.add_argument("--prompts", type=int, default=120, help="implicit prompts; half as many of each other set")
    parser.add_argument("--save", type=Path, help="keep what was collected, .npz")
    parser.add_argument("--from", dest="kept", type=Path, help="tables from this .npz instead")
    arguments = parser.parse_args()

    if arguments.kept:
        found = dict(np.load(arguments.kept))
    else:
        pipe = DualLatentPipeline.from_pretrained(arguments.model, dtype=torch.float32)
        judge = PictoJudge.from_pretrained(Path(arguments.model) / "judge").eval()
        sets = {n: prompt_set(n, arguments.prompts // (1 if n == "implicit" else 2), seed=11) for n in SETS}
        found = collect(pipe, judge, sets)
        if arguments.save:
            np.savez(arguments.save, **found)
    steps = SAMPLING["num_inference_steps"]
    every = [1 - (961 - i * 1000 // steps) / 1000 for i in range(steps)]
    looks = [look for look in every if FROM < look < UNTIL]
    curves = readings(found, looks)
    results = {name: {**scored(score, found), "rows": rows} for name, (score, rows) in curves.items()}
    ranked = sorted(results, key=lambda name: -results[name]["recall at 5%"])
    lines = [
        "| reading | rows | AUC within | AUC against harmless | recall at 5% | at 10% |",
        "|---|---|---|---|---|---|",
    ]
    columns = ("within", "auc", "recall at 5%", "recall at 10%")
    for name in ranked:
        cells = " | ".join(f"{results[name][column]:.2f}" for column in columns)
        lines.append(f"| {name} | {results[name]['rows']} | {cells} |")
    shares = {name: float(found["unsafe"][found["set"] == name].mean()) for name in SETS}
    lines += ["", "Unsafe stock pictures: " + ", ".join(f"{k} {v:.3f}" for k, v in shares.items())]
    draw(curves, found, RESULTS / "watch.png")
    write("watch", "watch.py", results, "\n".join(lines), prompts=len(found["set"]), unsafe=shares)


if __name__ == "__main__":
    main()
