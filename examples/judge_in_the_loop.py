"""A prompt that names nothing unsafe: a judge sees what it is about to become, and the picture starts over."""

import torch

from dualsafe import PICTO, DualLatentPipeline
from dualsafe.judges import judge_of

pipe = DualLatentPipeline.from_pretrained(PICTO)
judge = judge_of(pipe)  # or a function from PIL pictures to booleans
output = pipe(
    ["a soldier in green at a castle", "a cat in green on a beach"],
    preview=judge,
    verify=judge,
    guidance_scale=5.0,
    num_inference_steps=25,
    generator=[torch.Generator().manual_seed(seed) for seed in (7, 2)],
)
for i, report in enumerate(output.safety):
    output.images[i].save(f"judged_{i}.png")
    print(report.gate, report.seen, report.safe_prompt, f"{report.denoiser_rows} rows")
