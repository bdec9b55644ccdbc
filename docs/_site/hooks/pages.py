"""What the build knows of a page: its includes expanded, its figures, its stamp, its proofs."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import markdown
from pymdownx.snippets import SnippetPreprocessor

from docs._site.hooks.figures import named, slim

INCLUDE = re.compile(r'^[ \t]*-{1,}8<-{1,} "(?P<path>[^":]+)(?::(?P<section>[\w.-]+))?"[ \t]*$', re.M)
FIGURE = re.compile(r'(?:<p>\s*)?<img alt="(?P<alt>[^"]*)" src="figure:(?P<name>[\w.-]+)"[^>]*>(?:\s*</p>)?')
LAB_LINK = re.compile(r"(\]\((?:[^)\s]*/)?labs/[\w-]+)\.(?:py|md)(?=[#)])")


def lab_links(text: str) -> str:
    """Return Markdown in which a link to a lab ends in .ipynb, the name under which MkDocs knows it."""
    return LAB_LINK.sub(r"\1.ipynb", text)


def without_missing(text: str, bases: list[Path]) -> tuple[str, list[str]]:
    """Return a page without the includes whose file or section does not exist, and those includes."""
    missing = []

    def one(match: re.Match[str]) -> str:
        for base in bases:
            if (path := base / match["path"]).is_file():
                mark = f"[start:{match['section']}]"
                if not match["section"] or mark in path.read_text("utf-8"):
                    return match[0]
        missing.append(":".join(filter(None, [match["path"], match["section"]])))
        return ""

    return INCLUDE.sub(one, text), missing


@lru_cache(maxsize=4)
def snippets(options: tuple[tuple[str, object], ...]) -> SnippetPreprocessor:
    """Return the site's own include processor."""
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in options}
    md = markdown.Markdown(extensions=["pymdownx.snippets"], extension_configs={"pymdownx.snippets": settings})
    return md.preprocessors["snippet"]  # type: ignore[return-value]


def expanded(text: str, options: dict[str, object]) -> str:
    """Return a page's Markdown with its includes replaced by what they include."""
    key = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(options.items()))
    return "\n".join(snippets(key).run(text.split("\n")))


def with_figures(content: str, path: str, folder: Path, complain: Callable[[str], None]) -> str:
    """Put the recorded figures of the page at `path` where its text names them: `![alt](figure:name)`."""
    count = 0

    def one(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        file = folder / f"{path}.{match['name']}.svg"
        alt = html.unescape(match["alt"]).strip()
        if not alt:
            complain(f"the figure {match['name']} has no text alternative")
        if not file.is_file():
            complain(f"there is no figure {file.name} beside the page's snippet: run `make outputs`")
            return f'<p class="missing">{html.escape(alt)}</p>'
        drawing = named(slim(file.read_text("utf-8").strip()), alt, f"f{count}")
        return f'<figure class="output figure">{drawing}</figure>'

    return FIGURE.sub(one, content)


def title(text: str) -> str:
    """Return the first heading of a page's Markdown."""
    match = re.search(r"^# (.+?)\s*(?:\{[^{}]*\})?\s*$", text, re.M)
    return match[1] if match else ""


def plain_signatures(content: str) -> str:
    """Return an API page whose signatures are not marked as Python blocks: those are a page's program."""
    return re.sub(r'class="language-python (doc-signature[^"]*)"', r'class="\1"', content)
