"""Live reload: a page that has not changed is neither rendered nor read by the search again.

Only while serving. What a page's Markdown gave is kept under everything it depends on: the text with its includes, the
names of all files (its links) and, for an API page, the package. The cross-references that it registered are repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page


class Memory:
    """What the last build made of each page."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, dict[str, Any]]] = {}
        self.entries: dict[str, tuple[str, list[Any]]] = {}

    def render(self, page: Page, config: MkDocsConfig, files: Files, text: str) -> None:
        """Do what `Page.render` does, or what it did for the same text."""
        name, key = f"{config.docs_dir}:{page.file.src_uri}", digest(text, files, config)
        autorefs = config.plugins["autorefs"]
        if self.pages.get(name, ("", {}))[0] == key:
            kept = self.pages[name][1]
            page.content, page.toc, page._title_from_render = kept["content"], kept["toc"], kept["title"]
            page.present_anchor_ids = kept["ids"]
            page.links_to_anchors = {
                file: links for uri, links in kept["links"].items() if (file := files.get_file_from_path(uri))}
            for arguments, options in kept["anchors"]:
                autorefs.register_anchor(page, *arguments, **options)  # type: ignore[attr-defined]
            return
        anchors: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        with listening(autorefs, "register_anchor", anchors):
            Page.render(page, config, files)
        links = {file.src_uri: links for file, links in (page.links_to_anchors or {}).items()}
        self.pages[name] = (key, {"content": page.content, "toc": page.toc, "title": page._title_from_render,
                                  "ids": page.present_anchor_ids, "links": links, "anchors": anchors})

    def search(self, index: Any, lang: str) -> None:
        """Make the search index of this build take over the entries of pages that are as they were."""
        read: Callable[[Page], None] = index.add_entry_from_context

        def add(page: Page) -> None:
            name = f"{lang}:{page.url}"
            key = hashlib.sha256(f"{page.title}\0{page.meta.get('tags')}\0{page.content}".encode()).hexdigest()
            if self.entries.get(name, ("", []))[0] != key:
                before = len(index.entries)
                read(page)
                self.entries[name] = (key, [dict(entry) for entry in index.entries[before:]])
            else:
                index.entries.extend(dict(entry) for entry in self.entries[name][1])

        index.add_entry_from_context = add


@contextmanager
def listening(thing: Any, method: str, calls: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> Iterator[None]:
    """Note the arguments, the first one apart, of each call of an object's method."""
    real = getattr(thing, method)

    def heard(first: Any, *arguments: Any, **options: Any) -> Any:
        calls.append((arguments, options))
        return real(first, *arguments, **options)

    setattr(thing, method, heard)
    try:
        yield
    finally:
        delattr(thing, method)


def digest(text: str, files: Files, config: MkDocsConfig) -> str:
    """Return the key of a rendered page."""
    key = hashlib.sha256(text.encode())
    key.update("\n".join(sorted(file.src_uri for file in files)).encode())
    root = Path(config.config_file_path).parent
    paths = [root / "mkdocs.yml"]
    if "\n::: " in text:
        paths += sorted((root / "src").rglob("*.py"))
    for path in paths:
        stat = path.stat()
        key.update(f"{path} {stat.st_mtime_ns} {stat.st_size}".encode())
    return key.hexdigest()
