"""A LoRA under the dial: both branches draw with it, and once it is unloaded every stock weight is as it was."""

import tempfile

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import make_image_grid
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from dualsafe import PICTO, DualLatentPipeline


def make_lora(folder: str) -> None:
    """Writes a LoRA of small random weights for picto's denoiser, as safetensors; yours comes from training."""
    unet = StableDiffusionPipeline.from_pretrained(PICTO).unet
    torch.manual_seed(0)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_out.0"], init_lora_weights="gaussian"))
    layers = get_peft_model_state_dict(unet)
    for name, weight in layers.items():
        if "lora_B" in name:  # starts at zero
            weight.normal_(std=0.25)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)


pipe = DualLatentPipeline.from_pretrained(PICTO)
stock = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}


def draw(level: float | str):
    options = {"num_inference_steps": 25, "guidance_scale": 5.0, "generator": torch.Generator().manual_seed(7)}
    return pipe("a man in blue with a knife in a park", safety_level=level, **options).images[0]


plain = [draw("off"), draw("max")]
with tempfile.TemporaryDirectory() as folder:
    make_lora(folder)
    pipe.load_lora_weights(folder)
adapted = [draw("off"), draw("max")]
pipe.unload_lora_weights()
make_image_grid([*plain, *adapted], rows=2, cols=2, resize=192).save("lora.png")

left = pipe.unet.state_dict()
assert left.keys() == stock.keys() and all(torch.equal(left[name], stock[name]) for name in stock)
