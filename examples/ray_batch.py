"""Many prompts on Ray Data: actors that hold a pipeline each, a level for each row, PNGs out."""

import io
import logging
import os
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a cluster of this machine alone, gone when the script ends
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is still raised here

import ray
import ray.data
import torch

from dualsafe import PICTO, DualLatentPipeline

ROWS = [
    {"id": 0, "prompt": "a man in blue with a knife in a park", "level": 1.0},
    {"id": 1, "prompt": "a man in blue with a knife in a park", "level": 0.0},
    {"id": 2, "prompt": "a bear in white with a pistol in the snow", "level": 1.0},
    {"id": 3, "prompt": "a cat in purple with a ball on a street", "level": 0.5},
]


class Painter:
    """What an actor holds: the pipeline, loaded once, for all the batches that it is given."""

    def __init__(self) -> None:
        self.pipe = DualLatentPipeline.from_pretrained(PICTO)
        self.pipe.set_progress_bar_config(disable=True)

    def __call__(self, batch: dict) -> dict:
        output = self.pipe(
            [str(prompt) for prompt in batch["prompt"]],
            safety_level=[float(level) for level in batch["level"]],
            num_inference_steps=25,
            guidance_scale=5.0,
            generator=[torch.Generator().manual_seed(7 + int(i)) for i in batch["id"]],
        )
        files = [io.BytesIO() for _ in output.images]
        for image, file in zip(output.images, files):
            image.save(file, format="PNG")
        decisions = [report.decision for report in output.safety]
        return {"id": batch["id"], "decision": decisions, "png": [file.getvalue() for file in files]}


if __name__ == "__main__":
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init("local", num_cpus=2, object_store_memory=100 * 2**20, **quiet)
    logging.getLogger("ray.data").setLevel("ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    painters = ray.data.ActorPoolStrategy(size=1)  # on GPUs: as many as there are, with num_gpus=1 below
    try:
        rows = ray.data.from_items(ROWS, override_num_blocks=2)
        for row in rows.map_batches(Painter, batch_size=2, compute=painters, num_cpus=1).iter_rows():
            Path(f"ray_{row['id']}.png").write_bytes(row["png"])
            print(row["id"], row["decision"])
    finally:
        ray.shutdown()
