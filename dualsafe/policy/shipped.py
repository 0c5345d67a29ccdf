"""The policies that come with the library, and how a caller names one."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from ..errors import PolicyError
from ..strict import read_yaml
from .model import Policy
from .share import shared

_FOLDER = Path(__file__).parent / "shipped"
SHIPPED: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""Names of the shipped policies."""


@lru_cache
def _shipped(name: str) -> Policy:
    path = _FOLDER / f"{name}.yaml"
    data = read_yaml(path, "policy", PolicyError)
    if "base" in data:
        data = shared(data, _shipped(data["base"]), str(path))
    return Policy.from_data(data, str(path))


def resolve(policy: str | os.PathLike | Policy) -> Policy:
    """A policy from a shipped one's name, a YAML file's path, or as it is.

    Raises:
        PolicyError: neither, or a file that is not a policy.
    """
    if isinstance(policy, Policy):
        return policy
    if not isinstance(policy, (str, os.PathLike)):
        raise PolicyError(f"policy={policy!r} must be a name, a path or a Policy")
    if str(policy) in SHIPPED:
        return _shipped(str(policy))
    if Path(policy).suffix in (".yaml", ".yml"):
        return Policy.from_file(Path(policy))
    raise PolicyError(f"policy={str(policy)!r} is not one of {', '.join(SHIPPED)}, nor a .yaml file")
