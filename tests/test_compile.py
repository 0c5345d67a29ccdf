"""A compiled denoiser in a dual call, and how often a step waits for the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from families import FAMILIES, SAFE, UNSAFE, dual_of
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dualsafe import MethodSettings
from dualsafe.denoiser import DualDenoiser
from dualsafe.noise_level import Schedule
from dualsafe.pipelines.dual import DualLatentMixin
from dualsafe.plan import Guidance, Plan

BENIGN = "a dog in white"
PARTING = MethodSettings(mask_floor=1e-6)  # random weights part by little

# How often a dual step waits for a GPU, from the second one on: to read the timestep, to read which masks are empty,
# and to copy lists of samples, weights, noise levels and the caller's mask there. A shared or benign step reads the
# timestep only.
TIMESTEP_READS, MASK_READS, COPIES = 0, 0, 0


@pytest.fixture
def compiled() -> Callable[[str], tuple[DualLatentMixin, CompileCounter]]:
    """A family's dual pipeline whose denoiser counts its graphs, one a shape, and refuses to break one."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()

    def of(name: str) -> tuple[DualLatentMixin, CompileCounter]:
        pipe, counter = dual_of(FAMILIES[name].make()), CompileCounter()
        getattr(pipe, pipe.denoiser_name).compile(backend=counter, dynamic=False, fullgraph=True)
        return pipe, counter

    yield of
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["sd1", "xl", "sd3", "flux"])
def test_a_dual_call_compiles_two_shapes_without_a_break(name, compiled, seeds):
    pipe, counter = compiled(name)
    options = {"safe_prompt": [*SAFE, None], "policy": "picto", "scope": "words"}
    options |= {"settings": PARTING, "num_inference_steps": 10}  # the watch's batches are shapes of their own
    drawn = FAMILIES[name].call(pipe, [*UNSAFE, BENIGN], generator=seeds(1, 2, 3), **options)
    assert [report.decision for report in drawn.safety] == ["dual", "dual", "benign"]
    assert counter.frame_count == 2 and counter.op_count  # all three originals, two safe branches
    assert not torch._dynamo.utils.counters["graph_break"]


def test_every_mode_takes_the_same_two_shapes(compiled):
    pipe, counter = compiled("sd1")
    stacked = replace(PARTING, stacked=True)
    for more in ({}, {"settings": stacked}, {"return_pair": True}, {"safety_level": 0.0}):
        options = {"settings": PARTING, "safe_prompt": SAFE, "num_inference_steps": 10} | more
        FAMILIES["sd1"].call(pipe, UNSAFE, **options)
    assert counter.frame_count == 2  # one branch, and both stacked


def test_samples_that_the_latent_gate_drops_cost_one_more_shape(compiled):
    pipe, counter = compiled("sd1")
    prompts, safe = [*UNSAFE, "a dog", BENIGN], [*SAFE, "a dog", None]
    options = {"safe_prompt": safe, "policy": "picto", "scope": "words"}
    options |= {"settings": PARTING, "num_inference_steps": 10}  # the watch's batches are shapes of their own
    drawn = FAMILIES["sd1"].call(pipe, prompts, **options)
    assert [report.gate for report in drawn.safety] == ["given", "given", "latent", "prompt"]
    assert counter.frame_count == 3


class Traffic(TorchDispatchMode):
    """Counts what passes between the host and the device "meta", which stands for a GPU and computes nothing.

    "read" is a value that the host wants, "copied" a tensor that is made of the host's values: a real GPU finishes all
    that it has to do first. What has a shape that depends on values, `nonzero` say, raises.

    Args:
        truth: id of a tensor on the device -> its values on the host; what a boolean is read as is `flag`.
    """

    def __init__(self, truth: dict[int, torch.Tensor] | None = None, flag: bool = True):
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.number, self.flag = 0.0, flag
        self._truth = truth or {}
        self._there: dict[int, torch.Tensor] = {}

    def lies_there(self, *tensors: torch.Tensor) -> None:
        """What was on the device before."""
        self._there |= {id(tensor): tensor for tensor in tensors}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        there = [x for x in given if x.is_meta]
        for tensor in there:
            self.seen["copied"] += id(tensor) not in self._there
            self.lies_there(tensor)
        name, device = func.overloadpacket, kwargs.get("device")
        if name is torch.ops.aten._local_scalar_dense and there:
            self.seen["read"] += 1
            return self.flag if there[0].dtype == torch.bool else self.number
        if name is torch.ops.aten._to_copy and there and device is not None and device.type != "meta":
            self.seen["read"] += 1
            flags = torch.full(there[0].shape, self.flag if there[0].dtype == torch.bool else self.number)
            return self._truth.get(id(there[0]), flags)
        result = func(*args, **kwargs)
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor) and x.is_meta]
        if name in (torch.ops.aten._to_copy, torch.ops.aten.copy_) and made and len(there) < len(given):
            self.seen["copied"] += 1
        self.lies_there(*made)
        return result


