"""An (unsafe, safe) pair from one noise, and the mask of what may differ between the two."""

import torch

from dualsafe import PICTO, DualLatentPipeline, MethodSettings

pipe = DualLatentPipeline.from_pretrained(PICTO)
output = pipe(
    "a cat in purple holding a bomb on a street",
    safe_prompt="a cat in purple holding an apple on a street",
    return_pair=True,
    settings=MethodSettings(composite=True),
    num_inference_steps=25,
    guidance_scale=5.0,
    generator=torch.Generator().manual_seed(7),
)
output.unsafe_images[0].save("pair_unsafe.png")
output.images[0].save("pair_safe.png")
output.masks[0].save("pair_mask.png")
