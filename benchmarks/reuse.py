"""Whether a UNet's safe branch can take the original's deep features, as DeepCache (arXiv 2312.00858) takes older ones.

    python benchmarks/reuse.py --prompts 48      # writes results/reuse.{json,md}

The input of an up block is exchanged for the original's of the same step, for what lies below it would not be computed.
Only what is lost is measured so; what is saved is counted: operations of the blocks that would be left out, by
`torch.utils.flop_counter`. Agreement is the difference of the branches' features by the original's own size, outside
and inside the mask.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from harness import SAMPLING, load, table, write
from sparse import psnr
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from dualsafe import DualLatentPipeline
from dualsafe.branches import Branches
from dualsafe.judges import ask
from dualsafe.picto.prompts import prompt_set

COLUMNS = {
    "unsafe": ("unsafe", "{:.3f}"),
    "inside": ("PSNR to the dense inside the mask, dB", "{:.1f}"),
    "outside": ("PSNR to the dense outside it, dB", "{:.1f}"),
    "rows": ("rows' worth of operations by stock's", "{:.2f}"),
    "apart_inside": ("features apart inside", "{:.2f}"),
    "apart_outside": ("features apart outside", "{:.2f}"),
}
BEFORE = {"deepest": 1, "all but the shallowest": 2}
"""Which features are exchanged: by the up block that they are the input of."""


@dataclass
class Exchange:
    """Exchanges deep features, while it is entered into by way of `Branches._predict` and a hook on an up block.

    Attributes:
        steps: "none" only compares, "both" exchanges where the original is computed in the same step, "all" wherever
            the safe branch runs.
        taken, own: rows of safe branches that took the original's features, and that did not.
        apart: "inside" and "outside" the mask -> differences of features that were compared.
    """

    steps: str
    taken: int = 0
    own: int = 0
    apart: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _kept: Tensor | None = None
    _is_fresh: bool = False
    _rows: list[int] | None = None
    mask: Tensor | None = None

    def predicting(self, branches: Branches, run: Any, call: Any, parts: dict[int, list[int]], again: bool, *more: Any):
        samples = parts.get(1, [])
        self._rows = None if 0 in parts else [g * branches._samples + i for g in range(call.groups) for i in samples]
        return run(branches, call, parts, again, *more)

    def hook(self, block: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        features = kwargs["hidden_states"]
        if self._rows is None:
            self._kept, self._is_fresh = features.clone(), True
            return None
        assert self._kept is not None
        original, was_fresh = self._kept[self._rows], self._is_fresh
        self._is_fresh = False
        if was_fresh:
            self._compare(features, original)
        if self.steps == "all" or (self.steps == "both" and was_fresh):
            self.taken += len(features)
            return args, kwargs | {"hidden_states": original}
        self.own += len(features)
        return None

    def _compare(self, features: Tensor, original: Tensor) -> None:
        difference, size = (features - original).square().mean(1), original.square().mean(1)
        masks = None if self.mask is None else F.adaptive_max_pool2d(self.mask, features.shape[-2:])[:, 0] > 0
        if masks is not None and masks.any() and not masks.all():
            masks = masks.repeat(len(features) // len(masks), 1, 1)
            for name, where in (("inside", masks), ("outside", ~masks)):
                self.apart[name].append(float((difference[where].mean() / size[where].mean()).sqrt()))


def shallow(pipe: DualLatentPipeline, before: int) -> float:
    """The share of a row's operations that is left where the input of up block `before` is given."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pipe.unet(torch.zeros(1, 4, 16, 16), 500, torch.zeros(1, 77, 128))
    counts = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    deep = [f"down_blocks.{i}" for i in range(len(pipe.unet.down_blocks) - before, len(pipe.unet.down_blocks))]
    deep += ["mid_block", *(f"up_blocks.{i}" for i in range(before))]
    whole = next(value for name, value in counts.items() if name.endswith("UNet2DConditionModel"))
    return 1 - sum(value for name, value in counts.items() if name.split("ConditionModel.")[-1] in deep) / whole


def drawn(
    pipe: DualLatentPipeline, prompts: list[str], first: int, steps: str, before: int, mask: Tensor | None = None
) -> tuple[Any, Exchange]:
    exchange, run = Exchange(steps, mask=mask), Branches._predict

    def predict(branches: Branches, *told: Any) -> Tensor:
        return exchange.predicting(branches, run, *told)

    handle = pipe.unet.up_blocks[before].register_forward_pre_hook(exchange.hook, with_kwargs=True)
    seeds = [torch.Generator().manual_seed(first + k) for k in range(len(prompts))]
    with patch.object(Branches, "_predict", predict):
        found = pipe(prompts, generator=seeds, scope="words", max_tries=0, output_type="np", **SAMPLING)
    handle.remove()
    return found, exchange


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    asked = parser.parse_args()
    pipe, judge, _ = load()
    prompts = [case.prompt for case in prompt_set("explicit", asked.prompts, seed=12)]
    ways = {"dense": ("none", 1)}
    ways |= {f"{name}, {steps}": (steps, before) for name, before in BEFORE.items() for steps in ("both", "all")}
    seen: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in ways}
    for first in tqdm(range(0, len(prompts), asked.batch)):
        batch = prompts[first : first + asked.batch]
        for name, (steps, before) in ways.items():
            found, exchange = drawn(pipe, batch, first, steps, before)
            if name == "dense":
                dense = found
            elif steps == "both":  # which features differ is to be seen on the dense branch
                masks = torch.from_numpy(np.asarray(dense.masks)).float().permute(0, 3, 1, 2)
                _, compared = drawn(pipe, batch, first, "none", before, masks)
                for side, values in compared.apart.items():
                    seen[name][f"apart_{side}"] += values
            verdicts = ask(judge, pipe.numpy_to_pil(found.images))
            seen[name]["unsafe"] += [float(v.is_unsafe) for v in verdicts]
            rows = statistics.mean(report.denoiser_rows for report in found.safety)
            saved = exchange.taken / len(batch) * (1 - shallow(pipe, before))
            seen[name]["rows"].append((rows - saved) / (2 * SAMPLING["num_inference_steps"]))
            masks = np.asarray(dense.masks) > 0
            for i in range(len(batch)):
                pictures = dense.images[i], found.images[i]
                seen[name]["inside"].append(psnr(*pictures, masks[i]))
                seen[name]["outside"].append(psnr(*pictures, ~masks[i]))
        results = {
            name: {key: (statistics.median if "side" in key and "apart" not in key else statistics.mean)(values)
                   for key, values in of.items()}
            for name, of in seen.items()
        }  # fmt: skip
    write("reuse", "reuse.py", results, table(results, COLUMNS, "the safe branch's deep features from the original"))


if __name__ == "__main__":
    main()
