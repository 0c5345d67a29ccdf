"""One call of a dual pipeline: its samples, and the passes through the stock loop that draw them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import method
from ..after_guidance import AfterGuidance
from ..callbacks import for_both_branches
from ..conditions import Gate, aimed
from ..denoiser import DualDenoiser
from ..errors import NonFiniteLatentsError
from ..extrapolate import Trajectory
from ..judges import ask
from ..look import Early, Preview
from ..noise_level import Schedule
from ..plan import Plan
from ..stand_in import StandIn, standing_in
from ..watch import Watch, probes_of
from . import arguments
from .noise import OneNoise, check_pairable
from .request import Request
from .sample import Sample
from .stock import Stock
from .texts import EMBEDS, MASK


class Call:
    """Draws the samples of a request, and draws some of them again where a judge wants it.

    Attributes:
        stock: the pipeline.
        request: what was asked, checked.
        samples: one a picture, in the batch's order.
        original_latents: final latents of the original branch from the first pass, (N, C, h, w), in the memory layout
            that the stock loop gave them: decoding them contiguous would round differently.
    """

    original_latents: Tensor

    def __init__(self, stock: Stock, request: Request):
        self.stock, self.request = stock, request
        self.samples = [Sample(decision, request.settings) for decision in request.pictures]
        self.everything = list(range(len(self.samples)))
        self._embeds = stock.encode(request.given)
        device = stock.pipe._execution_device
        self._noise = OneNoise(request.given.get("generator"), len(self.samples), device)
        self._originals: Tensor | None = None
        self._known: Trajectory = {}
        self._watch: Watch | None = None
        self._looked_at: set[int] = set()
        self._cut_short = False
        stock.interrupt(False)

    @property
    def is_interrupted(self) -> bool:
        """Whether the caller stopped it: no further pass is drawn, and what was being drawn is not finished."""
        return self.stock.is_interrupted and not self._cut_short

    def draw(self, rows: list[int], look: bool = False) -> None:
        """One pass through the stock loop over the samples `rows`, as their decisions and settings say.

        Args:
            look: whether judge and watch look at the open ones half-way; what they say is added to the samples.

        Raises:
            NonFiniteLatentsError: NaN or infinite latents.
            ValueError: a shared phase over all steps.
        """
        stock, given, first = self.stock, self.request.given, not hasattr(self, "original_latents")
        if self._cut_short:
            self._cut_short = False
            stock.interrupt(False)
        plan = self._plan(rows)
        branches = 2 if plan.dual else 1
        embeds = {name: value[rows] for name, value in self._embeds.items()}
        told = given | {name: None for name in arguments.TEXT_ARGUMENTS if name in given} | embeds
        told |= {"num_images_per_prompt": 1, "output_type": "latent", "return_dict": False}
        told["generator"] = self._noise.generator(rows, branches, first)
        scheduler, model = stock.pipe.scheduler, stock.denoiser
        if plan.dual:
            check_pairable(scheduler)
            told |= self._stacked(embeds, rows, plan.dual)
            told["callback_on_step_end"] = for_both_branches(told["callback_on_step_end"], len(rows))
        schedule = Schedule.of(scheduler, stock.pattern.timestep_scale)
        kind = AfterGuidance if stock.pattern.after_guidance else DualDenoiser
        denoiser = kind(model, plan, schedule, self._looking(rows) if look else None, self._known_of(rows, plan))
        stand_ins = {stock.pattern.denoiser: StandIn(model, denoiser), **self._noise.start(stock.pipe, rows, branches)}
        steps = self._noise.steps(scheduler, rows, branches, first)
        if isinstance(denoiser, AfterGuidance):
            steps = {name: denoiser.stepping(step) for name, step in steps.items()}
        with standing_in(stock.pipe, stand_ins), standing_in(scheduler, steps):
            final = stock.spatial(stock.call(**told)[0], given)
        check_safe(final, denoiser)
        if first:
            self._noise.end_first_pass()
        if look and not self.is_interrupted:
            denoiser.look_at_last()
            self._known, self._looked_at = denoiser.trajectory, {i for i in rows if self.samples[i].decision.is_open}
        self._keep(rows, final, denoiser)

    def originals(self) -> Tensor:
        """Pixels of all originals, decoded in the stock batch's shape, (N, 3, H, W)."""
        if self._originals is None:
            self._originals = self.decoded(self.original_latents, self.everything)
        return self._originals

    def decoded(self, latents: Tensor, rows: list[int]) -> Tensor:
        """Latents (rows, C, h, w) of the samples `rows` to pixels (rows, 3, H, W) in [-1, 1].

        Raises:
            NonFiniteLatentsError: NaN or infinite pixels, which would be shown as black ones.
        """
        with self._noise.decoding(rows) if self.stock.decoder_draws else nullcontext() as generator:
            pixels = self.stock.decode(latents, generator)
        broken = first_broken(pixels)
        if broken is not None:
            raise NonFiniteLatentsError(
                f"decoding gave NaN or infinite pixels for sample {rows[broken]}; no picture is returned"
            )
        return pixels

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

    def is_told_the_same(self, i: int) -> bool:
        """Whether the safe branch of a sample is told what its original is, but for rounding.

        Its text may differ where the text encoder has stopped reading.
        """
        safe = self._safe_embeds([i])
        pairs = [
            (self._embeds[name][i].float(), value[0].float()) for name, value in safe.items() if name in self._embeds
        ]
        return all(torch.allclose(a, b, rtol=0.01, atol=0.01 * a.std().item()) for a, b in pairs)

    def _plan(self, rows: list[int]) -> Plan:
        request, samples = self.request, [self.samples[i] for i in rows]
        settings = samples[0].settings
        weights = [settings.weight_of(s.decision.level) if s.decision.kind == "dual" else 0.0 for s in samples]
        mask = None if request.mask is None else request.mask[self._prompts(rows)]
        # A word or a judge found something in the others, so that no likeness of the branches clears them.
        may_agree = {k for k, s in enumerate(samples) if s.decision.gate == "given" and not s.decision.triggers}
        guidance = partial(self.stock.guidance_now, request.given)
        return Plan(weights, settings, guidance, request.return_pair, mask, frozenset(may_agree))

    def _prompts(self, rows: list[int]) -> list[int]:
        """The prompts of the samples `rows`."""
        return [self.request.prompt_of[i] for i in rows]

    def _stacked(self, embeds: dict[str, Tensor], rows: list[int], dual: list[int]) -> dict[str, Tensor]:
        """Embeddings of both branches; the safe row of a sample that has no safe branch is its own and stays unused."""
        safe = self._safe_embeds([rows[k] for k in dual]) if dual else {}
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
        request, prompts = self.request, self._prompts(rows)
        given = request.matching_embeds(self._embeds)
        if given:
            return {name: value[prompts] for name, value in given.items()}
        decisions = [self.samples[i].decision for i in rows]
        names = dict.fromkeys(name for decision in decisions for name in decision.safe_texts)
        texts = [tuple(d.safe_texts.get(name, d.safe_texts["prompt"]) for name in names) for d in decisions]
        different = list(dict.fromkeys(texts))
        by_name = dict(zip(names, map(list, zip(*different))))
        if request.encode_text is not None:
            encoded = self.stock.padded(request.given, request.encoded(by_name["prompt"]))
            if MASK in self._embeds:  # without one, all tokens are read
                encoded.setdefault(MASK, torch.ones_like(encoded[EMBEDS][..., 0]).to(self._embeds[MASK]))
        else:
            encoded = self.stock.encode_texts(request.given, by_name)
        order = [different.index(text) for text in texts]
        return {name: self._as_long(name, value[order]) for name, value in encoded.items()}

    def unread(self, sample: Sample) -> tuple[str, ...]:
        """The unsafe terms of a sample's texts that no text encoder reads."""
        i = next(i for i, other in enumerate(self.samples) if other is sample)
        prompt, given = self.request.prompt_of[i], self.request.given
        if given.get("prompt_embeds") is not None:
            return ()  # how far its encoder reads is the caller's to know
        texts = {name: each[prompt] for name, each in self.request.texts.items()}
        ends = self.request.decisions[prompt].ends
        return tuple(dict.fromkeys(term for name, term, end in ends if not self.stock.reads(given, texts[name][:end])))

    def _as_long(self, name: str, embeds: Tensor) -> Tensor:
        """A text's embeddings (N, T, W) made as long as the prompt's, with windows of the empty text.

        So compel does, from which prompts of several windows come.

        Raises:
            ValueError: the prompt's embeddings are of another length than any number of windows has.
        """
        if name in self._embeds:
            embeds = self.stock.as_long(embeds, self._embeds[name].shape[1])
        if embeds.ndim < 3 or name not in self._embeds or embeds.shape[1] == self._embeds[name].shape[1]:
            return embeds
        windows, rest = divmod(self._embeds[name].shape[1], embeds.shape[1])
        if not self.stock.pattern.windows or rest or not windows:
            raise ValueError(
                f"{name} has {self._embeds[name].shape[1]} tokens, and safe_prompt as text {embeds.shape[1]}: "
                "give safe_prompt_embeds of the prompt's length"
            )
        empty = self.stock.encode_texts(self.request.given, {"prompt": [""]})["prompt_embeds"].to(embeds)
        return torch.cat([embeds, *[empty.expand(len(embeds), -1, -1)] * (windows - 1)], 1)

    def still_shown(self) -> dict[int, str]:
        """The samples in whose safe picture at level 1 the watch sees something still, and what: a category."""
        found: dict[int, str] = {}
        if self._watch is None:
            return found
        for i, sample in enumerate(self.samples):
            flagged = sample.finding is not None and sample.finding.is_flagged
            if flagged and sample.safe is not None and sample.decision.level == 1 and not sample.withheld:
                again = self._watch.look_again(i, sample.safe)
                found |= {i: again.category} if again.is_flagged else {}
        return found

    def _watch_over(self, samples: list[int]) -> Watch | None:
        """The watch over `samples` of a pass, whose words say nothing; None where the call has none."""
        request, threshold = self.request, self.request.settings.watch
        if threshold is None or not request.judges.watched:
            return None
        probes = probes_of(request.policy, request.judges.watched)
        encoded = self.stock.encode_texts(request.given, {"prompt": list(probes.texts)})
        embeds = {name: self._as_long(name, value) for name, value in encoded.items()}
        return Watch(probes, embeds, threshold, samples)

    def aim(self, i: int, seen: list[str], gate: Gate) -> None:
        """Decides that a sample gets a safe branch, aimed at what was seen in it.

        Where neither the policy nor the caller says what to show instead, or the text encoder does not read as far as
        that, the picture is withheld.
        """
        request, sample = self.request, self.samples[i]
        texts = {name: each[request.prompt_of[i]] for name, each in request.texts.items()}
        sample.decision = aimed(sample.decision, texts, seen, request.policy, gate)
        told_nothing = sample.decision.safe_texts == texts and not request.safe_embeds
        sample.withheld = sample.withheld or told_nothing or self.is_told_the_same(i)

    def _looking(self, rows: list[int]) -> Preview:
        open_ = [k for k, i in enumerate(rows) if self.samples[i].decision.is_open]
        seen = [self.samples[rows[k]] for k in open_]
        judge, watch = self.request.judges.preview, self._watch_over(open_)
        sees_all = judge is not None and not getattr(judge, "covers", None)

        def look(x0: Tensor, early: Early, from_noise: bool) -> bool:
            x0 = self.stock.finished(x0)
            self._watch = None if from_noise else watch  # of noise alone it says too little to withhold a picture
            if judge is not None:
                pixels = self.decoded(x0[open_], [rows[k] for k in open_])
                for sample, verdict in zip(seen, ask(judge, self.stock.images(pixels))):
                    sample.verdicts.append(verdict)
            if watch is not None and not (from_noise and sees_all):  # nor does it add to what such a judge sees
                found = watch.look(x0, self._finished(early))
                for k, sample in zip(open_, seen):
                    sample.finding = found[k]
                    sample.rows += watch.rows[k]
            wanted = self.request.return_pair or self.request.settings.composite
            flagged = [sample for sample in seen if sample.was_flagged]
            if len(flagged) == len(self.samples) and not wanted:
                self._cut_short = True  # nobody is going to see this pass
                self.stock.interrupt()
            return bool(flagged)

        return Preview(self.request.settings.preview, open_, look)

    def _finished(self, early: Early) -> Early:
        """What is asked of the early step, in the form of the latents that the loop returns."""

        def asked(samples: list[int], embeds: dict[str, Tensor]) -> Tensor:
            x_k = early(samples, embeds)
            return self.stock.finished(x_k.flatten(0, 1)).unflatten(0, x_k.shape[:2])

        return asked

    def _known_of(self, rows: list[int], plan: Plan) -> Trajectory:
        """The originals of `rows`, if all are among those that the first pass has computed at every step."""
        apart = self.stock.pattern.after_guidance or plan.settings.sparse  # which need the model's own calls
        if apart or not self._looked_at.issuperset(rows):
            return {}
        return {call: x0[rows] for call, x0 in self._known.items()}

    def _keep(self, rows: list[int], final: Tensor, denoiser: DualDenoiser) -> None:
        """Stores what a pass has drawn; composites over the first pass's originals."""
        dual, count = denoiser.plan.dual, len(rows)
        if not hasattr(self, "original_latents"):
            self.original_latents = final[:count]
        for k, i in enumerate(rows):
            self.samples[i].rows += denoiser.rows[k]
        if not dual:
            return
        same = alike(final[:count], final[count:], denoiser)
        safe, own = final[count:][dual], [rows[k] for k in dual]
        masks = None if denoiser.mask is None else denoiser.mask[dual]
        pixels = None
        if self.request.output_type != "latent" or self.request.judges.verify:
            pixels = self.decoded(safe, own)
        if denoiser.plan.settings.composite and masks is not None and pixels is not None:
            large = F.interpolate(masks, size=pixels.shape[-2:], mode="nearest").to(pixels.dtype)
            pixels = method.composite(pixels, self.originals()[own], large)
        for j, k in enumerate(dual):
            sample = self.samples[rows[k]]
            if k in denoiser.agreed:
                sample.decision = replace(sample.decision, gate="latent")
                sample.safe = sample.pixels = sample.mask = None
                continue
            sample.safe, sample.is_alike = safe[j], k in same
            sample.pixels = None if pixels is None else pixels[j]
            sample.mask = None if masks is None else masks[j]


