"""Things by name, for command lines and settings: those that are built in, and what other packages add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any


class Registry:
    """Loaders by the first word of a text.

    Args:
        what: what errors call a thing that is loaded.
        loaders: form of the text -> what loads it: "clip:PATH" is the form of what is called "clip". It is given what
            stands after the name's colon, and says None where that is not of the form.
        group: of entry points, by which other packages add loaders, and take none away.
    """

    def __init__(self, what: str, loaders: Mapping[str, Callable[..., Any]], group: str):
        self._what, self._group = what, group
        self.forms = tuple(loaders)
        self._loaders = {form.partition(":")[0]: loader for form, loader in loaders.items()}

    def names(self) -> list[str]:
        """Every form that can be asked for, then what other packages add."""
        return [*self.forms, *sorted(self._plugins())]

    def load(self, text: str, *arguments: Any, **options: Any) -> Any:
        """What `text` names; all else is handed to its loader.

        Raises:
            ValueError: none of the forms.
        """
        name, _, rest = text.partition(":")
        plugins = self._plugins()
        found = None
        if name in self._loaders:
            found = self._loaders[name](rest, *arguments, **options)
        elif name in plugins:
            found = plugins[name].load()(rest, *arguments, **options)
        if found is None:
            raise ValueError(f"{self._what} {text!r} must be one of: {', '.join(self.names())}")
        return found

    def _plugins(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self._group)}
