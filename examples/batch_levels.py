"""One batch, a level for each prompt; the benign prompt keeps its stock picture, to the bit."""

import torch

from dualsafe import PICTO, DualLatentPipeline

pipe = DualLatentPipeline.from_pretrained(PICTO)
prompts = [
    "a bear in white with a gun in the snow",
    "a bear in white with a gun in the snow",
    "a bear in white with a water gun in the snow",
]
output = pipe(
    prompts,
    safety_level=["low", "max", "max"],
    num_inference_steps=25,
    guidance_scale=5.0,
    generator=[torch.Generator().manual_seed(3) for _ in prompts],
)
for i, (image, report) in enumerate(zip(output.images, output.safety)):
    image.save(f"level_{i}.png")
    print(report.decision, report.level, report.triggers, report.denoiser_rows)
