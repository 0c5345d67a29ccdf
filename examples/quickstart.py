"""A safe picture, its report, and the dial."""

import torch

from dualsafe import PICTO, DualLatentPipeline

pipe = DualLatentPipeline.from_pretrained(PICTO)
output = pipe(
    "a man in blue with a knife in a park",
    safety_level=0.8,
    num_inference_steps=25,
    guidance_scale=5.0,
    generator=torch.Generator().manual_seed(7),
)
output.images[0].save("safe.png")
print(output.safety[0])
