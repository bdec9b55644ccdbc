"""Sums in the text of a page: an equation of numbers alone, between single dollars, is computed."""

from __future__ import annotations

import re
from fractions import Fraction

from tests.pages.project import page_path

INLINE = re.compile(r"(?<!\$)\$([^$\n]+)\$(?!\$)")
NUMBERS = re.compile(r"(?:[\d\s.+\-=(){}]|\\cdot|\\t?frac)+")


def value(tex: str) -> Fraction:
    """What a sum of numbers comes to, exactly."""
    tex = re.sub(r"\\t?frac\{(.+?)\}\{(.+?)\}", r"((\1)/(\2))", tex).replace(r"\cdot", "*")
    exact = re.sub(r"\d+(?:\.\d+)?", lambda number: f"Fraction('{number[0]}')", tex)
    return Fraction(eval(exact, {"Fraction": Fraction}))


def check_sums(page: str, lang: str) -> int:
    """Compute every equation of numbers in the text of the page, to the digits shown; how many there were."""
    count = 0
    for tex in INLINE.findall(page_path(page, lang).read_text("utf-8")):
        if "=" not in tex or not NUMBERS.fullmatch(tex):
            continue
        first, *others = tex.split("=")
        for other in others:
            digits = len(other.strip().partition(".")[2])
            assert abs(value(first) - value(other)) <= Fraction(1, 2 * 10**digits) * bool(digits), f"{page}: {tex}"
        count += 1
    return count
