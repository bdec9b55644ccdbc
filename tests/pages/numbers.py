"""Promise 3: the decimal numbers in prose, and where they may come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from tests.pages.prose import words

# not a part of a version (2.15.0) or of a name (v1.2); a power of ten and a percent sign belong to the number
PROSE = re.compile(
    r"(?<![\w.])(?P<number>\d+\.\d+(?:[eE][-+]?\d+)?)(?!\.?\w)"
    r"(?:\s*(?:\\cdot|\\times|×|·)\s*10\^\{?(?P<power>[-−]?\d+)\}?)?(?P<percent>\s*\\?%)?"
)
PRINTED = re.compile(r"(?<![\w.])(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w]|\.\d)")
ARXIV = re.compile(r"arXiv:\s?\d{4}\.\d{4,5}(?:v\d+)?")


@dataclass(frozen=True)
class Number:
    """A number in prose, with its place."""

    line: int
    text: str
    value: Decimal
    digits: Decimal  # its last digit: 0.01 for 0.25
    percent: bool


def in_prose(text: str) -> list[Number]:
    """The decimal numbers of a page outside its fences."""
    found = []
    for line, content in enumerate(words(text).split("\n"), 1):
        for match in PROSE.finditer(ARXIV.sub("", content)):
            value = Decimal(match["number"])
            digits = Decimal(1).scaleb(int(value.as_tuple().exponent))
            power = int((match["power"] or "0").replace("−", "-"))
            found.append(Number(line, match["number"], value.scaleb(power), digits.scaleb(power),
                                match["percent"] is not None))
    return found


def printed(texts: Iterable[str]) -> set[Decimal]:
    """All numbers in outputs and code, without their signs."""
    return {Decimal(match[0].replace("_", "")) for text in texts for match in PRINTED.finditer(text)}


def comes_from(number: Number, known: set[Decimal]) -> bool:
    """Whether a known number, rounded to the digits shown, is this number; 96.2 % may come from 0.962."""
    scales = (1, 100) if number.percent else (1,)
    return any(
        (known_number * scale).quantize(number.digits, rounding) == number.value
        for known_number in known
        for scale in scales
        if abs(known_number * scale - number.value) <= number.digits
        for rounding in (ROUND_HALF_EVEN, ROUND_HALF_UP)
    )


def problems(text: str, known: set[Decimal], cited: Mapping[object, object]) -> list[str]:
    """What is wrong with the numbers of a page."""
    sources = {str(key): str(value or "") for key, value in cited.items()}
    found = in_prose(text)
    wrong = [f"line {n.line}: {n.text} comes neither from an output nor from the code of this page: let the code print "
             f'it, or name its source in the front matter, cited: {{"{n.text}": "…"}}'
             for n in found if n.text not in sources and not comes_from(n, known)]
    seen = words(text)  # a source may also stand for a version, as 2.11 for 2.11.0
    wrong += [f"cited: {key} does not occur in the text: take it out" for key in sources if key not in seen]
    wrong += [f"cited: {key} has no source" for key, source in sources.items() if not source.strip()]
    return wrong
