"""Two ComfyUI nodes: a safe picture with its mask and report; and the pair, for those who ask for the original, too.

Copy this file to ComfyUI's `custom_nodes`, with dualsafe in its Python. Run as a script it does what ComfyUI would.
"""

import functools
import json

import torch

from dualsafe import PICTO, AutoDualLatentPipeline


@functools.lru_cache(maxsize=1)
def load(model: str):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return AutoDualLatentPipeline.from_pretrained(model).to(device)


class DualSafePicture:
    """ComfyUI's IMAGE is (B, H, W, C) and its MASK (B, H, W), both float in [0, 1]."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": ("STRING", {"default": PICTO}),
                "prompt": ("STRING", {"default": "", "multiline": True}),
                "safety_level": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05, "display": "slider"}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}),
                "steps": ("INT", {"default": 25, "min": 2, "max": 1000}),
                "cfg": ("FLOAT", {"default": 5.0, "min": 0.0, "max": 100.0, "step": 0.1}),
            }
        }

    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("image", "mask", "report")
    FUNCTION = "draw"
    CATEGORY = "dualsafe"
    PAIR = False

    def draw(self, model, prompt, safety_level, seed, steps, cfg):
        output = load(model)(
            prompt,
            safety_level=safety_level,
            return_pair=self.PAIR,
            num_inference_steps=steps,
            guidance_scale=cfg,
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
        )
        images = [output.images, output.unsafe_images] if self.PAIR else [output.images]
        # a picture that is the original has no mask: nothing of it could change
        masks = torch.zeros_like(output.images[:, :1]) if output.masks is None else output.masks
        report = json.dumps(output.safety[0].to_dict(), indent=1)
        return *(image.permute(0, 2, 3, 1).float().cpu() for image in images), masks[:, 0].float().cpu(), report


class DualSafePair(DualSafePicture):
    RETURN_TYPES = ("IMAGE", "IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("image", "unsafe_original", "mask", "report")
    PAIR = True


NODE_CLASS_MAPPINGS = {"DualSafePicture": DualSafePicture, "DualSafePair": DualSafePair}
NODE_DISPLAY_NAME_MAPPINGS = {"DualSafePicture": "Safe picture", "DualSafePair": "Safe picture and unsafe original"}

if __name__ == "__main__":
    from diffusers.utils import make_image_grid, numpy_to_pil

    TYPES = {"STRING": str, "FLOAT": float, "INT": int}
    given = {"prompt": "a cat in purple holding a bomb on a street", "seed": 7}
    for name, node_class in NODE_CLASS_MAPPINGS.items():
        inputs = {}
        for key, (kind, options) in node_class.INPUT_TYPES()["required"].items():
            inputs[key] = given.get(key, options["default"])
            assert isinstance(inputs[key], TYPES[kind])
            assert options.get("min", inputs[key]) <= inputs[key] <= options.get("max", inputs[key])
        results = getattr(node_class(), node_class.FUNCTION)(**inputs)
        assert len(results) == len(node_class.RETURN_TYPES) == len(node_class.RETURN_NAMES)
        images = [value for value, kind in zip(results, node_class.RETURN_TYPES) if kind == "IMAGE"]
        pictures = [numpy_to_pil(image.numpy())[0] for image in images]
        make_image_grid(pictures, rows=1, cols=len(pictures), resize=192).save(f"{name}.png")
        print(NODE_DISPLAY_NAME_MAPPINGS[name], json.loads(results[-1])["safe_prompt"])
