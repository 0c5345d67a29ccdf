"""The API's document as a page of its own: no script, nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

NO_SCRIPTS = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Content-Security-Policy of the page."""
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; font-size: 1.1rem } code { font-size: 0.95em }
table { border-collapse: collapse; width: 100% } caption { text-align: left; font-weight: 600; padding: 0.5rem 0 }
th, td { border-top: 1px solid #8888; padding: 0.35rem 0.75rem 0.35rem 0; text-align: left; vertical-align: top }
"""


def page_of(document: dict[str, Any]) -> str:
    """HTML of an OpenAPI document: each path, what may be asked, and what is answered."""
    schemas = document["components"]["schemas"]
    parts = [
        f"<h1>{escape(document['info']['title'])} {escape(document['info']['version'])}</h1>",
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            parts += _table("The body", _body(operation.get("requestBody", {})), schemas)
            parts += _table("The answer", _body(operation["responses"]["200"]), schemas)
    content = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>dualsafe</title><style>{STYLE}</style></head><body>\n{content}\n</body></html>\n"
    )


def _body(said: dict[str, Any]) -> dict[str, Any]:
    return next((each["schema"] for each in said.get("content", {}).values() if "schema" in each), {})


def _table(title: str, schema: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    """A table of a schema's fields, and one of each schema that they name; nothing where it has none."""
    fields = _resolved(schema, schemas).get("properties", {})
    if not fields:
        return []
    rows = [
        f"<tr><th><code>{escape(name)}</code></th><td>{escape(_type(field))}</td>"
        f"<td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in fields.items()
    ]
    head = "<tr><th>name</th><th>what it is</th><th>what it does</th></tr>"
    tables = [f"<table><caption>{escape(title)}</caption>{head}{''.join(rows)}</table>"]
    for name, field in fields.items():
        inner = field.get("items", field)
        tables += _table(f"{title}: {name}", inner, schemas) if "$ref" in inner else []
    return tables


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    for several in (field.get("anyOf"), field.get("allOf")):
        if several:
            return " or ".join(_type(each) for each in several)
    if "enum" in field or "const" in field:
        return ", ".join(map(str, field.get("enum", [field.get("const")])))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("format") or field.get("type", "any"))
