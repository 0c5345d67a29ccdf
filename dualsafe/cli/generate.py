"""`dualsafe generate`: prompts in, safe pictures (and pairs, and grids) out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failure import one_line_errors
from .load import load_pipeline

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
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance.")] = 5.0,
    seed: Annotated[int | None, typer.Option(help="Seed of the first picture; the next ones count up.")] = None,
    policy: Annotated[
        str | None, typer.Option(help="Name of a shipped policy or a YAML file; picto's for picto, else i2p.")
    ] = None,
    num_images: Annotated[int, typer.Option(min=1, help="Pictures for each prompt.")] = 1,
    model: Annotated[str | None, typer.Option(help="Checkpoint in the diffusers layout; the bundled picto.")] = None,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out"),
) -> None:
    """Draws safe pictures of PROMPT... and writes them, with their settings, to a folder."""
    with one_line_errors():
        level = _level(safety_level)
        if policy is not None:
            _check_policy(policy)
        if safe_prompt and len(safe_prompt) != len(prompts):
            raise ValueError(f"--safe-prompt was given {len(safe_prompt)} times for {len(prompts)} prompts")
        seed = random.SystemRandom().randrange(2**31) if seed is None else seed
        pipe = load_pipeline(model, device)
        folder = _folder(out)
        options = {"num_inference_steps": steps, "guidance_scale": guidance_scale}
        settings = {"model": model or "picto", **options}
        loop = _judges(pipe) if verify else {}
        safe_prompts: Sequence[str | None] = safe_prompt or [None] * len(prompts)
        calls = [
            options | {"prompt": prompt, "safe_prompt": safe, "policy": policy}
            for prompt, safe in zip(prompts, safe_prompts)
        ]
        written = []
        for i, call in enumerate(calls):
            seeds = [seed + i * num_images + k for k in range(num_images)]
            written += _pictures(pipe, folder, call, seeds, settings, safety_level=level, return_pair=pair, **loop)
        if grid:
            written.append(_grid(pipe, folder, calls, seed, num_images))
        for path in written:
            typer.echo(path)


def _check_policy(policy: str) -> None:
    from ..policy import resolve

    resolve(policy)


def _level(text: str) -> float:
    from ..config import resolve_level

    try:
        level: float | str = float(text)
    except ValueError:
        level = text
    return resolve_level(level)


def _judges(pipe: DualLatentPipeline) -> dict[str, Any]:
    from ..judges import judge_of

    return dict.fromkeys(("preview", "verify"), judge_of(pipe))


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"--out {out} is a file, not a folder") from error
    return out


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
    from ..files import read_manifest, write_manifest, write_png

    output = _draw(pipe, call, seeds, **asked)
    rows = read_manifest(folder)
    paths = []
    for k, report in enumerate(output.safety):
        row = {"prompt": call["prompt"], **settings, **report.to_dict()}
        sides: dict[str, Image.Image] = {"safe": output.images[k]}
        if asked["return_pair"]:
            sides["unsafe"] = output.unsafe_images[k]
        for side, image in sides.items():
            path = folder / f"{len(rows):05d}_{side}.png"
            write_png(path, image, {**row, "side": side})
            row[f"{side}_file"] = path.name
            paths.append(path)
        rows.append(row)
    write_manifest(folder, rows)
    return paths


def _grid(pipe: DualLatentPipeline, folder: Path, calls: list[dict[str, Any]], seed: int, num_images: int) -> Path:
    """Writes grid.png: a row a picture, the original and then rising levels from one seed."""
    from ..files import write_png
    from ..grid import draw_grid

    rows, titles = [], []
    for i, call in enumerate(calls):
        for seed_k in range(seed + i * num_images, seed + (i + 1) * num_images):
            rows.append([_draw(pipe, call, [seed_k], safety_level=at).images[0] for at in (0.0, *GRID_LEVELS)])
            titles.append(f"{call['prompt']}   (seed {seed_k})")
    columns = ["original", *(f"level {at:g}" for at in GRID_LEVELS)]
    path = folder / "grid.png"
    write_png(path, draw_grid(rows, columns, titles), {"levels": [0.0, *GRID_LEVELS], "calls": calls, "seed": seed})
    return path
