"""Many clients at one service: how long they wait, how many are served, and whether each gets its own picture.

Every answer is compared with the picture that the library draws for that prompt and seed alone. The service is run with
and without batching in turns, so that both meet the same machine.

    python benchmarks/serve_load.py                 # two minutes; writes results/serve_load.{json,md}
    python benchmarks/serve_load.py --seconds 5 --rounds 1
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2
import numpy as np
import torch
from harness import table, write
from PIL import Image
from tqdm.auto import tqdm

from dualsafe.cli.load import load_pipeline
from dualsafe.picto.prompts import prompt_set

START = "import typer; from dualsafe.cli.serve import serve; typer.run(serve)"
GUIDANCE = 5.0
NEAR = 2.0  # mean difference to the picture drawn alone, in grey levels, that rounding may make in half precision
COLUMNS = {
    "answers": ("answers", "{:.0f}"),
    "p50": ("p50, s", "{:.2f}"),
    "p99": ("p99, s", "{:.2f}"),
    "per_second": ("pictures/s", "{:.2f}"),
    "batch": ("pictures/call", "{:.1f}"),
    "exact": ("to the bit", "{:.3f}"),
    "largest": ("largest difference, grey levels", "{:.0f}"),
    "wrong": ("wrong", "{:.0f}"),
    "lost": ("lost", "{:.0f}"),
}


@dataclass
class Seen:
    """What came of the requests of one way to serve."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    calls: float = 0.0


def references(orders: list[tuple[str, int]], steps: int, device: str | None) -> np.ndarray:
    """The picture of each order drawn alone, (orders, pixels)."""
    pipe = load_pipeline(None, device)
    pipe.set_progress_bar_config(disable=True)
    pictures = [
        pipe(
            prompt,
            generator=torch.Generator().manual_seed(seed),
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            policy="picto",
        ).images[0]
        for prompt, seed in tqdm(orders, leave=False)
    ]
    return np.stack([np.asarray(picture, np.int16).ravel() for picture in pictures])


@contextmanager
def service(max_batch: int, clients: int, steps: int, device: str | None) -> Iterator[str]:
    """A service in a process of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"port": port, "max-batch": max_batch, "max-queue": clients, "steps": steps, "timeout": 600}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments, *(["--device", device] if device else [])], stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _is_up(url):
            if process.poll() is not None:
                raise RuntimeError(f"the service ended with {process.returncode}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _is_up(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health").status_code == 200
    except httpx2.TransportError:
        return False


async def load(url: str, orders: list[tuple[str, int]], clients: int, seconds: float, seen: Seen) -> None:
    """`clients` that ask again as soon as they are answered, until the time is over; all answers are waited for."""
    begin = time.monotonic()

    async def client(number: int, http: httpx2.AsyncClient) -> None:
        draw = random.Random(number)
        while time.monotonic() < begin + seconds:
            i, asked = draw.randrange(len(orders)), time.monotonic()
            body = {"prompt": orders[i][0], "seed": orders[i][1]}
            try:
                answer = await http.post(f"{url}/v1/images/generations", json=body)
                answer.raise_for_status()
            except httpx2.HTTPError as error:
                seen.lost.append(f"{type(error).__name__}: {error}")
                continue
            seen.waits.append(time.monotonic() - asked)
            seen.answers.append((i, answer.json()["data"][0]["b64_json"]))

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as http:
        await asyncio.gather(*(client(number, http) for number in range(clients)))
        seen.seconds += time.monotonic() - begin
        text = (await http.get(f"{url}/metrics")).text
    seen.calls += next(float(line.split()[1]) for line in text.splitlines() if "batch_pictures_count " in line)


def score(seen: Seen, expected: np.ndarray) -> dict[str, float]:
    """Waits, throughput and how the answers compare: one is wrong unless the picture drawn alone is the nearest one."""
    exact, largest, wrong = 0, 0, 0
    for i, text in seen.answers:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), np.int16).ravel()
        away = np.abs(expected - picture)
        means = away.mean(1)
        exact += not away[i].any()
        largest = max(largest, int(away[i].max()))
        wrong += means[i] > NEAR or means[i] > means.min()
    count = len(seen.answers)
    p50, p99 = np.percentile(seen.waits, [50, 99]) if count else (float("nan"),) * 2
    return {
        "answers": count,
        "p50": float(p50),
        "p99": float(p99),
        "per_second": count / seen.seconds,
        "batch": count / seen.calls,
        "exact": exact / count,
        "largest": largest,
        "wrong": int(wrong),
        "lost": len(seen.lost),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="of each way to serve in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device")
    asked = parser.parse_args()
    prompts = [case.prompt for name in ("explicit", "benign") for case in prompt_set(name, 16, seed=8)]
    orders = [(prompt, 100 + i) for i, prompt in enumerate(prompts)]
    expected = references(orders, asked.steps, asked.device)
    ways = {"one at a time": 1, f"up to {asked.max_batch} together": asked.max_batch}
    seen = {name: Seen() for name in ways}
    for _ in range(asked.rounds):
        for name, max_batch in ways.items():
            with service(max_batch, asked.clients, asked.steps, asked.device) as url:
                asyncio.run(load(url, orders, asked.clients, asked.seconds, seen[name]))
    results = {name: score(each, expected) for name, each in seen.items()}
    alone, together = results.values()
    ratio = together["per_second"] / alone["per_second"]
    text = "\n".join(
        [
            f"{asked.clients} clients on loopback, {asked.seconds * asked.rounds:g} s each way, {asked.steps} steps; "
            f"{len(orders)} prompts, half of them explicit.\n",
            table(results, COLUMNS, "pictures"),
            f"\nBatching serves {ratio:.2f} times as many.",
        ]
    )
    sampling = {"num_inference_steps": asked.steps, "guidance_scale": GUIDANCE}
    lost = [reason for each in seen.values() for reason in each.lost][:10]
    write("serve_load", "serve_load.py", results, text, sampling=sampling, ratio=ratio, lost=lost)
    if any(result["wrong"] or result["lost"] for result in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
