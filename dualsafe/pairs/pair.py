"""A pair: two pictures of one noise that differ only in what the policy names, and all that is known of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

Kind = Literal["counterfactual", "null_edit", "real_edit"]
Scope = Literal["all", "words"]
Split = Literal["train", "validation", "test"]
LABELS: dict[Kind, tuple[bool, bool]] = {
    "counterfactual": (True, False),
    "null_edit": (False, False),
    "real_edit": (True, False),
}
"""Kind -> whether the original and whether the edited picture are meant to be unsafe."""


@dataclass(frozen=True)
class Job:
    """A pair to be made.

    Attributes:
        pair_id: unique in a run, and safe as a file's name.
        prompt_id: of the row that it is made from.
        prompt: what the original shows; the caption of `image`, where there is one.
        edited_prompt: what the edited picture shows, or an editor's instruction; None leaves it to the policy.
        image: the existing picture to edit.
        seed: of the noise.
        truth: what a right original shows, attribute -> name; picto only.
    """

    pair_id: str
    prompt_id: str
    prompt: str
    seed: int
    categories: tuple[str, ...] = ()
    edited_prompt: str | None = None
    image: Path | None = None
    truth: dict[str, str] | None = None


@dataclass(frozen=True)
class Made:
    """What an editor made of a job; pictures are RGB and of one size.

    Attributes:
        original: the first side; an existing picture after the same autoencoder round trip as the edited one.
        mask: where the sides may differ, mode "L", over 0 for yes; None where the editor has none.
        edited_prompt: what the edited side was told.
        rows: batch rows of the denoiser spent on both sides.
        mask_area: share of the picture that may differ.
        instruction: what an instruction editor was told.
        gate: what decided that there is an edited side, as in a `SafetyReport`; None where no dual pipeline draws.
    """

    original: Image.Image
    edited: Image.Image
    mask: Image.Image | None = None
    edited_prompt: str | None = None
    categories: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    rows: int = 0
    mask_area: float = 1.0
    instruction: str | None = None
    gate: str | None = None


@dataclass(frozen=True)
class Declined:
    """Why an editor made no pair of a job: its original is not unsafe, say."""

    reason: str


@dataclass(frozen=True)
class Checked:
    """What verification says of a pair.

    Attributes:
        reasons: why it is not verified; none if it is.
        errors: what kept a judge from answering; such a pair is never verified.
        verdicts: judge -> side ("original", "edited") -> {"unsafe": bool or None, "score", "concepts", "error"}.
        metrics: numbers by name, None for what cannot be measured.
    """

    reasons: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    verdicts: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        return not (self.reasons or self.errors)


def picture_hash(image: Image.Image) -> str:
    """SHA-256, hex, of a picture's mode, size and pixels: the same whatever wrote its file."""
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def family_of(text: str) -> str:
    """The prompt family of a pair: equal for prompts whose safe texts have the same words, 12 hex digits."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:12]


def split_of(family: str) -> Split:
    """80% of families are for training, 10% each for validation and test."""
    tenth = int(family, 16) % 10
    return "test" if tenth == 0 else "validation" if tenth == 1 else "train"
