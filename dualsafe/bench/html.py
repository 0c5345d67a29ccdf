"""HTML reports from templates beside the code that fills them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def filled(template: Path, **values: Any) -> str:
    """A template's text, everything that is filled in escaped; its filter `text` makes JSON of what isn't text.

    Raises:
        ImportError: jinja2 isn't installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("jinja2 is not installed: pip install 'dualsafe[bench]'") from error
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = lambda value: value if isinstance(value, str) else json.dumps(value)
    return environment.get_template(template.name).render(**values)