def alike(u: Tensor, s: Tensor, denoiser: DualDenoiser) -> set[int]:
    """The samples of which something unsafe was found, and whose branches still show the same after they were one.

    Args:
        u, s: final latents of both branches, (N, C, h, w).
    """
    plan = denoiser.plan
    if not plan.finds_mask or not denoiser.parts_at:  # without a mask, the original is not followed to the end
        return set()
    farthest = method.farthest(method.difference(s.float(), u.float())).tolist()
    full = [i for i in plan.dual if plan.weights[i] == 1 and i not in plan.may_agree]
    return {i for i in full if farthest[i] < (plan.settings.mask_floor or 0)}


def first_broken(values: Tensor) -> int | None:
    """The first of a batch (N, ...) with NaN or infinite values."""
    broken = (~torch.isfinite(values)).flatten(1).any(1).nonzero().flatten().tolist()
    return broken[0] if broken else None


def check_safe(final: Tensor, denoiser: DualDenoiser) -> None:
    """Refuses latents of which nothing safe can be said.

    Raises:
        NonFiniteLatentsError: NaN or infinite latents.
        ValueError: the safe branch never left the original's path.
    """
    broken = first_broken(final)
    if broken is not None:
        n = len(denoiser.plan.weights)
        raise NonFiniteLatentsError(
            f"denoising gave NaN or infinite latents for sample {broken % n}; no picture is returned"
        )
    if denoiser.plan.dual and not denoiser.left_shared_phase:
        raise ValueError(
            f"tau={denoiser.plan.settings.tau} covers every step that was run, so that nothing was made safe: lower "
            "tau or run more steps"
        )
