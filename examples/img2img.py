"""An existing picture made safe: what the prompt names is replaced, and outside the mask every pixel stays."""

import torch
from diffusers.utils import make_image_grid
from PIL import Image

from dualsafe import PICTO, DualLatentImg2ImgPipeline
from dualsafe.picto import Scene, render

picture = render(Scene("park", "woman", "yellow", "gun")).to_pil()

pipe = DualLatentImg2ImgPipeline.from_pretrained(PICTO)
output = pipe(
    "a woman in yellow with a gun in a park",
    image=picture,
    strength=0.7,
    num_inference_steps=25,
    guidance_scale=5.0,
    generator=torch.Generator().manual_seed(7),
)
mask = output.masks[0]  # image-to-image redraws all of the picture, so take of it what had to change
safe = Image.composite(output.images[0], picture, mask)
safe.save("img2img_safe.png")
make_image_grid([picture, mask.convert("RGB"), safe], rows=1, cols=3, resize=192).save("img2img.png")
report = output.safety[0]
print(report.safe_prompt, f"{report.mask_area:.2f} of the picture could change")
