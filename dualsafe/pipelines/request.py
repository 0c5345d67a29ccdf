"""A checked call: what each prompt, and each of its pictures, is to get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..conditions import Decision
from ..config import MethodSettings
from ..policy import Policy
from .arguments import check_finite
from .judging import Judges


@dataclass(frozen=True)
class Request:
    """What a call asks for, after all checks that need no model.

    Attributes:
        given: all arguments of the stock call.
        texts: argument name -> the prompts' texts; empty where the caller gave embeddings.
        decisions: one a prompt.
        policy: what decided.
        settings: phases and mask.
        safe_embeds: the caller's embeddings of the safe branch, (prompts, ...), by the stock call's argument name.
        encode_text: the caller's function from safe texts to their embeddings, if any.
        mask: the caller's, (prompts, 1, H, W), if any.
        return_pair: whether the originals are returned.
        judges: who looks at the pictures.
        max_tries: how often a finished picture that is flagged, or still shows what it should not, is drawn again.
    """

    given: dict[str, Any]
    texts: dict[str, list[str]]
    decisions: list[Decision]
    policy: Policy
    settings: MethodSettings
    safe_embeds: dict[str, Tensor]
    encode_text: Callable | None
    mask: Tensor | None
    return_pair: bool
    judges: Judges
    max_tries: int

    def __post_init__(self) -> None:
        if self.settings.composite and self.output_type == "latent":
            raise ValueError("output_type='latent' has no pixels to composite: set composite=False")

    @property
    def output_type(self) -> str:
        return self.given["output_type"]

    @property
    def pictures(self) -> list[Decision]:
        """One decision a picture, in the batch's order: those of a prompt are next to each other."""
        return [self.decisions[i] for i in self.prompt_of]

    @property
    def prompt_of(self) -> list[int]:
        """The prompt of each picture."""
        return [i for i in range(len(self.decisions)) for _ in range(self.given["num_images_per_prompt"])]

    def encoded(self, texts: list[str]) -> dict[str, Tensor]:
        """Embeddings of safe texts by the caller's encoder, by the stock call's argument name.

        Raises:
            ValueError: it gives something else than (texts, tokens, width), or a pair with the pooled form.
        """
        assert self.encode_text is not None
        found = self.encode_text(texts)
        parts = found if isinstance(found, (tuple, list)) else (found,)
        named = dict(zip((("prompt_embeds", 3), ("pooled_prompt_embeds", 2)), parts))
        fit = [isinstance(p, Tensor) and p.ndim == n and len(p) == len(texts) for (_, n), p in named.items()]
        if len(parts) > 2 or not all(fit):
            raise ValueError(
                f"encode_text must give a tensor ({len(texts)}, tokens, width), or a pair of it and the pooled form "
                f"({len(texts)}, width)"
            )
        for (name, _), part in named.items():
            check_finite(f"encode_text's {name}", part)
        return {name: part for (name, _), part in named.items()}

    def matching_embeds(self, like: dict[str, Tensor]) -> dict[str, Tensor]:
        """`safe_embeds`, once they fit the prompt's own embeddings.

        Raises:
            ValueError: another shape, or one of the two kinds missing or unknown to the family.
        """
        beside = {"pooled_prompt_embeds", "prompt_attention_mask"} & like.keys() if self.safe_embeds else set()
        for name in sorted(self.safe_embeds.keys() | beside):
            if name not in like:
                raise ValueError(f"safe_{name} is given, but this pipeline has no {name}")
            if name not in self.safe_embeds:
                raise ValueError(f"safe_{name} is needed beside safe_prompt_embeds by this pipeline")
            found, needed = tuple(self.safe_embeds[name].shape[1:]), tuple(like[name].shape[1:])
            if found != needed:
                raise ValueError(f"safe_{name} has {found} tokens and width, the prompt {needed}")
        return self.safe_embeds
