"""Compare what a block printed with what the page shows: text exactly, numbers at the precision shown."""

from __future__ import annotations

import difflib
import re
from decimal import ROUND_HALF_EVEN, Decimal

# a number that stands by itself: not the 1 of `x1`, not a part of the version 2.15.0
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?!\.?\w)")


def clean(text: str) -> str:
    """The text without spaces at the ends of lines and without blank lines at its ends."""
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def same_number(printed: str, shown: str) -> bool:
    """Whether `printed`, rounded to the digits of `shown`, is `shown`. A number shown without a point is exact."""
    if printed == shown:
        return True
    exponent = Decimal(shown).as_tuple().exponent
    if not re.search(r"[.eE]", shown) or not isinstance(exponent, int):
        return False
    return Decimal(printed).quantize(Decimal(1).scaleb(exponent), ROUND_HALF_EVEN) == Decimal(shown)


def same_text(printed: str, shown: str) -> bool:
    """Whether the page shows what was printed."""
    printed, shown = clean(printed), clean(shown)
    if printed == shown:
        return True
    if NUMBER.sub("#", printed) != NUMBER.sub("#", shown):
        return False
    return all(map(same_number, NUMBER.findall(printed), NUMBER.findall(shown)))


def diff(printed: str, shown: str) -> str:
    """A unified diff from the page to what was printed."""
    old, new = clean(shown).split("\n"), clean(printed).split("\n")
    return "\n".join(difflib.unified_diff(old, new, "shown on the page", "printed by the block", lineterm=""))


# ---------------------------------------------------------------- figures

COORDINATE = re.compile(r"(?<![\w#.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w%])")
TOLERANCE = 0.1  # of a point: less than a hair on any screen


def skeleton(svg: str) -> tuple[str, list[float], list[str]]:
    """Split a figure into its structure, its coordinates and its words; ids are numbered in order of appearance."""
    order: dict[str, str] = {}
    for name in re.findall(r'\bid="([^"]+)"', svg):
        order.setdefault(name, f"id{len(order)}")
    if order:
        known = "|".join(map(re.escape, sorted(order, key=len, reverse=True)))
        svg = re.sub(rf'(\bid="|#)({known})(?=["\)])', lambda m: m[1] + order[m[2]], svg)
    words = [word.strip() for word in re.findall(r">([^<]+)<", svg) if word.strip()]
    tags = re.sub(r">[^<]+<", "><", svg)
    return re.sub(r"\s+", " ", COORDINATE.sub("0", tags)).strip(), [float(n) for n in COORDINATE.findall(tags)], words


def different_figure(drawn: str, recorded: str) -> str | None:
    """Say how a figure differs from its recording, or return None."""
    (new, new_numbers, new_words), (old, old_numbers, old_words) = skeleton(drawn), skeleton(recorded)
    if new_words != old_words:
        return "its words differ:\n" + diff("\n".join(new_words), "\n".join(old_words))
    if new != old:
        return "it has other elements"
    far = max((abs(a - b) for a, b in zip(new_numbers, old_numbers, strict=True)), default=0.0)
    return f"coordinates differ by up to {far:.3g}" if far > TOLERANCE else None


def rounded(svg: str) -> str:
    """Cut coordinates to two decimals: a tenth of the bytes, and nobody sees the difference."""

    def cut(tag: re.Match[str]) -> str:
        return re.sub(r"(?<![\w#.])-?\d+\.\d{3,}(?![\w%])", lambda m: f"{round(float(m[0]), 2):g}", tag[0])

    return re.sub(r"<[^>]*>", cut, svg)
