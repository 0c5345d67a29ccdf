"""Pages from templates beside the code that fills them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..optional import needed


def filled(
    template: Path, filters: dict[str, Callable[..., str]] | None = None, escaped: bool = True, **values: Any
) -> str:
    """A template's text.

    Both reports extend `page.html.jinja`, which lies here.

    Args:
        filters: beside jinja's own and `text`, which makes JSON of what is not text.
        escaped: what is filled in is escaped, as HTML must be.

    Raises:
        ImportError: jinja2 is not installed.
    """
    jinja2 = needed("jinja2", "bench")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = lambda value: value if isinstance(value, str) else json.dumps(value)
    environment.filters |= filters or {}
    return environment.get_template(template.name).render(**values)
