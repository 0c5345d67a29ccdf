"""`dualsafe generate`: prompts in, safe pictures (and pairs, and grids) out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..checks import check_number, check_prompt, check_seed, level_of
from .load import is_picto, load_pipeline
from .options import Device, Model, folder

if TYPE_CHECKING:
    from PIL import Image

    from ..pipelines import DualLatentPipeline

GRID_LEVELS = (0.25, 0.5, 0.75, 1.0)


def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What to draw.")],
    safety_level: Annotated[str, typer.Option(help="A number in [0, 1], or off, low, medium, high, max.")] = "max",
    safe_prompt: Annotated[
        list[str] | None, typer.Option(help="What the safe picture shows; once for each prompt.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Let the checkpoint's own judge preview, check and withhold pictures.")
    ] = False,
    pair: Annotated[bool, typer.Option("--pair", help="Also write the unsafe original.")] = False,
    grid: Annotated[bool, typer.Option("--grid", help="Draw original and safe side by side over levels.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 25,
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance, 0 or more.")] = 5.0,
    seed: Annotated[int | None, typer.Option(help="Seed of the first picture; the next ones count up.")] = None,
    policy: Annotated[
        str | None, typer.Option(help="Name of a shipped policy or a YAML file; picto's for picto, else i2p.")
    ] = None,
    num_images: Annotated[int, typer.Option(min=1, help="Pictures for each prompt.")] = 1,
    model: Model = None,
    device: Device = None,
    out: Annotated[Path, folder("For the pictures; what is in it stays.")] = Path("out"),
) -> None:
    """Draws safe pictures of PROMPT... and writes them, with their settings, to a folder."""
    level = level_of(safety_level)
    for prompt in prompts:
        check_prompt(prompt)
    if safe_prompt and len(safe_prompt) != len(prompts):
        raise ValueError(f"--safe-prompt was given {len(safe_prompt)} times for {len(prompts)} prompts")
    check_number("guidance_scale", guidance_scale, 0)
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    check_seed(seed, len(prompts) * num_images)
    policy = policy or ("picto" if is_picto(model) else "i2p")
    _check(prompts, level, safe_prompt, policy, out)
    pipe = load_pipeline(model, device)
    loop = _judges(pipe) if verify else {}
    out.mkdir(parents=True, exist_ok=True)
    options = {"num_inference_steps": steps, "guidance_scale": guidance_scale}
    settings = {"model": model or "picto", **options}
    safe_prompts: Sequence[str | None] = safe_prompt or [None] * len(prompts)
    calls = [
        options | {"prompt": prompt, "safe_prompt": safe, "policy": policy}
        for prompt, safe in zip(prompts, safe_prompts)
    ]
    for i, call in enumerate(calls):
        seeds = [seed + i * num_images + k for k in range(num_images)]
        for path in _pictures(pipe, out, call, seeds, settings, safety_level=level, return_pair=pair, **loop):
            typer.echo(path)
    if grid:
        typer.echo(_grid(pipe, out, calls, seed, num_images))


def _check(prompts: list[str], level: float, safe_prompts: list[str] | None, policy: str, folder: Path) -> None:
    """
    Raises:
        ValueError: no policy, a prompt of which it never draws anything, or a folder whose manifest cannot be read.
    """
    from ..conditions import decide
    from ..files import read_manifest
    from ..policy import resolve

    safe: list[str | None] | None = None if safe_prompts is None else [*safe_prompts]
    decide({"prompt": prompts}, [level] * len(prompts), safe, False, resolve(policy))
    read_manifest(folder)


def _judges(pipe: DualLatentPipeline) -> dict[str, Any]:
    from ..judges import judge_of

    return dict.fromkeys(("preview", "verify"), judge_of(pipe))


def _draw(pipe: DualLatentPipeline, call: dict[str, Any], seeds: list[int], **more: Any) -> Any:
    import torch

    generators = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    return pipe(**call, num_images_per_prompt=len(seeds), generator=generators, **more)


def _pictures(
    pipe: DualLatentPipeline,
    folder: Path,
    call: dict[str, Any],
    seeds: list[int],
    settings: dict[str, Any],
    **asked: Any,
) -> list[Path]:
    """Draws one prompt's pictures and writes them with their manifest rows; returns the files."""
    from ..files import add_to_manifest

    output = _draw(pipe, call, seeds, **asked)
    paths = []
    for k, report in enumerate(output.safety):
        row = {"prompt": call["prompt"], **settings, **report.to_dict()}
        sides: dict[str, Image.Image] = {"safe": output.images[k]}
        if asked["return_pair"]:
            sides["unsafe"] = output.unsafe_images[k]
        files = _write(folder, {f"{side}.png": (image, {**row, "side": side}) for side, image in sides.items()})
        add_to_manifest(folder, [row | {f"{side}_file": file.name for side, file in zip(sides, files)}])
        paths += files
    return paths


def _write(folder: Path, pictures: dict[str, tuple[Image.Image, dict[str, Any]]]) -> list[Path]:
    """Writes pictures, name -> picture and its settings, under the first number that none of them has yet."""
    from ..files import claim, write_png

    taken = [path.name.partition("_")[0] for path in folder.glob("*_*.png")]
    number = max((int(name) + 1 for name in taken if name.isdecimal()), default=0)
    while not claim(folder / f"{number:05d}_safe.png"):  # another process draws here, too
        number += 1
    paths = [folder / f"{number:05d}_{name}" for name in pictures]
    try:
        for path, (image, settings) in zip(paths, pictures.values()):
            write_png(path, image, settings)
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return paths


def _grid(pipe: DualLatentPipeline, folder: Path, calls: list[dict[str, Any]], seed: int, num_images: int) -> Path:
    """Writes a grid: a row a picture, the original and then rising levels from one seed."""
    from ..files import claim, write_png
    from ..grid import draw_grid

    rows, titles = [], []
    for i, call in enumerate(calls):
        for seed_k in range(seed + i * num_images, seed + (i + 1) * num_images):
            rows.append([_draw(pipe, call, [seed_k], safety_level=at).images[0] for at in (0.0, *GRID_LEVELS)])
            titles.append(f"{call['prompt']}   (seed {seed_k})")
    columns = ["original", *(f"level {at:g}" for at in GRID_LEVELS)]
    paths = (folder / name for name in ("grid.png", *(f"grid_{n:05d}.png" for n in range(1, 100_000))))
    path = next(path for path in paths if claim(path))
    try:
        write_png(path, draw_grid(rows, columns, titles), {"levels": [0.0, *GRID_LEVELS], "calls": calls, "seed": seed})
    except BaseException:
        path.unlink()
        raise
    return path
