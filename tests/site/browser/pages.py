"""The pages that the site must have, and one visit to one of them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, ConsoleMessage, Request, Response

from tests.pages import docstrings, fences, labs
from tests.pages.paths import ROOT
from tests.pages.project import page_path

LANGUAGES = {"en": "", "zh": "zh/"}
PACKED = {".woff2", ".png", ".jpg", ".gz", ".wasm"}  # already compressed


class Loader(yaml.SafeLoader):
    """mkdocs.yml without its Python and environment tags."""


Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def nav_files(items: list[Any]) -> Iterator[str]:
    for item in items:
        for value in item.values() if isinstance(item, dict) else [item]:
            if isinstance(value, list):
                yield from nav_files(value)
            else:
                yield value


def sources() -> list[str]:
    """The nav's files, in order: index.md, start/install.md, …"""
    return list(nav_files(yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)["nav"]))


def url(source: str) -> str:
    """The address below the language's first page: start/install.md is at start/install/."""
    name = re.sub(r"\.(md|ipynb|py)$", "", source)
    return re.sub(r"(^|/)index/$", r"\1", f"{name}/")


def program(language: str, source: str) -> list[str]:
    """The blocks that the tests run: of a page, of a lab, and of the docstrings that a reference page shows."""
    name = re.sub(r"\.(md|ipynb)$", "", source)
    if source.startswith("labs/"):
        cells = labs.read(ROOT / "docs" / f"{name}.py").cells
        return [cell.source for cell in cells if cell.cell_type == "code"]
    pages = [fences.read(page_path(name, language).read_text("utf-8"), name)]
    if source.startswith("reference/"):
        files = sorted((ROOT / "src").rglob("*.py"))
        pages += [page for file in files for _, page in docstrings.examples(file.read_text("utf-8"))]
    return [block.code for page in pages for block in page.blocks]


PAGES = [(language, source) for source in sources() for language in LANGUAGES]


def published_at(site: Path) -> str:
    """The address in the sitemap's first entry: where the built site thinks it lives."""
    found = re.search(r"<loc>([^<]*)</loc>", (site / "sitemap.xml").read_text("utf-8"))
    assert found, "site/sitemap.xml names no page; it needs the first page of the site as its first <loc>."
    return found[1]


class Visit:
    """One page in one fresh browser profile, with a record of what went wrong and what was loaded."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        options.setdefault("reduced_motion", "reduce")  # colours change at once
        options.setdefault("viewport", {"width": 1280, "height": 900})
        self.address = address
        self.context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        self.context.set_default_timeout(15_000)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.loaded: dict[str, Response] = {}
        self.expected: dict[str, int] = {}
        self.page.on("pageerror", lambda error: self.troubles.append(f"script error {error}"))
        self.page.on("console", self.said)
        self.page.on("requestfailed", self.failed)
        self.context.on("request", lambda r: self.host(r.url))
        self.context.on("response", self.response)

    def said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console {message.text}")

    def host(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.troubles.append(f"a request to {url}")

    def response(self, response: Response) -> None:
        self.loaded[response.url] = response
        if response.status != self.expected.get(response.url, response.status if response.status < 400 else 200):
            self.troubles.append(f"{response.status} for {response.url}")

    def failed(self, request: Request) -> None:
        if "ERR_ABORTED" not in str(request.failure):  # leaving a page stops what it still loads
            self.troubles.append(f"no answer from {request.url} ({request.failure})")

    def go(self, path: str) -> None:
        self.page.goto(self.address + path, wait_until="networkidle")
        self.page.wait_for_function("document.fonts.status == 'loaded'")

    def weight(self) -> dict[str, int]:
        """Bytes of everything loaded so far, text compressed as a server would."""
        sizes = {}
        for url, response in list(self.loaded.items()):
            body = response.body()
            name = url.removeprefix(self.address)
            sizes[name] = len(body) if Path(name).suffix in PACKED else len(gzip.compress(body, 9, mtime=0))
        return sizes

    def close(self) -> None:
        self.context.close()
