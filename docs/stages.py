"""The pictures of docs/method.md: what happens at each stage of a dual call on picto, decoded.

    python docs/stages.py                       # every picture
    python docs/stages.py --only steps mask

Writes docs/img/method_NAME.png. Needs matplotlib: pip install "dualsafe[bench]".
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from inside import DEFAULT, FLOOR, SAMPLING, Watched, at, computed, drawn, trace
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualsafe import PICTO, DualLatentPipeline, MethodSettings, method
from dualsafe.demo.draw import enlarged, overlaid
from dualsafe.judges import judge_of
from dualsafe.look import EARLY
from dualsafe.noise_level import Schedule
from dualsafe.pipelines.decode import decode
from dualsafe.policy import resolve
from dualsafe.stand_in import StandIn, standing_in
from dualsafe.watch import distance, margin, probes_of, spread

IMAGES = Path(__file__).resolve().parent / "img"
PROMPT, SEED = "a woman in green holding a bomb in a park", 7
PROMPTS = {PROMPT: SEED, "an alien in orange with fire at a castle": 3}
IMPLICIT, IMPLICIT_SEED = "a soldier in green at a castle", 7
HARMLESS_PROMPT = "a dog in green with a flower at a castle"
PROBES = probes_of(resolve("picto"))
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
TAUS = (0.0, DEFAULT.tau, 0.2, 0.28, 0.4)
GREY, INK, SHARED, DUAL = "#6b7280", "#111827", "#94a3b8", "#0f766e"


# Pictures and maps


@torch.no_grad()
def picture(pipe: DualLatentPipeline, x0: Tensor) -> Image.Image:
    """Clean latents (1, C, h, w), decoded."""
    return pipe.image_processor.postprocess(decode(pipe.vae, x0), output_type="pil")[0]


def as_image(mask: Tensor) -> Image.Image:
    return Image.fromarray((255 * mask[0, 0]).byte().numpy())


def outside(mask: Image.Image, safe: Image.Image, original: Image.Image) -> Tensor:
    """By how many grey levels two pictures differ where the mask is 0; (1, 1, H, W)."""
    difference = np.abs(np.asarray(safe, int) - np.asarray(original, int)).max(-1)
    return torch.from_numpy(np.where(np.asarray(mask) == 0, difference, 0))[None, None].float()


# What figures are made of


def panels(
    rows: int, columns: int, left: float, top: float, size: float = 1.15, gap: float = 0.06
) -> tuple[Figure, Any]:
    """A figure of square panels; `left` and `top` are the room for labels, in inches."""
    width, height = left + columns * (size + gap), top + rows * (size + gap)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    figure.subplots_adjust(left / width, gap / height, 1 - gap / width, 1 - top / height, gap / size, gap / size)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[], facecolor="#f1f5f9")
    return figure, axes


def show(axes: Axes, image: Image.Image | Tensor, **options: Any) -> None:
    """A picture, or a map (1, 1, h, w) whose places stay squares."""
    if isinstance(image, Tensor):
        options = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"} | options
        axes.imshow(image[0, 0].numpy(), **options)
    else:
        axes.imshow(image, interpolation="bicubic")


def label(axes: Any, columns: list[str], rows: list[str] | None = None) -> None:
    for panel, text in zip(axes[0], columns):
        panel.set_title(text, fontsize=9, pad=4)
    for row, text in zip(axes, rows or []):
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", labelpad=6)


def say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, color=GREY, ha="center", va="center")


def band(figure: Figure, axes: Any, first: int, last: int, text: str, colour: str) -> None:
    """A line over some columns of the first row, and what it means."""
    a, b, inch = axes[0][first].get_position(), axes[0][last].get_position(), 1 / figure.get_figheight()
    y = a.y1 + 0.27 * inch
    figure.add_artist(plt.Line2D([a.x0, b.x1], [y, y], color=colour, linewidth=3, solid_capstyle="butt"))
    figure.text(a.x0, y + 0.05 * inch, text, color=colour, va="bottom")


# The figures


def draw_steps(pipe: DualLatentPipeline) -> Figure:
    """Both branches' predictions, the mask and the sum, over the steps."""
    steps, _ = trace(pipe, PROMPT, SEED)
    shared = sum(step.mask is None for step in steps)
    later = [at(steps, progress) for progress in (0.3, 0.4, 0.5, 0.6)]
    chosen = [steps[0], steps[shared - 1], steps[shared], *later, steps[-1]]
    figure, axes = panels(4, len(chosen), left=0.75, top=0.55)
    for column, step in zip(axes.T, chosen):
        show(column[0], picture(pipe, step.original))
        if step.mask is None:
            say(column[1], "the same")
        else:
            show(column[1], picture(pipe, step.safe))
            show(column[2], step.mask)
            show(column[3], picture(pipe, step.summed(1.0)))
    label(axes, [f"{step.progress:.2f}" for step in chosen], ["x0,\noriginal", "x0,\nsafe", "mask", "their\nsum"])
    band(figure, axes, 0, 1, "shared phase", SHARED)
    band(figure, axes, 2, 7, "dual phase; the mask is each step's own", DUAL)
    return figure


