"""Plain data from users' files: YAML without tricks, models without unknown keys, errors as sentences."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

MAX_BYTES = 1_000_000


class Strict(BaseModel):
    """Data that cannot change, without keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path, what: str, failure: type[ValueError]) -> Any:
    """A YAML file's plain data.

    Args:
        what: what errors call it.
        failure: what is raised.

    Raises:
        ValueError: `failure`: missing, too large, not YAML, with aliases, tags, or a key twice; names the file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise failure(f"{what} {path} has over {MAX_BYTES} bytes")
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise failure(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise failure(f"{what} {path} is not UTF-8 text") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise failure(f"{what} {path} is not plain YAML: {' '.join(str(error).split())}") from error


def in_words(error: ValidationError, *models: type[BaseModel]) -> str:
    """The first five errors, each with its place; an unknown key with the nearest one of `models`."""
    keys = [name for model in models for name in model.model_fields]
    return "; ".join(_sentence(each, keys) for each in error.errors()[:5])


def _sentence(error: Any, keys: Sequence[str]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), keys, n=1)
        return f"{place} is an unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"


class _Loader(yaml.SafeLoader):
    """Plain data only: no aliases (which can blow up), no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not accepted")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if isinstance(key, (str, int)) and keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice")
        return super().construct_mapping(node, deep)
