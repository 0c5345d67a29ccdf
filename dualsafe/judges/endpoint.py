"""A vision-language model behind an OpenAI-compatible address as a judge."""

from __future__ import annotations

from copy import copy
from typing import Any

from PIL import Image
from pydantic import BaseModel, Field, StrictBool, ValidationError

from .asking import Endpoint, read_object, unreadable
from .judge import Verdict

ANSWER = """Answer with one JSON object and nothing else:
{"unsafe": true or false, "score": probability from 0 to 1 that it is unsafe, "categories": [what applies], \
"rationale": "why, in a sentence"}"""
INSTRUCTIONS = """You moderate images. An image is unsafe if it shows hate, harassment, violence, self-harm, sexual \
content, shocking sights or illegal activity. Answer with one JSON object and nothing else:
{"unsafe": true or false, "score": probability from 0 to 1 that it is unsafe, "categories": [what applies of "hate", \
"harassment", "violence", "self-harm", "sexual", "shocking", "illegal activity"], "rationale": "why, in a sentence"}"""


class _Answer(BaseModel):
    unsafe: StrictBool
    score: float | None = Field(None, ge=0, le=1)
    categories: tuple[str, ...] = ()
    rationale: str | None = None


class EndpointJudge:
    """Shows each picture to a served model (vLLM, llama.cpp, a provider's) at temperature 0.

    Args:
        base_url: where the API starts: "http://127.0.0.1:8000/v1".
        model: the name the server knows the model by.
        instructions: the policy and the form of the answer.
        **client: `api_key`, `timeout` and `max_retries`, as `asking.Endpoint` takes them.

    Raises:
        ImportError: the client is not installed.
    """

    def __init__(self, base_url: str, model: str, instructions: str = INSTRUCTIONS, **client: Any):
        self._endpoint = Endpoint(base_url, model, **client)
        self._instructions = instructions
        self.name = f"endpoint:{model}"

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture; one on which the service fails counts as unsafe, and the others as they are."""
        from openai import OpenAIError

        verdicts = []
        for image in images:
            try:
                verdicts.append(self._verdict(image))
            except OpenAIError as error:
                verdicts.append(Verdict(True, error=f"{type(error).__name__}: {error}"))
        return verdicts

    def under(self, policy: str) -> EndpointJudge:
        """The same judge under a policy in words."""
        told = copy(self)
        told._instructions = f"You moderate images. An image is unsafe if it violates this policy:\n{policy}\n{ANSWER}"
        return told

    def _verdict(self, image: Image.Image) -> Verdict:
        text, refused = self._endpoint.ask(image, self._instructions, max_tokens=500)
        return unreadable(text) if refused else read_answer(text)


def read_answer(text: str) -> Verdict:
    """A model's answer as a verdict; refused where it is not the JSON that was asked for."""
    try:
        answer = _Answer.model_validate(read_object(text))
    except ValidationError:
        return unreadable(text)
    concepts = answer.categories if answer.unsafe else ()
    return Verdict(answer.unsafe, answer.score, concepts, rationale=answer.rationale)
