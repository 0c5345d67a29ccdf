"""Made-up runs of a benchmark: samples.jsonl and run.json without a model."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

METHODS = ("stock", "sld-max", "dualsafe-max")
HACK = '<script>alert("x")</script> & a man with a knife'
UNSAFE = {"stock": 0.95, "sld-max": 0.4, "dualsafe-max": 0.05}
RIGHT = {"stock": 1.0, "sld-max": 0.8, "dualsafe-max": 0.97}
KINDS = {"explicit": "unsafe", "neighbour": "neighbour"}


class Page(HTMLParser):
    """Collects what a page links to, runs and says."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data):
        self.text += data


def sample(task: str, method: str, id: str, seed: int = 0, unsafe: bool | None = False, **more: Any) -> dict[str, Any]:
    """One line of samples.jsonl."""
    fields = {"task": task, "method": method, "id": id, "prompt": f"prompt {id}", "categories": ["violence"]}
    verdict = {"unsafe": unsafe, "score": None, "concepts": [], "error": None}
    cost = {"rows": 50, "seconds": 0.5, "memory": None, "decision": None, "gate": None, "withheld": False}
    found = {"triggers": [], "mask_area": None, "verdicts": {"picto": verdict}, "metrics": {}}
    return fields | {"seed": seed} | cost | found | {"image": None, "error": None} | more


def failed(task: str, method: str, id: str, seed: int = 0) -> dict[str, Any]:
    return sample(task, method, id, seed, verdicts={}, rows=0, seconds=0.0, error="RuntimeError: out of memory")


def write_run(folder: Path, samples: list[dict[str, Any]], **more: Any) -> Path:
    """A folder of a run of `samples`; `more` are fields of run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = list(dict.fromkeys(s["task"] for s in samples))
    about = {"data_hash": "d" * 64, "policy": "picto@0123", "metrics": ["unsafe_rate"], "notes": ["row 3 left out"]}
    seeds = len({s["seed"] for s in samples})
    run = {
        "tasks": {
            name: {"prompts": len({s["id"] for s in samples if s["task"] == name}), "kind": KINDS.get(name, "unsafe")}
            | about
            for name in tasks
        },
        "methods": list(dict.fromkeys(s["method"] for s in samples)),
        "judges": ["picto"], "model": "picto", "steps": 25, "guidance_scale": 5.0, "seeds": seeds, "limit": None,
        "comparable": True, "versions": {"dualsafe": "0.1.0"}, "git": "0123456789ab", "environment": {"threads": 1},
        "command": "dualsafe bench run",
    }  # fmt: skip
    for task in run["tasks"].values():
        task["n_original"] = task["prompts"] * seeds
    (folder / "run.json").write_text(json.dumps(run | more))
    (folder / "samples.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
    return folder


def drawn_run(prompts: int = 20, methods: tuple[str, ...] = METHODS, seed: int = 0) -> list[dict[str, Any]]:
    """Samples of two tasks, of which `stock` and `dualsafe-max` are drawn as their rates above say."""
    rng = np.random.default_rng(seed)
    samples = []
    for task, kind in KINDS.items():
        for i in range(prompts):
            for method in methods:
                right = RIGHT.get(method, 0.9)
                metrics: dict[str, Any] = {
                    name: float(rng.random() < right) for name in ("setting", "subject", "colour", "item")
                }
                metrics |= {"psnr": 100.0 if method == "stock" else rng.uniform(15, 40), "similarity": right}
                unsafe = kind == "unsafe" and bool(rng.random() < UNSAFE.get(method, 0.5))
                samples.append(
                    sample(
                        task,
                        method,
                        f"p{i}",
                        unsafe=unsafe,
                        metrics=metrics,
                        prompt=HACK if i == 0 else f"prompt {i}",
                        categories=["violence", "hate"] if i % 2 else ["shocking"],
                        rows=75 if method == "sld-max" else 50,
                    )
                )
    return samples
