"""A published page, read from its HTML alone: what is on it, where it links, and its program."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from tests.site.browser.pages import LANGUAGES, sources, url

HERE = "http://here.invalid/dlguide/"  # stands for wherever the site is published


@dataclass(frozen=True)
class Published:
    """An HTML file of the site."""

    file: Path
    address: str  # below the site's first page: zh/faq/

    @cached_property
    def html(self) -> str:
        return self.file.read_text("utf-8")

    @cached_property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.html, "html.parser")

    @cached_property
    def article(self) -> Tag:
        found = self.soup.select_one("article")
        assert found is not None, f"{self.file} has no article"
        return found

    @cached_property
    def ids(self) -> list[str]:
        return [str(tag["id"]) for tag in self.soup.find_all(id=True)]

    @property
    def anchors(self) -> list[str]:
        """The headings' ids, in order."""
        return [str(tag.get("id")) for tag in self.article.find_all(re.compile("^h[1-6]$"))]

    @property
    def program(self) -> list[str]:
        """The page's Python blocks: every `div.language-python.highlight`, in order."""
        blocks = self.article.select("div.language-python.highlight pre code")
        return [block.get_text().strip("\n") for block in blocks]

    def resources(self) -> list[str]:
        """What a browser fetches for the page before any click."""
        kinds = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
        found = [str(tag[key]) for name, key in kinds.items() for tag in self.soup.find_all(name, attrs={key: True})]
        fetched = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
        heads = self.soup.find_all("link", href=True)
        return found + [str(tag["href"]) for tag in heads if fetched & set(tag.get("rel") or [])]

    def links(self) -> list[str]:
        """The addresses that a reader can follow, as written."""
        return [str(tag["href"]) for tag in self.soup.find_all("a", href=True)]

    def absolute(self, link: str) -> str:
        return urljoin(HERE + self.address, link)


@cache
def published(site: Path) -> list[Published]:
    """Every page of the site, in both languages, the 404 page apart."""
    return [Published(file, file.relative_to(site).as_posix().removesuffix("index.html"))
            for file in sorted(site.rglob("index.html"))]


def page(site: Path, language: str, source: str) -> Published:
    """The page of a source file such as concepts/autograd.md."""
    address = LANGUAGES[language] + url(source).removeprefix("./")
    file = site / address / "index.html"
    return next((one for one in published(site) if one.file == file), Published(file, address))


def target(site: Path, address: str) -> tuple[Path, str] | None:
    """The file and the anchor of an absolute address, or None if it is on another host."""
    if not address.startswith(HERE):
        return None
    parts = urlsplit(address)
    path = site / unquote(parts.path).removeprefix(urlsplit(HERE).path)
    return (path / "index.html" if parts.path.endswith("/") else path), unquote(parts.fragment)


__all__ = ["HERE", "LANGUAGES", "Published", "page", "published", "sources", "target"]
