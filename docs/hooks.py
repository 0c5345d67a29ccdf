"""For mkdocs: what pages link to outside of docs/ (results, their pictures, tests) becomes part of the site, and
llms.txt says what each page is about."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^)\s#:]+)")  # no anchors within a page, no addresses
NO_TEXT = re.compile(r"^```.*?^```|^[#|!<].*?$", re.DOTALL | re.MULTILINE)
INCLUDE = re.compile(r"<!-- include -->\n(\[[^\]]*\]\(([^)]+)\))")


def outside(link: str, page: str) -> str | None:
    """The path in the repository of what a link of a page leads to, if that is not in docs/."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return target.removeprefix("../") if target.startswith("../") else None


def on_files(files: Files, config: Any) -> Files:
    """Adds those files under their path in the repository; one that is missing is left to the strict build."""
    for page in list(files.documentation_pages()):
        for _, link in LINK.findall(page.content_string):
            path = outside(link, page.src_uri)
            if path and (ROOT / path).is_file() and path not in files.src_uris:
                found = File.generated(config, path, abs_src_path=str(ROOT / path), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(found)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turns links to them to where they are now; a marked link gets the text that it leads to before it."""

    def turned(match: re.Match[str]) -> str:
        path = outside(match[2], page.file.src_uri)
        if path is None or path not in files.src_uris:
            return match[0]
        return match[1] + posixpath.relpath(path, posixpath.dirname(page.file.src_uri) or ".")

    def included(match: re.Match[str]) -> str:
        path = outside(match[2], page.file.src_uri)
        return f"{(ROOT / path).read_text(encoding='utf-8')}\n{match[1]}" if path else match[1]

    return LINK.sub(turned, INCLUDE.sub(included, markdown))


def on_env(env: Any, config: Any, files: Files) -> None:
    """Adds llms.txt (llmstxt.org): every page of the navigation, in its order, with its first paragraph."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    page, section = next(file.page for file in files.documentation_pages() if file.src_uri == "index.md"), None
    while page is not None:
        if page.parent is not section:
            section = page.parent
            lines += ["", f"## {section.title}", ""]
        first = NO_TEXT.sub("", page.markdown or "").strip().partition("\n\n")[0]
        said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(first.split()))
        lines.append(f"- [{page.title}]({page.url}): {said}")
        page = page.next_page
    files.append(File.generated(config, "llms.txt", content="\n".join(lines) + "\n"))
