"""One call of a dual pipeline: its samples, and the passes through the stock loop that draw them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import method
from ..callbacks import for_both_branches
from ..conditions import Decision, Stream, apply_sources, unwanted
from ..config import MethodSettings
from ..denoiser import DualDenoiser
from ..judges import Judge, Verdict, ask
from ..look import Preview
from ..noise_level import Schedule
from ..plan import Guidance, Plan
from ..stand_in import StandIn, standing_in
from . import arguments, noise
from .decode import decode
from .pictures import check_safe
from .request import Request
from .start import OneNoise

if TYPE_CHECKING:
    from .dual import DualLatentMixin


@dataclass
class Sample:
    """One picture of a call in the making.

    Attributes:
        decision, settings: what its latest pass was told.
        safe: final latents of the safe branch; None where the original is the picture.
        pixels: `safe` decoded and composited, (3, H, W).
        mask: where the safe picture may differ, (1, h, w) in [0, 1]; None where it is everywhere.
        rows: denoiser rows spent so far, in all passes.
        verdicts: what judges said of it, in order.
        withheld: whether it must not leave.
    """

    decision: Decision
    settings: MethodSettings
    safe: Tensor | None = None
    pixels: Tensor | None = None
    mask: Tensor | None = None
    rows: int = 0
    tries: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    withheld: bool = False


class Call:
    """Draws the samples of a request, and draws some of them again where a judge wants it.

    Args:
        pipe: the pipeline.
        stock_call: the stock class's `__call__`, bound.
        given: all arguments of the stock call.
        request: what was asked, checked.

    Attributes:
        samples: one a picture, in the batch's order.
        original_latents: final latents of the original branch from the first pass, (N, C, h, w), in the memory layout
            that the stock loop gave them: decoding them contiguous would round differently.
    """

    original_latents: Tensor

    def __init__(self, pipe: DualLatentMixin, stock_call: Callable, given: dict[str, Any], request: Request):
        self.pipe, self.given, self.request = pipe, given, request
        self.samples = [Sample(decision, request.settings) for decision in request.samples]
        self._stock_call = stock_call
        self._embeds = pipe._encode(given, pipe._execution_device)
        self._start = OneNoise(len(self.samples))
        self._originals: Tensor | None = None

    @cached_property
    def _streams(self) -> list[Stream]:
        return self.pipe._streams(self.given)

    def draw(self, rows: list[int], preview: Judge | None = None) -> None:
        """One pass through the stock loop over the samples `rows`, as their decisions and settings say.

        Args:
            preview: looks at the open ones of the first pass half-way; its verdicts are added to the samples.

        Raises:
            NonFiniteLatentsError: NaN or infinite latents.
            ValueError: a shared phase over all steps.
        """
        plan = self._plan(rows)
        branches = 2 if plan.dual else 1
        embeds = {name: value[rows] for name, value in self._embeds.items()}
        if plan.dual:
            embeds = self._stacked(embeds, rows, plan.dual)
        schedule = Schedule.of(self.pipe.scheduler, self.pipe.timestep_scale)
        looking = self._looking(rows, preview) if preview else None
        model = getattr(self.pipe, self.pipe.denoiser_name)
        denoiser = DualDenoiser(model, plan, schedule, looking)
        stand_ins = {self.pipe.denoiser_name: StandIn(model, denoiser), **self._start.around(self.pipe, rows, branches)}
        told = self.given | {name: None for name in arguments.TEXT_ARGUMENTS if name in self.given} | embeds
        told |= {"num_images_per_prompt": 1, "output_type": "latent", "return_dict": False}
        told["generator"] = self._generators(rows, bool(plan.dual))
        if plan.dual:
            told["callback_on_step_end"] = for_both_branches(told["callback_on_step_end"], len(rows))
        with standing_in(self.pipe, stand_ins):
            final = self.pipe._spatial(self._stock_call(**told)[0], self.given)
        check_safe(final, denoiser)
        if looking and looking.samples and not looking.done:  # too few steps to be seen half-way
            looking.look(final[looking.samples])
        self._keep(rows, final, denoiser)

    def originals(self) -> Tensor:
        """Pixels of all originals, decoded in the stock batch's shape, (N, 3, H, W)."""
        if self._originals is None:
            self._originals = self.decoded(self.original_latents)
        return self._originals

    def decoded(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) latents to (N, 3, H, W) in [-1, 1], with the stock pipeline's own operations."""
        pixels = decode(self.pipe.vae, latents, self.pipe.upcasts_vae)
        watermark = getattr(self.pipe, "watermark", None)
        return watermark.apply_watermark(pixels) if watermark is not None else pixels

    def pixels(self) -> Tensor:
        """All pictures as they stand: safe where there is a safe branch, else the original's."""
        made = [sample.pixels for sample in self.samples if sample.pixels is not None]
        if len(made) == len(self.samples):
            return torch.stack(made)
        pixels = self.originals().clone()
        for i, sample in enumerate(self.samples):
            if sample.pixels is not None:
                pixels[i] = sample.pixels
        return pixels

    def pil(self, pixels: Tensor) -> list:
        """What a judge is shown."""
        return self.pipe.image_processor.postprocess(pixels, output_type="pil")

    def _plan(self, rows: list[int]) -> Plan:
        samples = [self.samples[i] for i in rows]
        settings = samples[0].settings
        weights = [settings.weight_of(s.decision.level) if s.decision.kind == "dual" else 0.0 for s in samples]
        mask = self.request.mask
        if mask is not None:
            mask = mask[[i // self.request.images_per_prompt for i in rows]]
        # A word or a judge found something in the others, so that no likeness of the branches clears them.
        may_agree = {k for k, s in enumerate(samples) if s.decision.gate == "given" and not s.decision.triggers}
        return Plan(weights, settings, self._guidance, self.request.return_pair, mask, frozenset(may_agree))

    def _guidance(self) -> Guidance:
        """The pipeline's guidance in this step of the stock loop: a callback may have changed it."""
        live = {name: getattr(self.pipe, f"_{name}", None) for name in ("guidance_scale", "guidance_rescale")}
        return self.pipe._guidance(self.given | {name: value for name, value in live.items() if value is not None})

    def _stacked(self, embeds: dict[str, Tensor], rows: list[int], dual: list[int]) -> dict[str, Tensor]:
        """Embeddings of both branches; a benign sample's safe row is its own and stays unused."""
        safe = self._safe_embeds([rows[k] for k in dual])
        stacked = {}
        for name, original in embeds.items():
            second = original
            if name in safe:
                second = original.clone()
                second[dual] = safe[name].to(original)
            stacked[name] = torch.cat([original, second])
        return stacked

    def _safe_embeds(self, rows: list[int]) -> dict[str, Tensor]:
        """Embeddings of the safe branch of the samples `rows`: the caller's, or those of their safe texts."""
        given = self.request.matching_embeds(self._embeds)
        if given:
            return {name: value[[i // self.request.images_per_prompt for i in rows]] for name, value in given.items()}
        decisions = [self.samples[i].decision for i in rows]
        names = dict.fromkeys(name for decision in decisions for name in decision.safe_texts)
        texts = [tuple(d.safe_texts.get(name, d.safe_texts["prompt"]) for name in names) for d in decisions]
        different = list(dict.fromkeys(texts))
        encoded = self.pipe._encode_safe(
            self.given | {"num_images_per_prompt": 1}, dict(zip(names, map(list, zip(*different))))
        )
        order = [different.index(text) for text in texts]
        safe = {name: value[order] for name, value in encoded.items()}
        if set(self.request.sources) != {"rewrite"}:
            policy, streams = self.request.policy, self._streams
            prompts = [decision.safe_texts["prompt"] for decision in decisions]
            embeds = safe["prompt_embeds"]
            safe["prompt_embeds"] = apply_sources(self.request.sources, embeds, prompts, decisions, policy, streams)
        if "negative" in self.request.sources:
            safe |= self._negative_embeds(rows)
        return safe

    def _negative_embeds(self, rows: list[int]) -> dict[str, Tensor]:
        """The safe branch's negative: the concepts of the categories that were found, and the caller's text."""
        given = self.given.get("negative_prompt") or ""
        texts = []
        for i in rows:
            own = given if isinstance(given, str) else given[i // self.request.images_per_prompt]
            concepts = unwanted(self.samples[i].decision, self.request.policy)
            texts.append(f"{concepts}, {own}" if own else concepts)  # what is too long is cut at its end
        found = self.pipe._encode_safe(self.given | {"num_images_per_prompt": 1}, {"prompt": texts})
        return {f"negative_{name}": value for name, value in found.items()}

    def _generators(self, rows: list[int], dual: bool) -> noise.Generators:
        """Generators of a pass; those of an original and of its safe twin draw alike."""
        generator, n = self.given.get("generator"), len(self.samples)
        first = all(sample.rows == 0 for sample in self.samples)
        stochastic = noise.is_stochastic(self.pipe.scheduler, self.given.get("eta", 0.0))
        if first and not dual:
            return generator
        if first:
            noise.check_pairable(self.pipe.scheduler)
            return noise.paired(generator, n, stochastic)
        return noise.paired(self._start.generators(rows), len(rows), stochastic) if stochastic else None

    def _looking(self, rows: list[int], judge: Judge) -> Preview:
        open_ = [k for k, i in enumerate(rows) if self.samples[i].decision.is_open]

        def look(x0: Tensor) -> None:
            verdicts = ask(judge, self.pil(self.decoded(x0.to(self.pipe.vae.dtype))))
            for k, verdict in zip(open_, verdicts):
                self.samples[rows[k]].verdicts.append(verdict)
            wanted = self.request.return_pair or self.request.settings.composite
            if len(open_) == len(rows) and all(v.is_unsafe for v in verdicts) and not wanted:
                self.pipe._interrupt = True  # nobody is going to see this pass

        return Preview(self.request.settings.preview, open_, look)

    def _keep(self, rows: list[int], final: Tensor, denoiser: DualDenoiser) -> None:
        """Stores what a pass has drawn; composites over the first pass's originals."""
        dual, count = denoiser.plan.dual, len(rows)
        if not hasattr(self, "original_latents"):
            self.original_latents = final[:count]
        for k, i in enumerate(rows):
            sample = self.samples[i]
            sample.rows += denoiser.rows[k]
        if not dual:
            return
        safe = final[count:][dual]
        masks = None if denoiser.mask is None else denoiser.mask[dual]
        pixels = None
        if self.given["output_type"] != "latent" or self.request.verify:
            pixels = self.decoded(safe)
        if denoiser.plan.settings.composite and masks is not None and pixels is not None:
            large = F.interpolate(masks, size=pixels.shape[-2:], mode="nearest").to(pixels.dtype)
            pixels = method.composite(pixels, self.originals()[[rows[k] for k in dual]], large)
        for j, k in enumerate(dual):
            sample = self.samples[rows[k]]
            if k in denoiser.agreed:
                sample.decision = replace(sample.decision, gate="latent")
                sample.safe = sample.pixels = sample.mask = None
                continue
            sample.safe = safe[j]
            sample.pixels = None if pixels is None else pixels[j]
            sample.mask = None if masks is None else masks[j]
