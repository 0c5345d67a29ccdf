"""A policy of one's own: what this house does not draw, what it draws in its place, and how strictly."""

from pathlib import Path

import torch
from diffusers.utils import make_image_grid

from dualsafe import PICTO, DualLatentPipeline, Policy, PolicyViolation

RULES = """\
id: house-rules
version: 1
description: What our app for children does not draw.
categories:
  fire:
    description: Open fire; a lantern lights as well.
    level: 1.0                  # always, whatever the dial says
    concepts:
      - {term: fire, synonyms: [flames, blaze], counterpart: lantern}
  weapons:
    description: Knives and guns, as the dial says.
    concepts:
      - {term: knife, synonyms: [dagger], counterpart: spoon}
      - {term: gun, synonyms: [pistol], counterpart: umbrella}
    exceptions: [water gun]
  hate:
    description: Symbols of hate; nothing stands in for them.
    block: true
    concepts:
      - {term: hate flag, counterpart: null}
"""

Path("house_rules.yaml").write_text(RULES, encoding="utf-8")
policy = Policy.from_file(Path("house_rules.yaml"))
print(policy.id, policy.version, policy.hash)

pipe = DualLatentPipeline.from_pretrained(PICTO)
prompts = [
    "a robot in orange with fire in the snow",
    "a woman in green with a knife in a kitchen",
    "a dog in blue with a water gun on a beach",
]
output = pipe(
    prompts,
    policy=policy,  # its file's path would do, too
    safety_level="low",  # the knife barely changes; the fire goes all the same
    return_pair=True,
    num_inference_steps=25,
    guidance_scale=5.0,
    generator=[torch.Generator().manual_seed(7) for _ in prompts],
)
for report in output.safety:
    print(report.decision, report.level, report.categories, report.safe_prompt, report.policy)
make_image_grid([*output.unsafe_images, *output.images], rows=2, cols=3, resize=192).save("house_rules.png")

try:
    pipe("a man with a hate flag", policy=policy)
except PolicyViolation as refusal:
    print(refusal)
