"""Operations of a row of each family's denoiser at its published size, from shapes alone: no weights, no device.

    python benchmarks/flops.py       # writes results/flops.{json,md}

A row is one of the denoiser's batch, at the family's own resolution; a sparse row is one of a safe branch with
`MethodSettings(sparse=True)`: of a UNet on the original's deepest features, of Stable Diffusion 3 at a quarter of the
tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DiffusionPipeline
from harness import table, write
from speed_meters import operations
from speed_models import FAMILIES
from tqdm.auto import tqdm

from dualsafe.partial import partial_of

COLUMNS = {
    "row": ("TFLOP a row", "{:.3f}"),
    "picture": ("TFLOP a decoded picture", "{:.3f}"),
    "sparse": ("a sparse row by a row", "{:.2f}"),
}
SHAPES: dict[str, tuple[tuple[int, ...], dict[str, tuple[int, ...]]]] = {
    "sd15": ((1, 4, 64, 64), {"encoder_hidden_states": (1, 77, 768)}),
    "sdxl": ((1, 4, 128, 128), {"encoder_hidden_states": (1, 77, 2048)}),
    "sd3": ((1, 16, 128, 128), {"encoder_hidden_states": (1, 333, 4096), "pooled_projections": (1, 2048)}),
    "flux-schnell": (
        (1, 4096, 64),
        {"encoder_hidden_states": (1, 256, 4096), "pooled_projections": (1, 768), "img_ids": (4096, 3),
         "txt_ids": (256, 3)},
    ),
}  # fmt: skip
"""Of a call's latents and its other tensors; the autoencoder's latents of Flux are unpacked."""
ADDED = {"text_embeds": (1, 1280), "time_ids": (1, 6)}
"""What SDXL is told beside."""


def tera(run: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    return operations(run, *args, **kwargs) / 1e12


def counted(name: str) -> dict[str, float]:
    """TFLOP of a row and of a decoded picture, and the share of a row that a sparse one takes, if there is such."""
    pipe: DiffusionPipeline = FAMILIES[name].make("full", "meta", torch.float32)[0]
    denoiser, (shape, more) = getattr(pipe, FAMILIES[name].denoiser), SHAPES[name]
    with torch.device("meta"):
        latents, rows = torch.empty(shape), torch.zeros(1, dtype=torch.long)
        told: dict[str, Any] = {key: torch.empty(size) for key, size in more.items()} | {"timestep": torch.empty(1)}
        if name == "sdxl":
            told["added_cond_kwargs"] = {key: torch.empty(size) for key, size in ADDED.items()}
        packed = len(shape) == 3
        whole = torch.empty(1, pipe.vae.config.latent_channels, *((128, 128) if packed else shape[-2:]))
    found = {"row": tera(denoiser, latents, **told), "picture": tera(pipe.vae.decode, whole)}
    try:
        partial = partial_of(denoiser)
    except TypeError:
        return found
    args = () if partial.in_mask else (latents,)
    told |= {"hidden_states": latents} if partial.in_mask else {}
    partial.keep(args, told, rows[:0])
    tokens = shape[-1] // 2
    quarter = (torch.arange(tokens) < tokens // 4).expand(1, tokens, -1)
    found["sparse"] = tera(partial.run, args, told, rows, quarter) / found["row"]
    return found


def main() -> None:
    found = {name: counted(name) for name in tqdm(FAMILIES)}
    write("flops", "flops.py", found, table(found, COLUMNS, "family"))


if __name__ == "__main__":
    main()
