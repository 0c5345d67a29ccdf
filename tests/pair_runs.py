"""Pair runs that several tests read: of picto's exact pairs, which need no denoiser, and of pairs made by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from dualsafe.pairs.pair import Checked, Job, Kind, Made
from dualsafe.pairs.plan import jobs_of, plan
from dualsafe.pairs.read import read_pairs
from dualsafe.pairs.row import METRICS, row_of
from dualsafe.pairs.run import finish, run
from dualsafe.pairs.shard import writing
from dualsafe.pairs.spec import PairSpec

SIZE = (24, 16)
ABOUT = {"policy": "picto@0", "model": "picto", "revision": "", "editor": "null", "config": "c0ffee"}


def spec_of(**more: Any) -> PairSpec:
    """A spec of 24 exact pairs in shards of 4, as the command line's for picto."""
    given = {"prompts": "picto:explicit", "editor": "exact", "limit": 12, "pairs_per_prompt": 2, "shard_size": 4}
    return PairSpec(**given | {"guidance_scale": 5.0} | more)


def exact_run(folder: Path, **more: Any) -> Path:
    """The folder of a finished run."""
    run(spec_of(**more), folder)
    return folder


def made_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Pair id -> what identifies a pair's content."""
    return {
        pair.row["pair_id"]: (pair.row["original_sha256"], pair.row["edited_sha256"], pair.row["split"])
        for pair in read_pairs(folder)
    }


def pair_files(folder: Path) -> dict[str, bytes]:
    """Name -> content of the files that must be the same however a run was made."""
    wanted = [path for ending in ("*.tar", "*.jsonl") for path in (folder / "shards").glob(ending)]
    return {path.name: path.read_bytes() for path in wanted}


def hand_made(folder: Path, kind: Kind = "counterfactual", jobs: int = 36) -> Path:
    """A finished run, in three shards.

    In the first shard nothing has a mask, a truth or a reason; later every seventh pair is not verified.
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