def draw_phases(pipe: DualLatentPipeline) -> Figure:
    """Which branch is computed at which step, and what is decided on the way."""
    figure, axes = plt.subplots(figsize=(8.6, 2.4))
    figure.subplots_adjust(0.19, 0.22, 0.985, 0.87)
    names = []
    for y, (name, options) in enumerate({"with its original": {"return_pair": True}, "alone": {}}.items()):
        steps = computed(pipe, PROMPT, SEED, **options)
        width = steps[1][0] - steps[0][0]
        for progress, *branches in steps:
            for place, is_computed, colour in zip((0.36, 0.0), branches, (SHARED, DUAL)):
                if is_computed:
                    axes.barh(place - y, 0.8 * width, left=progress - width, height=0.3, align="edge", color=colour)
        names.append(f"safe picture,\n{name}:\n{2 * sum(a + b for _, a, b in steps)} rows")
    marks = {DEFAULT.tau: "tau", DEFAULT.preview: "preview", DEFAULT.latent_gate: "latent_gate"}
    for x, name in marks.items():
        axes.axvline(x, color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.text(x, 0.79, f"{name} {x:g}", ha="left", va="bottom")
    axes.text(DEFAULT.tau / 2, 0.15, "shared", color=GREY, ha="center", va="center")
    axes.set(xlim=(0, 1), ylim=(-1.1, 0.78), yticks=[0.33, -0.67], yticklabels=names)
    axes.set_xlabel("progress: 0 is pure noise, 1 the finished picture", loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (SHARED, DUAL)]
    figure.legend(
        handles, ["original branch computed", "safe branch computed"], loc="lower right", ncols=2, frameon=False
    )
    return figure


def draw_mask(pipe: DualLatentPipeline) -> Figure:
    """From two predictions to the mask, at one step."""
    step = at(trace(pipe, PROMPT, SEED)[0], 0.4)
    difference = method.difference(step.safe, step.original)
    smooth = F.avg_pool2d(F.pad(difference, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    figure, axes = panels(1, 6, left=0.06, top=0.42, size=1.5)
    show(axes[0][0], picture(pipe, step.original))
    show(axes[0][1], picture(pipe, step.safe))
    heat = {"cmap": "magma", "vmin": 0, "vmax": float(difference.max())}
    show(axes[0][2], difference, **heat)
    show(axes[0][3], smooth, **heat)
    axes[0][3].contour(smooth[0, 0].numpy(), [FLOOR], colors="white", linewidths=1.5)
    show(axes[0][4], step.mask)
    show(axes[0][5], overlaid(enlarged(picture(pipe, step.summed(1.0))), as_image(step.mask)))
    said = [
        "x0, original",
        "x0, safe",
        f"their difference,\nup to {difference.max():.1f} deviations",
        f"smoothed; the line\nis the floor, {FLOOR:g}",
        "grown by a place,\nfeathered: the mask",
        "over the sum",
    ]
    label(axes, said)
    return figure


def draw_levels(pipe: DualLatentPipeline) -> Figure:
    """The sum at one step and the finished picture, over the dial."""
    step = at(trace(pipe, PROMPT, SEED)[0], 0.4)
    figure, axes = panels(2, len(LEVELS), left=1.15, top=0.42, size=1.5)
    for column, level in zip(axes.T, LEVELS):
        show(column[0], picture(pipe, step.summed(DEFAULT.weight_of(level))))
        show(column[1], drawn(pipe, PROMPT, SEED, safety_level=level).images[0])
    said = [f"level {level:g}\nW = {DEFAULT.weight_of(level):g}" for level in LEVELS]
    label(axes, said, [f"the sum at\nprogress {step.progress:.2f}", "finished\npicture"])
    return figure


def draw_shared(pipe: DualLatentPipeline) -> Figure:
    """How long both branches share the original's steps; without a mask, so that nothing else keeps the layout."""
    figure, axes = panels(len(PROMPTS), len(TAUS) + 1, left=0.06, top=0.42, size=1.5)
    for row, (prompt, seed) in zip(axes, PROMPTS.items()):
        show(row[0], drawn(pipe, prompt, seed, safety_level=0.0).images[0])
        for panel, tau in zip(row[1:], TAUS):
            show(panel, drawn(pipe, prompt, seed, mask=None, settings=MethodSettings(tau=tau)).images[0])
    label(axes, ["original", "tau 0: the safe\nprompt's own picture", *(f"tau {tau:g}" for tau in TAUS[1:])])
    return figure


def draw_outside(pipe: DualLatentPipeline) -> Figure:
    """What changes outside the mask, with and without compositing."""
    output = drawn(pipe, PROMPT, SEED, return_pair=True)
    pasted = drawn(pipe, PROMPT, SEED, settings=MethodSettings(composite=True))
    original, mask = output.unsafe_images[0], output.masks[0]
    figure, axes = panels(1, 6, left=0.06, top=0.42, size=1.5)
    for panel, image in zip(axes[0], (original, mask.convert("RGB"), output.images[0], None, pasted.images[0], None)):
        if image is not None:
            show(panel, image)
    said = ["original", "mask", "safe", "", "safe, composite", ""]
    for k, safe in ((3, output.images[0]), (5, pasted.images[0])):
        found = outside(mask, safe, original)
        show(axes[0][k], found, cmap="magma", vmax=16)
        said[k] = f"outside the mask:\nup to {int(found.max())} of 255"
    label(axes, said)
    return figure


def draw_preview(pipe: DualLatentPipeline) -> Figure:
    """A prompt that names nothing: what a judge is shown half-way, and what comes of it."""
    judge, looks = judge_of(pipe), (0.3, 0.4, 0.5)
    seen: list[tuple[Image.Image, str]] = []

    def look(images: list[Image.Image]) -> list:
        verdicts = list(judge.verdicts(images))
        seen.append((images[0], ", ".join(verdicts[0].concepts) or "nothing"))
        return verdicts

    for progress in looks:
        output = drawn(pipe, IMPLICIT, IMPLICIT_SEED, preview=look, settings=MethodSettings(preview=progress))
    stock = drawn(pipe, IMPLICIT, IMPLICIT_SEED, safety_level=0.0).images[0]
    figure, axes = panels(1, len(looks) + 3, left=0.06, top=0.42, size=1.5)
    for panel, (image, _) in zip(axes[0], seen):
        show(panel, image)
    for panel, image in zip(axes[0][len(looks) :], (stock, output.masks[0].convert("RGB"), output.images[0])):
        show(panel, image)
    said = [f"preview at {progress}:\n{found} seen" for progress, (_, found) in zip(looks, seen)]
    label(axes, [*said, "what it would\nhave become", "mask of the\nsecond pass", "what it\nbecomes"])
    print(f"{IMPLICIT!r} -> {output.safety[0].safe_prompt!r}, {output.safety[0].denoiser_rows} rows")
    return figure


@torch.no_grad()
def witnessed(pipe: DualLatentPipeline, prompt: str, seed: int) -> Tensor:
    """Distances (K,) of each probe's early prediction from what the picture has become."""
    watched = Watched(pipe.unet)
    with standing_in(pipe, {"unet": StandIn(pipe.unet, watched)}):
        drawn(pipe, prompt, seed, safety_level=0.0)
    schedule = Schedule.of(pipe.scheduler)
    steps = [(t, schedule.at(t), *calls[0]) for t, calls in watched.calls.items()]
    t, early, z, _ = [each for each in steps if each[1].progress <= EARLY][-1]
    _, late, z_late, e_late = next(each for each in steps if each[1].progress >= DEFAULT.preview)
    x = method.clean_latents(
        z_late[:1], method.guide(e_late[:1], e_late[1:], SAMPLING["guidance_scale"]), late.level, "epsilon"
    )
    probes = pipe.encode_texts(list(PROBES.texts))["prompt_embeds"]
    z = z[:1].expand(len(probes), -1, -1, -1)
    x_k = method.clean_latents(z, pipe.unet(z, t, probes).sample, early.level, "epsilon")[None]
    return distance(x, x_k, spread(x_k[:, : PROBES.first]))[0]


def draw_watch(pipe: DualLatentPipeline) -> Figure:
    """Two prompts that name nothing unsafe: how near each probe comes to what they become, and what then is drawn."""
    names = [re.sub("^a picture (of|with) ((a|an) )?", "", text) for text in PROBES.texts]
    names[-1] = "(empty)"
    count = len(PROBES.categories)
    colours = ["#b91c1c"] * count + [SHARED] * (len(names) - count)
    figure, axes = plt.subplots(2, 3, figsize=(9.5, 4.4), width_ratios=(4, 1.5, 1.5), layout="constrained")
    for row, prompt in zip(axes, (IMPLICIT, HARMLESS_PROMPT)):
        found = witnessed(pipe, prompt, IMPLICIT_SEED)
        row[0].bar(range(len(names)), found.tolist(), color=colours)
        row[0].set_xticks(range(len(names)), names, rotation=45, ha="right")
        row[0].set_ylabel("distance")
        row[0].spines[["top", "right"]].set_visible(False)
        row[0].set_title(f"{prompt}: margin {margin(found[None], count).item():.2f}", loc="left")
        output = drawn(pipe, prompt, IMPLICIT_SEED, preview=None)
        stock = drawn(pipe, prompt, IMPLICIT_SEED, safety_level=0.0)
        for panel, image, title in zip(row[1:], (stock.images[0], output.images[0]), ("stock", "by default")):
            show(panel, image)
            panel.set(xticks=[], yticks=[], title=title)
        report = output.safety[0]
        print(f"{prompt!r}: {report.decision} by {report.gate}, {report.denoiser_rows} rows")
    return figure


FIGURES: dict[str, Callable[[DualLatentPipeline], Figure]] = {
    "phases": draw_phases,
    "steps": draw_steps,
    "mask": draw_mask,
    "levels": draw_levels,
    "shared": draw_shared,
    "outside": draw_outside,
    "preview": draw_preview,
    "watch": draw_watch,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    asked = parser.parse_args()
    pipe = DualLatentPipeline.from_pretrained(PICTO)
    pipe.set_progress_bar_config(disable=True)
    with plt.rc_context({"font.size": 9, "text.color": INK, "axes.edgecolor": "#d1d5db"}):
        for name in asked.only:
            path = IMAGES / f"method_{name}.png"
            figure = FIGURES[name](pipe)
            figure.savefig(path, dpi=130)
            plt.close(figure)
            print(path.name)


if __name__ == "__main__":
    main()
