"""What machines read: the sitemap with both languages of each page, robots.txt, llms.txt and the pages' Markdown."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from docs._site.hooks.languages import HTML_LANG


@dataclass(frozen=True)
class Entry:
    """A page as machines see it; `url` is relative to its language's root."""

    url: str
    title: str
    description: str
    section: str


@dataclass(frozen=True)
class Head:
    """What llms.txt begins with; `others` gives the address of each other language by its name."""

    name: str
    summary: str
    root: str
    others: Mapping[str, str]


def sitemap(pages: Mapping[str, Sequence[str]], roots: Mapping[str, str], langs: Mapping[str, str]) -> str:
    """Return sitemap.xml: each page of each language, with the addresses of its twins.

    Args:
        pages: the pages' relative addresses for each language.
        roots: the absolute address of each language's first page, the default language first.
        langs: the language's name in a page's address links, such as zh-Hans.
    """
    default = next(iter(roots))
    lines = ['<?xml version="1.0" encoding="UTF-8"?>',
             '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml">']
    for lang, urls in pages.items():
        for url in urls:
            twins = [(langs[other], roots[other] + url) for other in pages if url in pages[other]]
            twins.append(("x-default", roots[default] + url))
            links = "".join(f'<xhtml:link rel="alternate" hreflang="{c}" href={quoteattr(to)}/>' for c, to in twins)
            lines.append(f"<url><loc>{escape(roots[lang] + url)}</loc>{links}</url>")
    return "\n".join([*lines, "</urlset>", ""])


def robots(root: str) -> str:
    """Return robots.txt: everyone may read everything."""
    return f"User-agent: *\nAllow: /\nSitemap: {root}sitemap.xml\n"


def llms(head: Head, entries: Sequence[Entry]) -> str:
    """Return llms.txt for one language (see llmstxt.org): every page by section, linked to its Markdown."""
    parts = [f"# {head.name}", f"> {head.summary}"]
    for language, address in head.others.items():
        parts.append(f"[{language}]({address}llms.txt)")
    for section in dict.fromkeys(entry.section for entry in entries):
        lines = [f"- [{e.title}]({head.root}{e.url}index.md)" + (f": {e.description}" if e.description else "")
                 for e in entries if e.section == section]
        parts += [f"## {section}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def absolute(markdown: str, address: str, known: Mapping[str, str]) -> str:
    """Return a page's Markdown with its relative links made absolute, so that it can be read anywhere.

    Args:
        markdown: the page, includes expanded.
        address: the source path of the page, from which links are relative.
        known: the absolute address for each source path.
    """
    def one(match: re.Match[str]) -> str:
        path, anchor = match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(address), path))
        return f"{match[1]}({known[target]}{anchor})" if target in known else match[0]

    return re.sub(r"(\])\(([^)\s#:]+)(#[^)\s]*)?\)", one, markdown)


def write_sitemap(site: Path, pages: Mapping[str, Sequence[str]], roots: Mapping[str, str]) -> None:
    """Write sitemap.xml for all languages, and robots.txt."""
    (site / "sitemap.xml").write_text(sitemap(pages, roots, HTML_LANG), "utf-8")
    (site / "sitemap.xml.gz").unlink(missing_ok=True)  # MkDocs' own, of one language
    (site / "robots.txt").write_text(robots(next(iter(roots.values()))), "utf-8")


def write_texts(folder: Path, head: Head, pages: Mapping[str, Entry], texts: Mapping[str, str],
                order: Sequence[str]) -> None:
    """Write llms.txt and the Markdown of each page of a language; `pages` and `texts` are keyed by source path."""
    (folder / "llms.txt").write_text(llms(head, [pages[src] for src in order if src in pages]), "utf-8")
    known = {src: head.root + entry.url for src, entry in pages.items()}
    for src, markdown in texts.items():
        target = folder / pages[src].url / "index.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(absolute(markdown, src, known).strip() + "\n", "utf-8")
