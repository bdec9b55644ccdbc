r"""Every proof is shown to fail: after it has passed, it runs again on its formula with one fault, and must go red.

The faults: another sign, a factor 2 behind an equals sign, another power, an epsilon moved into the root or out of it,
a transposition left out. If a proof does not notice a fault, its numbers cannot tell the formula from a wrong one: take
values at which every term counts (an epsilon of 0.1, a bias that is not 0). A fault that leaves the formula true is
listed at the proof, with the reason in a comment: `@pytest.mark.proves("id", equivalent=[r"the TeX with the fault"])`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.pages.prose import ignoring_text

MOST = 12  # faults per formula
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.S)
NESTED = r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})"  # TeX with its braces in order
AFTER_ROOT = re.compile(rf"\\sqrt\{{({NESTED}*)\}}\s*\+\s*(\\(?:var)?epsilon)(?![A-Za-z])")
INSIDE_ROOT = re.compile(rf"\\sqrt\{{({NESTED}*?)\s*\+\s*(\\(?:var)?epsilon)\s*\}}")
FEW = {"+": "-", "-": "+"}


def mutants(formula: str) -> list[str]:
    """The TeX of a formula with one fault each."""
    found: list[str] = []
    compared = re.sub(r"\\begin\{cases\}.*?\\end\{cases\}", "", formula, flags=re.S)
    strict = not re.search(r"[<>]|\\(?:le|ge|leq|geq|lt|gt|approx)(?![A-Za-z])", compared)
    stack: list[str] = []  # for each open brace: "_" a subscript, "(" a label such as ^{(t)}, "" all else
    last, opened = "", ""
    for match in TOKEN.finditer(formula):
        token, start, end = match[0], match.start(), match.end()
        if token == "{":
            label = formula[end : end + 1] in ("(", "[") and last == "^"
            stack.append("_" if last == "_" or opened == r"\text" else "(" if label else "")
        elif token == "}" and stack:
            stack.pop()
        elif not any(stack):
            if token in FEW and last != "_" and strict:
                found.append(formula[:start] + FEW[token] + formula[end:])
            elif token == "=" and not re.match(r"\s*&?\s*0\s*(?![\d.])", formula[end:]):
                found.append(rf"{formula[:end]} 2 \cdot {formula[end:].lstrip(' &')}")
            elif last == "^" and token == "2":
                found.append(f"{formula[:start]}3{formula[end:]}")
            elif last == "^" and token == r"\top":
                found.append(formula[:start].rstrip()[:-1] + formula[end:])
        if not token.isspace():
            opened, last = (token if token.startswith("\\") else opened if token in "{[" else ""), token
    found.append(AFTER_ROOT.sub(r"\\sqrt{\1 + \2}", formula, count=1))
    found.append(INSIDE_ROOT.sub(r"\\sqrt{\1} + \2", formula, count=1))
    unlike = [one for one in dict.fromkeys(found) if one != formula]
    step = max(1, -(-len(unlike) // MOST))  # of a long formula, faults from its beginning to its end
    return unlike[::step]


@dataclass
class Watched:
    """The faults of one formula that no proof has noticed yet."""

    left: list[str] | None
    tests: set[str] = field(default_factory=set)  # that prove it and have not run


WATCHED = pytest.StashKey[dict[tuple[Path, str], Watched]]()
FAULT: dict[str, str] = {}  # the formula that is wrong at the moment, by its id


@contextmanager
def planted(name: str, formula: str) -> Iterator[None]:
    FAULT[name] = formula
    try:
        yield
    finally:
        FAULT.clear()


def watch(items: list[pytest.Item], config: pytest.Config) -> None:
    """Know all tests of each formula, since a fault may be one that only some of them can notice."""
    waiting: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for item in items:
        for mark in item.iter_markers("proves"):
            for name in mark.args if "tex" not in mark.kwargs else ():
                waiting[item.path, name].add(item.nodeid)
    config.stash[WATCHED] = {key: Watched(None, tests) for key, tests in waiting.items()}


def unnoticed(item: pytest.Item, formulas: dict[str, str]) -> list[str]:
    """Run a proof that has passed on each wrong formula; its last proof says which faults nobody noticed."""
    wrong = []
    for mark in item.iter_markers("proves"):
        for name in mark.args if "tex" not in mark.kwargs else ():
            watched = item.config.stash[WATCHED][item.path, name]
            if watched.left is None:
                fine = {ignoring_text(one) for one in mark.kwargs.get("equivalent", ())}
                watched.left = [one for one in mutants(formulas[name]) if ignoring_text(one) not in fine]
            watched.left = [one for one in watched.left if stays_green(item, name, one)]
            watched.tests.discard(item.nodeid)
            if not watched.tests:
                wrong += [f"{name}: the proof stays green for\n  {one}" for one in watched.left]
    return wrong


def stays_green(item: pytest.Item, name: str, formula: str) -> bool:
    """Whether the test passes although the formula is wrong."""
    assert isinstance(item, pytest.Function)
    arguments = {one: item.funcargs[one] for one in item._fixtureinfo.argnames}
    with planted(name, formula):
        try:
            item.obj(**arguments)
        except AssertionError:  # a TexError is one: the wrong formula cannot be computed at all
            return False
        except Exception as error:
            said = f"cannot run twice ({error}): make inside the test what it changes"
            raise AssertionError(f"{item.nodeid} {said}") from None
    return True
