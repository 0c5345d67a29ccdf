"""What an operator decides about the service."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator
from typing_extensions import Self

from ..checks import MAX_PROMPT, level_of
from ..policy import Policy, resolve
from ..strict import Strict
from . import defaults

KEY_VARIABLE = "DUALSAFE_API_KEY"


class ServeSettings(Strict):
    """Settings of the service; what a client may ask for lies within them.

    Raises:
        ValueError: a value is out of its range, or two contradict each other.
    """

    model_config = ConfigDict(validate_default=True)

    name: str = Field(default="picto", min_length=1)
    """What clients call the model."""

    host: str = defaults.HOST
    """Address to listen on; by default only this machine."""

    port: int = Field(default=defaults.PORT, ge=0, le=65535)

    policies: tuple[str, ...] = Field(default=("picto",), min_length=1)
    """Shipped policies' names and YAML files that a client may ask for; the first is the default."""

    default_level: float | str = "max"
    """Safety level of a request that names none."""

    min_level: float | str = "max"
    """Lowest safety level that is accepted. At 0 a client can have what the model draws unprotected."""

    allow_pairs: bool = False
    """Whether `return_pair` may ask for the unsafe original beside the picture."""

    sizes: tuple[str, ...] = ()
    """Accepted sizes, "WIDTHxHEIGHT", the first is the default; empty is the model's own size."""

    steps: int = Field(default=defaults.STEPS, ge=1)
    """Denoising steps of a request that names none."""

    min_steps: int = Field(default=defaults.MIN_STEPS, ge=1)
    """Fewest denoising steps that are run; with fewer the safe branch can't part from the original in time
    (`benchmarks/min_steps.py`). An edit runs `steps * strength` of them."""

    max_steps: int = Field(default=defaults.MAX_STEPS, ge=1)

    guidance_scale: float = Field(default=defaults.GUIDANCE_SCALE, ge=0, allow_inf_nan=False)
    """Guidance of a request that names none."""

    max_guidance_scale: float = Field(default=defaults.MAX_GUIDANCE_SCALE, ge=0, allow_inf_nan=False)

    max_n: int = Field(default=defaults.MAX_N, ge=1)
    """Pictures of a request."""

    max_prompt: int = Field(default=MAX_PROMPT, ge=1)
    """Characters of a prompt."""

    max_batch: int = Field(default=defaults.MAX_BATCH, ge=1)
    """Pictures drawn together. Higher is more throughput, more memory and a longer wait for each."""

    max_wait: float = Field(default=defaults.MAX_WAIT, ge=0, le=10)
    """Seconds that a first picture waits for others to be drawn with."""

    max_queue: int = Field(default=defaults.MAX_QUEUE, ge=1)
    """Pictures that may wait; a request that would exceed it is told to come back."""

    timeout: float = Field(default=defaults.TIMEOUT, gt=0, allow_inf_nan=False)
    """Seconds after which a request is given up."""

    drain: float = Field(default=defaults.DRAIN, ge=0, allow_inf_nan=False)
    """Seconds that running requests have to finish once the service is told to stop."""

    read_timeout: float = Field(default=defaults.READ_TIMEOUT, gt=0, allow_inf_nan=False)
    """Seconds for a request's head, as many for its body, and as many in which a client takes nothing of its answer."""

    max_connections: int = Field(default=defaults.MAX_CONNECTIONS, ge=1)
    """Connections that are served; what comes over them is answered 503, and over twice as many closed."""

    max_upload: int = Field(default=defaults.MAX_UPLOAD, ge=1)
    """Bytes of the body of an edit, with its pictures."""

    edits: bool = True
    """Whether `/v1/images/edits` takes pictures, where the model's family can draw on them."""

    allowed_hosts: tuple[str, ...] = ()
    """Names that a request's Host may have. Empty: any with API keys; without, IP addresses and names without a dot,
    which no page that a browser has open can make its own (DNS rebinding)."""

    api_keys: tuple[SecretStr, ...] = ()
    """Keys of which a client must send one; empty lets everybody in."""

    @field_validator("default_level", "min_level")
    @classmethod
    def _is_level(cls, level: float | str) -> float:
        return level_of(level)

    @field_validator("policies")
    @classmethod
    def _are_policies(cls, policies: tuple[str, ...]) -> tuple[str, ...]:
        names = [resolve(policy).id for policy in policies]
        if len(set(names)) < len(names):
            raise ValueError(f"{', '.join(policies)} name a policy twice")
        return policies

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", host):
                raise ValueError(f"{host!r} must be a name without a port, images.example.org say")
        return tuple(host.lower() for host in hosts)

    @field_validator("sizes")
    @classmethod
    def _are_sizes(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        for size in sizes:
            if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size):
                raise ValueError(f"{size!r} must be WIDTHxHEIGHT in pixels, 512x512 say")
        return sizes

    @field_validator("api_keys")
    @classmethod
    def _are_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            text = key.get_secret_value()
            if len(text) < 8 or not text.isascii() or not text.isprintable() or " " in text:
                raise ValueError("a key must have at least 8 characters, ASCII and no spaces")
        return keys

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("steps", "guidance_scale"):
            if getattr(self, name) > getattr(self, f"max_{name}"):
                raise ValueError(f"{name}={getattr(self, name)} is over max_{name}={getattr(self, f'max_{name}')}")
        if self.steps < self.min_steps:
            raise ValueError(f"steps={self.steps} is under min_steps={self.min_steps}")
        if self.max_n > self.max_queue:
            raise ValueError(f"max_n={self.max_n} pictures don't fit in max_queue={self.max_queue}")
        least = float(self.min_level)
        if float(self.default_level) < least:
            raise ValueError(f"default_level={self.default_level} is under min_level={self.min_level}")
        for policy in self.resolved().values():
            for name, category in policy.categories.items():
                if category.level is not None and category.level < least:
                    raise ValueError(
                        f"policy {policy.id!r} draws {name!r} at level {category.level}, under min_level={least}"
                    )
        return self

    def resolved(self) -> dict[str, Policy]:
        """The policies by the name that clients use."""
        return {policy.id: policy for policy in map(resolve, self.policies)}


def find_keys(file: Path | None) -> tuple[SecretStr, ...]:
    """API keys, one a line of `file`, else the one in the environment, else none.

    Raises:
        ValueError: a source that is there but has no key in it.
    """
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--api-key-file {file} can't be read: {error}") from error
        source = f"--api-key-file {file}"
    elif KEY_VARIABLE in os.environ:
        lines, source = [os.environ[KEY_VARIABLE]], KEY_VARIABLE
    else:
        return ()
    keys = tuple(SecretStr(line.strip()) for line in lines if line.strip())
    if not keys:
        raise ValueError(f"{source} has no key in it")
    return keys
