"""A ControlNet in a dual call: its picture, and its pass before the denoiser, as each branch's stock call has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..branches import Call, OnDevice, check_stateless
from ..stand_in import StandIn

PREPARING = ("prepare_image", "prepare_control_image")
"""Methods that bring the control pictures to size and repeat them for a batch."""


def stand_ins(pipe: Any, samples: int, branches: int) -> dict[str, Any]:
    """Stand-ins for one pass over `samples` in `branches` copies; none where the pipeline has no ControlNet."""
    net = getattr(pipe, "controlnet", None)
    if net is None:
        return {}
    if branches == 1:
        return {"check_image": _unchecked}
    check_stateless(net)
    return {"controlnet": StandIn(net, _a_branch_at_a_time(net, samples)), "check_image": _unchecked}


def as_checked(given: dict[str, Any], pipe: Any) -> dict[str, Any]:
    """A call's arguments as the stock call hands them to its `check_inputs`."""
    net = getattr(pipe, "controlnet", None)
    if net is None:
        return given
    nets = len(net.nets) if hasattr(net, "nets") else 1
    reach = {
        name: value if isinstance(value := given[name], list) else [value] * nets
        for name in ("control_guidance_start", "control_guidance_end")
    }
    return given | reach | {"image": given.get("control_image", given["image"])}


def _a_branch_at_a_time(net: Any, samples: int) -> Callable:
    """The ControlNet on the rows of one branch after the other, so that each batch is a stock call's, to the bit."""
    on = OnDevice()

    def residuals(*args: Any, **kwargs: Any) -> tuple[list[Tensor], Tensor]:
        call = Call(args, kwargs, samples)
        rows = [call.rows({branch: on(call.sample.device, range(samples))}) for branch in (0, 1)]
        found = []
        for each in rows:
            own_args, own_kwargs = call.taking(each)
            found.append(net(*own_args, **own_kwargs))
        places = torch.cat(rows).argsort()
        down = [torch.cat(pair)[places] for pair in zip(*(down for down, _ in found))]
        return down, torch.cat([middle for _, middle in found])[places]

    return residuals


def _unchecked(*_: Any, **__: Any) -> None:
    """In the place of `check_image`: pictures were counted against the prompts before these were doubled."""
