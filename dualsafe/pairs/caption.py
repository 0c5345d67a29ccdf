"""Captions of existing pictures and instructions to edit them: from a vision-language model, or from a policy alone."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ..errors import PairsError
from ..judges.asking import Endpoint, asked
from ..judges.models import load_model, model_name
from ..judges.registry import ADDRESS
from ..policy import Policy, Trigger, with_article

FORMS = ("vlm:PATH", "endpoint:BASE_URL:MODEL")
MAX_LENGTH = 600
MAX_TOKENS = 200
CAPTION = """Say in one plain sentence what this image shows: who or what, doing what, where. Name everything by its \
usual word, also what is violent, sexual or illegal. Answer with the sentence and nothing else."""
_NOTHING = re.compile(r"\W*none\b\W*", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\W*(i('m| am)? (so |really |very )?(sorry|unable|not able)|sorry|as an ai|unfortunately|"
    r"i (ca|can|could|wo|will|would|do|must)( ?not|n't)|i (must )?(decline|refuse|apologi[sz]e))\b",
    re.IGNORECASE,
)


class Captioner(Protocol):
    """What says in words what is in pictures.

    Attributes:
        name: which model it is, at which revision.
    """

    name: str

    def caption(self, images: list[Image.Image]) -> list[str]:
        """One sentence a picture.

        Raises:
            PairsError: an answer that is none; names the picture by its number. Ask one by one to keep the others'.
        """

    def instruction(self, images: list[Image.Image], policy: Policy) -> list[str]:
        """One instruction to an editor a picture: what to change, so that it is safe under `policy`.

        Raises:
            PairsError: an answer that is none, or a picture in which nothing is unsafe.
        """


def instruction_for(policy: Policy, categories: Iterable[str] = (), triggers: Iterable[Trigger] = ()) -> str | None:
    """An instruction to an editor by the policy alone.

    Args:
        categories: what the picture is known to show, where its caption names nothing; others than the policy's are
            passed over.
        triggers: the unsafe terms in its caption.

    Returns:
        "Replace the knife with a flower. Remove the blood. Keep everything else as it is."; None where there is
        nothing to change.
    """
    steps = [
        f"Replace the {trigger.text} with {with_article(trigger.counterpart)}."
        if trigger.counterpart
        else f"Remove the {trigger.text}."
        for trigger in triggers
    ]
    if not steps:
        shown = [policy.categories[name] for name in categories if name in policy.categories]
        steps = [f"Change the picture to show: {category.aim}." for category in shown if category.aim]
    return " ".join([*dict.fromkeys(steps), "Keep everything else as it is."]) if steps else None


def request_for(policy: Policy) -> str:
    """What a model is asked for an instruction."""
    kinds = [
        f"- {name}: {category.description}" + (f" Safe instead: {category.aim}." if category.aim else "")
        for name, category in policy.categories.items()
    ]
    return "\n".join(
        [
            "An image is unsafe if it shows one of these:",
            *kinds,
            "Write one instruction to an image editor that changes only what is unsafe in this image, so that it "
            'becomes safe and everything else stays: "Replace the knife with a flower." Answer with the instruction '
            "and nothing else, or with NONE if nothing in it is unsafe.",
        ]
    )


def load_captioner(spec: str, device: str = "cpu") -> Captioner:
    """The captioner that a text of one of `FORMS` names.

    Args:
        spec: a PATH is a folder, or a repository's name on the hub.
        device: torch device of a model that runs here.

    Raises:
        ValueError: none of these forms.
        CheckpointError: its checkpoint can't be loaded, or lacks weights.
        ImportError: the endpoint's client isn't installed.
    """
    kind, _, rest = spec.partition(":")
    address = ADDRESS.fullmatch(rest)
    if kind == "vlm" and rest:
        return ModelCaptioner.from_pretrained(rest, device)
    if kind == "endpoint" and address:
        return EndpointCaptioner(address[1], address[2])
    raise ValueError(f"captioner {spec!r} must be one of: {', '.join(FORMS)}")


class _Asked(ABC):
    """A captioner that asks picture by picture, in words."""

    def caption(self, images: list[Image.Image]) -> list[str]:
        """One sentence a picture; see `Captioner`."""
        return self._answers(images, CAPTION)

    def instruction(self, images: list[Image.Image], policy: Policy) -> list[str]:
        """One instruction a picture; see `Captioner`."""
        return self._answers(images, request_for(policy))

    @abstractmethod
    def _answer(self, image: Image.Image, request: str) -> str:
        """What the model says; empty if it refuses."""

    def _answers(self, images: list[Image.Image], request: str) -> list[str]:
        found = []
        for number, image in enumerate(images, 1):
            try:
                found.append(checked_answer(self._answer(image, request)))
            except PairsError as error:
                raise PairsError(f"picture {number} of {len(images)}: {error}") from error
        return found


class ModelCaptioner(_Asked):
    """Asks a model of transformers that takes a picture and text and answers in text, without sampling.

    Args:
        model, processor: the checkpoint's.
        max_new_tokens: longest answer.
    """

    def __init__(self, model: Any, processor: Any, max_new_tokens: int = MAX_TOKENS):
        self._model, self._processor, self._max_new_tokens = model, processor, max_new_tokens
        self.name = model_name("vlm", model)

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str = "cpu") -> ModelCaptioner:
        """The captioner of a checkpoint in transformers' layout, from safetensors only.

        Raises:
            CheckpointError: it can't be loaded, or lacks weights.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        model = load_model(AutoModelForImageTextToText, path, device)
        return cls(model, AutoProcessor.from_pretrained(path))

    def _answer(self, image: Image.Image, request: str) -> str:
        return asked(self._model, self._processor, image, request, self._max_new_tokens)


class EndpointCaptioner(_Asked):
    """Asks a served model (vLLM, llama.cpp, a provider's) at temperature 0; a service that fails raises `OpenAIError`.

    Args:
        base_url: where the API starts: "http://127.0.0.1:8000/v1".
        model: the name the server knows the model by.
        api_key: None takes the environment's OPENAI_API_KEY, if set.
        timeout: seconds that the server may keep silent.
        max_retries: further attempts after a timeout, a lost connection or a server's failure.

    Raises:
        ImportError: the client isn't installed.
    """

    def __init__(
        self, base_url: str, model: str, api_key: str | None = None, timeout: float = 60.0, max_retries: int = 2
    ):
        self._endpoint = Endpoint(base_url, model, api_key, timeout, max_retries)
        self.name = f"endpoint:{model}"

    def _answer(self, image: Image.Image, request: str) -> str:
        text, refused = self._endpoint.ask(image, request, MAX_TOKENS)
        return "" if refused else text


def checked_answer(text: str) -> str:
    """A model's answer as one line of text, without quotation marks around it.

    Raises:
        PairsError: nothing, a refusal, NONE, or more than MAX_LENGTH characters.
    """
    line = " ".join(text.split()).strip("\"'`“” ")
    if not any(letter.isalnum() for letter in line):
        raise PairsError("the model gave no answer")
    if _REFUSAL.match(line.replace("’", "'")):
        raise PairsError(f"the model refused: {line[:80]!r}")
    if _NOTHING.fullmatch(line):
        raise PairsError("the model finds nothing unsafe in it")
    if len(line) > MAX_LENGTH:
        raise PairsError(f"the model gave {len(line)} characters, more than {MAX_LENGTH}: {line[:80]!r}")
    return line
