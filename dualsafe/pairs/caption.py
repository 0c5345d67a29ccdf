"""Captions of existing pictures and instructions to edit them: from a vision-language model, or from a policy alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

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


class Captioner:
    """Says in words what is in a picture, and what to change in it.

    Args:
        name: which model it is, at which revision.
        answer: what the model says of a picture and a request; empty if it refuses.
    """

    def __init__(self, name: str, answer: Callable[[Image.Image, str], str]):
        self.name, self._answer = name, answer

    def caption(self, image: Image.Image) -> str:
        """One sentence.

        Raises:
            PairsError: an answer that is none.
        """
        return checked_answer(self._answer(image, CAPTION))

    def instruction(self, image: Image.Image, policy: Policy) -> str:
        """An instruction to an editor: what to change, so that the picture is safe under `policy`.

        Raises:
            PairsError: an answer that is none, or nothing is unsafe.
        """
        return checked_answer(self._answer(image, request_for(policy)))


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
    """The captioner that a text of one of `FORMS` names: a model that runs here, or a served one.

    Args:
        spec: a PATH is a folder in transformers' layout, or a repository's name on the hub; safetensors only. A service
            (vLLM, llama.cpp, a provider's) that fails raises `OpenAIError` when it is asked.
        device: torch device of a model that runs here.

    Raises:
        ValueError: none of these forms.
        CheckpointError: its checkpoint cannot be loaded, or lacks weights.
        ImportError: the endpoint's client is not installed.
    """
    kind, _, rest = spec.partition(":")
    address = ADDRESS.fullmatch(rest)
    if kind == "vlm" and rest:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        model = load_model(AutoModelForImageTextToText, rest, device)
        processor = AutoProcessor.from_pretrained(rest)
        name = model_name("vlm", model)
        return Captioner(name, lambda image, request: asked(model, processor, image, request, MAX_TOKENS))
    if kind == "endpoint" and address:
        endpoint = Endpoint(address[1], address[2])

        def answer(image: Image.Image, request: str) -> str:
            text, refused = endpoint.ask(image, request, MAX_TOKENS)
            return "" if refused else text

        return Captioner(f"endpoint:{address[2]}", answer)
    raise ValueError(f"captioner {spec!r} must be one of: {', '.join(FORMS)}")


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
