"""The glossary: docs/glossary.yml becomes the glossary page, and a term's first mention on a page leads there.

Each entry of the file:

    - id: gradient                 # the anchor, the same in both languages
      en: gradient                 # the term
      zh: 梯度
      also: {en: [derivative vector], zh: []}     # other names: found by the search, and explained on pages as well
      banned: {zh: [斜度]}                          # wrong words, for the test of the pages
      definition:
        en: One sentence.
        zh: 一句话。
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

MARK = "<!-- glossary -->"
Entry = dict[str, Any]
WORDS = {"en": {"other": "Chinese", "also": "Also called"}, "zh": {"other": "英文", "also": "又称"}}
SILENT = ("a", "button", "code", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "summary", "svg", "th")
VOID = ("br", "hr", "img", "input", "wbr")
TOKEN = re.compile(r"<!--.*?-->|<(/?)([a-zA-Z][\w-]*)([^>]*?)(/?)>|[^<]+|<", re.S)


def load(path: Path) -> list[Entry]:
    """Return the entries of the glossary file, or none if there is no file."""
    return parsed(path.read_text("utf-8")) if path.exists() else []


@lru_cache(maxsize=4)
def parsed(text: str) -> list[Entry]:
    """Return the entries; read once, since every page asks for them."""
    return yaml.safe_load(text) or []


def faults(entries: list[Entry]) -> list[str]:
    """Return what the file gets wrong: a missing part, an id used twice, a term with two definitions."""
    wrong, seen = [], set()
    for entry in entries:
        name = entry.get("id", "?")
        whole = all(entry.get(lang) and (entry.get("definition") or {}).get(lang) for lang in ("en", "zh"))
        if not whole or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            wrong.append(f"the glossary entry {name!r} needs an ASCII id, en, zh, and a definition in both")
        for key in (name, *(f"{lang}:{n.lower()}" for lang in ("en", "zh") for n in names(entry, lang))):
            if key in seen:
                wrong.append(f"the glossary says {key!r} twice")
            seen.add(key)
    return wrong


def names(entry: Entry, lang: str) -> list[str]:
    """Return the names of an entry in a language, the proper one first."""
    return [name for name in [entry.get(lang), *((entry.get("also") or {}).get(lang) or [])] if name]


def page(entries: list[Entry], lang: str) -> str:
    """Return the glossary as Markdown; both languages' names are in the text, so that the search finds either."""
    other, words = ("zh" if lang == "en" else "en"), WORDS[lang]
    parts = []
    for entry in sorted(entries, key=lambda entry: entry["en"].lower()):
        colon, comma = (": ", ", ") if lang == "en" else ("：", "、")
        notes = [f"{words['other']}{colon}{comma.join(names(entry, other))}"]
        if extra := names(entry, lang)[1:]:
            notes.append(f"{words['also']}{colon}{comma.join(extra)}")
        end = "." if lang == "en" else "。"
        parts += [f"## {entry[lang]} {{ #{entry['id']} }}", entry["definition"][lang],
                  (". " if lang == "en" else "。").join(notes) + end]
    return "\n\n".join(parts)


def linked(content: str, entries: list[Entry], lang: str, href: str) -> str:
    """Link the first mention of each term in a page's running text to its entry, with the definition as its title.

    Headings, links, code, formulas, figures and table heads are left alone.
    """
    by_name = {name.lower(): entry for entry in entries for name in names(entry, lang)}
    if not by_name:
        return content
    ordered = "|".join(re.escape(name) for name in sorted(by_name, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])(?:{ordered})(?![\w-])" if lang == "en" else f"(?:{ordered})", re.I)
    done: set[str] = set()

    def link(match: re.Match[str]) -> str:
        entry = by_name[match[0].lower()]
        if entry["id"] in done:
            return match[0]
        done.add(entry["id"])
        title = html.escape(re.sub(r"[`*$]", "", entry["definition"][lang]), quote=True)
        return f'<a class="term" href="{href}#{entry["id"]}" title="{title}">{match[0]}</a>'

    out: list[str] = []
    stack: list[bool] = []  # for each open element: is its text left alone?
    for token in TOKEN.finditer(content):
        text, closing, tag, rest, empty = token[0], token[1], token[2], token[3], token[4]
        if tag and tag not in VOID and not empty:
            if not closing:
                silent = tag in SILENT or re.search(r'class="[^"]*(?:arithmatex|output|highlight)', rest)
                stack.append(bool(silent or (stack and stack[-1])))
            elif stack:
                stack.pop()
        out.append(pattern.sub(link, text) if not tag and text[0] != "<" and not (stack and stack[-1]) else text)
    return "".join(out)
