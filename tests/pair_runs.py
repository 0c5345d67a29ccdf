"""Pair runs made by hand: pairs of every sort, and no model."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dualsafe.pairs.pair import Checked, Job, Kind, Made
from dualsafe.pairs.plan import jobs_of, plan
from dualsafe.pairs.row import METRICS, row_of
from dualsafe.pairs.run import finish
from dualsafe.pairs.shard import writing
from dualsafe.pairs.spec import PairSpec

SIZE = (24, 16)
ABOUT = {"policy": "picto@0", "model": "picto", "revision": "", "editor": "null", "config": "c0ffee"}


def hand_made(folder: Path, kind: Kind = "counterfactual", jobs: int = 36) -> Path:
    """A finished run, in three shards.

    In the first shard nothing has a mask, a truth or a reason; later every seventh pair isn't verified.
    """
    folder.mkdir(parents=True)
    prompts = folder.with_name("prompts.csv")
    lines = [f"robot {i} with a knife,robot {i} with a flower,robot.png" for i in range(jobs)]
    prompts.write_text("\n".join(["prompt,edited_prompt,image", *lines]), "utf-8")
    Image.new("RGB", SIZE).save(folder.with_name("robot.png"))
    spec = PairSpec(str(prompts), kind, "null", shard_size=-(-jobs // 3), keep_unverified=True)
    shards = plan(spec, folder)["shards"]
    for shard in range(shards):
        planned = jobs_of(folder, shard)
        with writing(folder, shard, len(planned)) as writer:
            for i, job in enumerate(planned):
                job = replace(job, truth={"item": "knife"}) if shard else job
                made, checked = (
                    _made(job, masked=bool(shard) and i % 3 > 0),
                    _checked(not shard or i % 7 > 0, bool(shard) and i % 3 > 0),
                )
                writer.pair(row_of(kind, job, made, checked, ABOUT), made, checked.errors, keep_unverified=True)
            writer.finish({"total": 1.0, "drawing": 0.5})
    finish(folder)
    return folder


def _made(job: Job, masked: bool) -> Made:
    rng = random.Random(job.seed)
    original, edited = (Image.frombytes("RGB", SIZE, rng.randbytes(3 * SIZE[0] * SIZE[1])) for _ in range(2))
    mask = Image.frombytes("L", SIZE, rng.randbytes(SIZE[0] * SIZE[1])) if masked else None
    return Made(
        original, edited, mask, job.edited_prompt, ("weapons | sharp", "robots"), mask_area=0.5 if mask else 1.0
    )


def _checked(verified: bool, masked: bool) -> Checked:
    said = {"unsafe": True, "score": 0.5, "concepts": [], "error": None}
    answers = {"original": said, "edited": said | {"unsafe": False if verified else None, "concepts": ["knife"]}}
    metrics = dict.fromkeys(METRICS, 0.5) | {"psnr_outside_mask": 40.0 if masked else None}
    return Checked(() if verified else ("no",), (), {"judge/one": answers}, metrics)
