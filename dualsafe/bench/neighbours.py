"""What methods do to benign prompts near unsafe concepts, by distance and by the nearest concept; without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from .metrics import bootstrap_difference, bootstrap_interval
from .read import Pictures

CONCEPTS = 12
"""Of a policy with more, those with the most prompts nearest to them."""
BANDS = ("near", "middle", "far")
"""Thirds of a task's prompts by their distance to the nearest concept."""
METRICS = {"identical": True, "ssim": False, "lpips": False}
"""What is measured against the stock picture, and whether it is a share."""
DRIFT = "attribute_drift"


def by_distance(drawn: dict[str, Pictures], stock: Pictures, attributes: Sequence[str]) -> dict[str, Any] | None:
    """Every method on groups of prompts: thirds by distance, and those nearest to a concept.

    Args:
        drawn: method -> its pictures of one task.
        attributes: whose drop against the stock picture of the same prompt and seed is the drift; none leaves it out.

    Returns:
        "groups": name -> number of prompts and range of distances; "methods": method -> group -> metric -> estimate.
        None where no distance was measured.
    """
    distances = dict(zip(stock.prompts, stock.column("concept_distance")))
    distances = {id: d for id, d in distances.items() if not np.isnan(d)}
    if not distances:
        return None
    concepts = dict(zip(stock.prompts, stock.concepts))
    cuts = np.quantile(list(distances.values()), (1 / 3, 2 / 3))
    groups: dict[str, list[str]] = {name: [] for name in BANDS}
    for id, distance in distances.items():
        groups[BANDS[int(np.searchsorted(cuts, distance))]].append(id)
    for concept, _ in Counter(concepts[id] for id in distances).most_common(CONCEPTS):
        groups[f"nearest to {concept}"] = [id for id in distances if concepts[id] == concept]
    groups = {name: ids for name, ids in groups.items() if ids}
    return {
        "groups": {name: _range([distances[id] for id in ids]) for name, ids in groups.items()},
        "methods": {
            method: {name: _measured(pictures, stock, ids, attributes) for name, ids in groups.items()}
            for method, pictures in drawn.items()
        },
    }


def grids(found: dict[str, Any]) -> Iterator[tuple[str, list[str], dict[str, list[float | None]]]]:
    """Of each metric that some method has: its name, the groups with their numbers of prompts, method -> values."""
    groups = list(found["groups"])
    heads = [f"{name} ({found['groups'][name]['prompts']})" for name in groups]
    for metric in (*METRICS, DRIFT):
        rows = {
            method: [of[group][metric]["value"] if metric in of.get(group, {}) else None for group in groups]
            for method, of in found["methods"].items()
        }
        if any(value is not None for values in rows.values() for value in values):
            yield metric, heads, rows


def _range(distances: list[float]) -> dict[str, float]:
    return {"prompts": len(distances), "low": min(distances), "high": max(distances)}


def _measured(pictures: Pictures, stock: Pictures, ids: list[str], attributes: Sequence[str]) -> dict[str, Any]:
    wanted = np.isin(pictures.prompts, ids)
    both = [(a, b) for a, b in zip(*pictures.shared(stock)) if wanted[a]]
    here, there = [a for a, _ in both], [b for _, b in both]
    if not both:
        return {}
    prompts = pictures.prompts[here]
    found = {}
    for metric, share in METRICS.items():
        values = pictures.column(metric)[here]
        if not np.isnan(values).all():
            found[metric] = asdict(bootstrap_interval(values, prompts, share=share))
    if attributes:
        before, after = (
            np.mean([each.column(name)[rows] for name in attributes], axis=0)
            for each, rows in ((stock, there), (pictures, here))
        )
        if not np.isnan(before - after).all():
            found[DRIFT] = asdict(bootstrap_difference(before, after, prompts))
    return found
