"""What an operator decides about the service: each setting once, as a field here and as an option of the command."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from typer import Option

from ..checks import MAX_PROMPT, check_number, level_of
from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..policy import Policy

KEY_VARIABLE = "DUALSAFE_API_KEY"


@dataclass(frozen=True)
class ServeSettings:
    """Settings of the service; what a client may ask for lies within them. Each is an option of `dualsafe serve`, whose
    help says what it does and which numbers it takes.

    Attributes:
        policies: shipped policies' names and YAML files; the first is the default.
        default_level, min_level: as `safety_level` of a call. At 0 a client can have what the model draws unprotected.
        sizes: "WIDTHxHEIGHT", the first is the default; empty is the model's own size.
        min_steps: with fewer the safe branch cannot part from the original in time (`benchmarks/min_steps.py`). An edit
            runs `steps * strength` of them.
        max_batch: higher is more throughput, more memory and a longer wait for each.
        allowed_hosts: empty: any with API keys; without, IP addresses and names without a dot, which no page that a
            browser has open can make its own (DNS rebinding).
        api_keys: of which a client must send one; empty lets everybody in.

    Raises:
        ValueError: a value is out of its range, or two contradict each other.
    """

    name: Annotated[str, Option(help="What clients call it; picto, or the checkpoint's folder.")] = "picto"
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8000
    allowed_hosts: Annotated[
        tuple[str, ...],
        Option(
            "--allowed-host", help="A name by which clients may call it, once for each; any with keys, else local ones."
        ),
    ] = ()
    policies: Annotated[
        tuple[str, ...],
        Option("--policy", help="A policy that clients may ask for, once for each; the first is the default."),
    ] = ("picto",)
    default_level: Annotated[float | str, Option(help="Safety level of a request that names none.")] = "max"
    min_level: Annotated[float | str, Option(help="Lowest level that is accepted; 0 lets originals out.")] = "max"
    allow_pairs: Annotated[bool, Option("--allow-pairs", help="Let requests have the unsafe original.")] = False
    edits: Annotated[bool, Option(help="Draw over clients' pictures, where the model can.")] = True
    sizes: Annotated[tuple[str, ...], Option("--size", help="WIDTHxHEIGHT, once for each; the model's own.")] = ()
    steps: Annotated[int, Option(min=1, help="Denoising steps of a request that names none.")] = 25
    min_steps: Annotated[
        int, Option(min=1, help="Fewest that are run; with fewer the safe branch does not get far enough.")
    ] = 8
    max_steps: Annotated[int, Option(min=1, help="Most steps that a request may ask for.")] = 50
    guidance_scale: Annotated[float, Option(min=0, help="Guidance of a request that names none.")] = 5.0
    max_guidance_scale: Annotated[float, Option(min=0, help="Highest guidance that a request may ask for.")] = 20.0
    max_n: Annotated[int, Option(min=1, help="Pictures of a request.")] = 4
    max_prompt: Annotated[int, Option(min=1, help="Characters of a prompt.")] = MAX_PROMPT
    max_batch: Annotated[int, Option(min=1, help="Pictures drawn together.")] = 8
    max_wait: Annotated[float, Option(min=0, max=10, help="Seconds that a first waits for others.")] = 0.01
    max_queue: Annotated[int, Option(min=1, help="Pictures that may wait; over it clients are sent away.")] = 64
    max_connections: Annotated[
        int, Option(min=1, help="Connections that are served; others are answered 503, over twice as many closed.")
    ] = 512
    max_upload: Annotated[int, Option(min=1, help="Bytes of an edit, with its pictures.")] = 16_000_000
    timeout: Annotated[float, Option(min=0.1, help="Seconds for a request to be drawn.")] = 120.0
    read_timeout: Annotated[
        float, Option(min=0.1, help="Seconds for a request's head, for its body, and to take some of the answer.")
    ] = 10.0
    drain: Annotated[float, Option(min=0, help="Seconds for running requests when stopped.")] = 30.0
    api_keys: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name, (kind, option) in OPTIONS.items():
            value = getattr(self, name)
            if option.min is not None:
                check_number(name, value, option.min, math.inf if option.max is None else option.max)
            if kind is int and not isinstance(value, int):
                raise ArgumentError(name, f"{value!r} must be a whole number")
        for name in ("allowed_hosts", "policies", "sizes", "api_keys"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("default_level", "min_level"):
            object.__setattr__(self, name, level_of(getattr(self, name), name))
        _check_words("allowed_hosts", self.allowed_hosts, r"[\w.-]+|\[[0-9a-fA-F:.]+\]", "a name without a port")
        _check_words("sizes", self.sizes, r"[1-9]\d{0,4}x[1-9]\d{0,4}", "WIDTHxHEIGHT in pixels, 512x512 say")
        object.__setattr__(self, "allowed_hosts", tuple(host.lower() for host in self.allowed_hosts))
        if not all(re.fullmatch(r"[!-~]{8,}", key) for key in self.api_keys):
            raise ValueError("api_keys: a key must have at least 8 characters, ASCII and no spaces")
        self._check_agreement()

    def _check_agreement(self) -> None:
        for lower, upper in (
            *(("steps", "max_steps"), ("min_steps", "steps"), ("guidance_scale", "max_guidance_scale")),
            *(("min_level", "default_level"), ("max_n", "max_queue")),
        ):
            if getattr(self, lower) > getattr(self, upper):
                raise ValueError(f"{lower}={getattr(self, lower)} is over {upper}={getattr(self, upper)}")
        if not self.name or not self.policies or len(self.resolved()) < len(self.policies):
            raise ValueError(f"name={self.name!r}, policies={self.policies}: give a name, and each policy once")
        for policy in self.resolved().values():
            for name, category in policy.categories.items():
                if category.level is not None and category.level < float(self.min_level):
                    drawn = f"policy {policy.id!r} draws {name!r} at level {category.level}"
                    raise ValueError(f"{drawn}, under min_level={self.min_level}")

    def resolved(self) -> dict[str, Policy]:
        """The policies by the name that clients use."""
        from ..policy import resolve

        return {policy.id: policy for policy in map(resolve, self.policies)}


OPTIONS: dict[str, tuple[Any, Any]] = {
    name: get_args(hint)
    for name, hint in get_type_hints(ServeSettings, include_extras=True).items()
    if name != "api_keys"  # which others could read there
}
"""Type and option of each setting that the command takes."""


def find_keys(file: Path | None) -> tuple[str, ...]:
    """API keys, one a line of `file`, else the one in the environment, else none.

    Raises:
        ValueError: a source that is there but has no key in it.
    """
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--api-key-file {file} cannot be read: {error}") from error
        source = f"--api-key-file {file}"
    elif KEY_VARIABLE in os.environ:
        lines, source = [os.environ[KEY_VARIABLE]], KEY_VARIABLE
    else:
        return ()
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise ValueError(f"{source} has no key in it")
    return keys


def _check_words(name: str, words: Iterable[str], pattern: str, form: str) -> None:
    for word in words:
        if not re.fullmatch(pattern, word):
            raise ArgumentError(name, f"{word!r} must be {form}")
