"""HTML reports from templates beside the code that fills them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..optional import needed


def filled(template: Path, **values: Any) -> str:
    """A template's text, everything that is filled in escaped; its filter `text` makes JSON of what isn't text.

    Both reports extend `page.html.jinja`, which lies here.

    Raises:
        ImportError: jinja2 isn't installed.
    """
    jinja2 = needed("jinja2", "bench")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = lambda value: value if isinstance(value, str) else json.dumps(value)
    return environment.get_template(template.name).render(**values)
