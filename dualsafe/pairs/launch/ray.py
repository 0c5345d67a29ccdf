"""Shards on a Ray cluster: each is a row of a dataset, which a pool of actors that grows and shrinks maps over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import PairsError
from ...optional import needed
from ..worker import Worker
from . import Progress


def make_shards(folder: Path, shards: list[int], workers: int, device: str, progress: Progress) -> None:
    """Makes shards with up to `workers` actors; a lost actor's shard is made again by another one.

    It joins the cluster of `RAY_ADDRESS`, or the one that the caller has joined, or else starts one on this machine.

    Args:
        folder: where every node finds it under the same path.
        device: "cpu", or else each actor gets a GPU of its own.

    Raises:
        PairsError: a shard failed, or no worker can be had; what is done stands.
        ImportError: Ray is not installed.
    """
    needed("ray.data", "ray")
    import ray

    started = not ray.is_initialized()
    if started:
        ray.init()
    try:
        for row in _made(folder.resolve(), shards, workers, device).iter_rows():
            if row["failure"]:
                raise PairsError(f"a shard failed; what is done is in {folder}: {row['failure']}")
            progress(row["jobs"])
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()[-1]  # of the traceback on the other side
        raise PairsError(f"a worker cannot be had; what is done is in {folder}: {said}") from error
    finally:
        if started:
            ray.shutdown()


class ShardMaker:
    """What an actor holds: a worker with its models, for all the shards that it is given."""

    def __init__(self, folder: Path, device: str):
        self._worker = Worker(folder, device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Makes the batch's only shard; a failure is told, as Ray would wrap it in errors of its own."""
        jobs, failure = 0, ""
        try:
            jobs = self._worker.run_shard(int(batch["shard"][0]))["jobs"]
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        return {"jobs": [jobs], "failure": [failure]}


def _made(folder: Path, shards: list[int], workers: int, device: str) -> Any:
    """The dataset that makes the shards when it is read: jobs or failure of each, in no order."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # the pool grows once all actors are busy
    # one in flight, so that none waits behind a slow one
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers, max_tasks_in_flight_per_actor=1)
    rows = ray.data.from_items([{"shard": index} for index in shards], override_num_blocks=len(shards))
    return rows.map_batches(
        ShardMaker,
        fn_constructor_args=(folder, "cpu" if device == "cpu" else "cuda"),
        compute=pool,
        batch_size=1,
        **({"num_cpus": 1} if device == "cpu" else {"num_gpus": 1}),
    )
