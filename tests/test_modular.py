"""diffusers' modular pipelines with our two blocks: both ends are the stock blocks' pictures, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import FluxPipeline
from diffusers.modular_pipelines import FluxAutoBlocks, StableDiffusionXLAutoBlocks
from families import SAFE, UNSAFE

from dualsafe import MethodSettings
from dualsafe.modular import dual_blocks

WHOLE = MethodSettings(tau=0.0, mask_floor=None)
STOCK = {"flux": (tiny.flux, FluxAutoBlocks), "xl": (tiny.stable_diffusion_xl, StableDiffusionXLAutoBlocks)}


@pytest.fixture(scope="module", params=STOCK)
def pipes(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A stock modular pipeline and ours, on the same components."""
    make, blocks = STOCK[request.param]
    parts = {name: part for name, part in make().components.items() if part is not None}
    found = []
    for each in (blocks(), dual_blocks(request.param)):
        pipe = each.init_pipeline()
        pipe.update_components(**{name: part for name, part in parts.items() if name in pipe.component_names})
        found.append(tiny.quiet(pipe))
    return found[0], found[1]


def drawn(pipe: Any, prompts: list[str], output: str = "images", **more: Any) -> Any:
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    told = {"height": 16, "width": 16, "num_inference_steps": 4, "output_type": "np", "generator": generators}
    return pipe(prompt=prompts, **told | more, output=output)


def test_both_ends_are_pictures_of_the_stock_blocks(pipes):
    stock, dual = pipes
    unsafe, safe = drawn(stock, UNSAFE), drawn(stock, SAFE)
    assert np.array_equal(drawn(dual, UNSAFE, safety_level="off"), unsafe)
    whole = drawn(dual, UNSAFE, safe_prompt=SAFE, settings=WHOLE)
    assert np.allclose(whole, safe, atol=1e-5) and not np.array_equal(safe, unsafe)
    mixed = drawn(dual, UNSAFE, safe_prompt=[SAFE[0], None], policy="picto", safety_level=[1.0, 0.0])
    assert np.array_equal(mixed[1], unsafe[1]) and not np.array_equal(mixed[0], unsafe[0])


def test_the_originals_are_those_of_the_stock_blocks(pipes):
    stock, dual = pipes
    expected = drawn(stock, UNSAFE, "latents")
    found = drawn(dual, UNSAFE, ["unsafe_latents", "denoiser_rows"], safe_prompt=SAFE, settings=WHOLE)
    originals = found["unsafe_latents"]
    if originals.ndim < expected.ndim:  # Flux's are packed in the loop, and with diffusers 0.41 to the end
        originals = FluxPipeline._unpack_latents(originals, 16, 16, 2)
    assert torch.equal(originals, expected)
    assert len(set(found["denoiser_rows"])) == 1 and found["denoiser_rows"][0] in (8, 16)


def test_what_has_no_dual_block_is_refused(pipes):
    _, dual = pipes
    with pytest.raises(ValueError, match="family='wan' is not one of xl, flux"):
        dual_blocks("wan")
    if "guider" in dual.component_names:
        dual.guider.guidance_rescale = 0.7
        with pytest.raises(ValueError, match="plain classifier-free guidance"):
            drawn(dual, UNSAFE, safe_prompt=SAFE)
        dual.guider.guidance_rescale = 0.0