def test_traffic_is_seen():
    x, traffic = torch.empty(2, 3, device="meta"), Traffic()
    traffic.lies_there(x)
    ways = {
        "read": [lambda: x[0, 0].item(), lambda: bool(x.any()), lambda: x.cpu(), lambda: x.tolist()],
        "copied": [lambda: x[[0, 1]], lambda: torch.tensor([1.0], device="meta") + x, lambda: torch.ones(3).to(x)],
        "neither": [lambda: x * torch.tensor(2.0), lambda: x[torch.arange(2, device="meta")], lambda: x.sum() * 2.0],
    }
    for kind, calls in ways.items():
        for call in calls:
            traffic.seen.clear()
            with traffic:
                call()
            assert +traffic.seen == ({} if kind == "neither" else {kind: 1})


def traffic_of(plan: Plan, flow: bool = False, flag: bool = True) -> tuple[list[Counter[str]], list[float]]:
    """What each step of a dual call brings about, with the real UNet, and the steps' progress."""
    scheduler = FlowMatchEulerDiscreteScheduler() if flow else DDIMScheduler(**tiny.scheduler("epsilon").config)
    scheduler.set_timesteps(10)
    schedule, values = Schedule.of(scheduler), scheduler.timesteps
    scheduler.timesteps = values.to("meta")
    unet, n = tiny.unet().to("meta"), len(plan.weights)
    denoiser, traffic = DualDenoiser(unet, plan, schedule), Traffic({id(scheduler.timesteps): values}, flag)
    traffic.lies_there(scheduler.timesteps, *unet.parameters(), *unet.buffers())
    counts = []
    for t, traffic.number in zip(scheduler.timesteps, values.tolist()):
        rows = 2 * n * (2 if plan.dual else 1)
        z, told = torch.empty(rows, 4, 8, 8, device="meta"), torch.empty(rows, 5, 32, device="meta")
        traffic.lies_there(z, t, told)
        traffic.seen.clear()
        with traffic:
            denoiser(z, t, encoder_hidden_states=told)
        counts.append(traffic.seen.copy())
    return counts, [schedule.progress(index) for index in range(10) if plan.dual]


TWO = [1.0, 0.5]


def guided() -> Guidance:
    return Guidance(5.0)


PLANS: dict[str, Plan] = {
    "default": Plan(TWO, MethodSettings(), guided),
    "original at every step": Plan(TWO, MethodSettings(original_interval=None), guided),
    "pair": Plan(TWO, MethodSettings(), guided, keep_original=True),
    "no mask": Plan(TWO, MethodSettings(mask_floor=None), guided),
    "stacked": Plan(TWO, MethodSettings(stacked=True), guided),
    "rescaled": Plan(TWO, MethodSettings(), lambda: Guidance(5.0, rescale=0.5)),
    "own mask": Plan(TWO, MethodSettings(), guided, mask=torch.ones(2, 1, 64, 64)),
    "a benign one between": Plan([1.0, 0.0, 0.5], MethodSettings(), guided),
}


@torch.no_grad()
@pytest.mark.parametrize(("name", "flow"), [*((name, False) for name in PLANS), ("default", True)])
def test_a_step_waits_for_the_device_no_more_than_is_known(name, flow):
    plan = PLANS[name]
    counts, progress = traffic_of(plan, flow)
    shared = [seen for seen, at in zip(counts, progress) if at < plan.settings.tau]
    _, *dual = counts[len(shared) :]  # the first may copy what all of them need
    assert shared and len(dual) > 5
    for seen in shared[1:]:
        assert seen["read"] <= TIMESTEP_READS and not seen["copied"]
    for seen in dual:
        assert seen["read"] <= TIMESTEP_READS + MASK_READS and seen["copied"] <= COPIES


@torch.no_grad()
def test_a_benign_step_waits_for_the_device_once_at_most():
    counts, _ = traffic_of(Plan([0.0, 0.0], MethodSettings(), guided))
    assert all(seen["read"] <= 1 and not seen["copied"] for seen in counts)


@torch.no_grad()
def test_whether_samples_have_parted_is_read_once_a_step_at_most():
    counts, _ = traffic_of(Plan(TWO, MethodSettings(latent_gate=None), guided), flag=False)
    assert all(seen["read"] <= TIMESTEP_READS + 1 for seen in counts[1:])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.xfail(bool(TIMESTEP_READS or MASK_READS or COPIES), reason="the waits that are counted above")
@pytest.mark.parametrize("name", ["sd1", "xl", "sd3"])
def test_no_dual_step_waits_for_the_gpu(name, monkeypatch):
    pipe = dual_of(FAMILIES[name].make()).to("cuda")
    if name != "sd3":
        pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    plain, watched = DualDenoiser.__call__, []

    def watching(self, *args, **kwargs):
        if self.left_shared_phase:  # the first dual step may copy what all of them need
            watched.append(self)
            torch.cuda.set_sync_debug_mode("error")
        try:
            return plain(self, *args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(DualDenoiser, "__call__", watching)
    options = {"safe_prompt": SAFE, "settings": PARTING, "num_inference_steps": 10}
    drawn = FAMILIES[name].call(pipe, UNSAFE, **options)
    assert len(watched) > 5 and np.isfinite(drawn.images).all()
