"""How Chinese is set on the pages: full-width marks, a space between the scripts, the glossary's words."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Any

import yaml

from tests.pages.paths import ROOT
from tests.pages.prose import CODE, INLINE, display, words

HAN = "\u3400-\u4dbf\u4e00-\u9fff"
HALF = re.compile(rf"[{HAN}][,;:?!]|[{HAN}]\.(?!\w)|[,;:?!]\s*[{HAN}]")
TIGHT = re.compile(rf"[{HAN}](?:\*\*)?[A-Za-z0-9]|[A-Za-z0-9%](?:\*\*)?[{HAN}]")
# a line that begins or ends something: it may follow or precede text without an empty line
SPECIAL = re.compile(r"\s*(?:[-*+|#>:]|\d+\.|!!!|\?\?\?|===|<|\[\^|\*\[|\$\$|!\[)|.*\|\s*$|\s*$")


@cache
def glossary() -> list[dict[str, Any]]:
    """The entries of docs/glossary.yml."""
    return yaml.safe_load((ROOT / "docs" / "glossary.yml").read_text("utf-8")) or []


@cache
def banned() -> dict[str, str]:
    """Wrong words and the right term for each."""
    return {word: entry["zh"] for entry in glossary() for word in (entry.get("banned") or {}).get("zh") or []}


def plain(text: str) -> str:
    """The prose without formulas and code."""
    text, _ = display(words(text))
    return INLINE.sub("", CODE.sub("", text))


def problems(text: str) -> list[str]:
    """What is set wrongly on a Chinese page."""
    wrong = []
    for number, line in enumerate(plain(text).split("\n"), 1):
        wrong += [f"line {number}: half-width mark in `{around(line, m)}`: Chinese text uses ，。；：？！"
                  for m in HALF.finditer(line)]
        wrong += [f"line {number}: put a space between Chinese and Latin letters or digits: `{around(line, m)}`"
                  for m in TIGHT.finditer(line)]
        wrong += [f"line {number}: `{word}` is wrong, the term is {right}"
                  for word, right in banned().items() if word in line]
    return wrong + wrapped(text)


def around(line: str, match: re.Match[str]) -> str:
    """The match with a few characters around it."""
    return line[max(0, match.start() - 8) : match.end() + 8].strip()


def wrapped(text: str) -> list[str]:
    """Paragraphs that are broken over several lines: the site would show a space inside Chinese text."""
    text, _ = display(words(text))
    lines = text.split("\n")
    return [f"line {number}: one paragraph is one line: join this line with the one before it"
            for number, (before, line) in enumerate(pairwise(lines), 2)
            if not SPECIAL.match(before) and not SPECIAL.match(line) and not before.endswith("  ")]
