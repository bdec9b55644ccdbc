"""Promise 3: a decimal number in prose comes from the page's program, or its source is named."""

from decimal import Decimal

import pytest

from tests.pages import numbers
from tests.pages.fences import read
from tests.pages.project import LANGUAGES, SNIPPETS, front_matter, page_names, page_path

PAGES = [(lang, name) for lang in LANGUAGES for name in page_names(lang)]


@pytest.mark.parametrize(("lang", "name"), PAGES, ids=lambda value: value)
def test_numbers_in_prose_come_from_the_program(lang, name):
    text = page_path(name, lang).read_text("utf-8")
    outputs = SNIPPETS / f"{name}.out"
    known = numbers.printed([*read(text, name).codes, *([outputs.read_text("utf-8")] if outputs.exists() else [])])
    wrong = numbers.problems(text, known, front_matter(text).get("cited") or {})
    assert not wrong, "\n".join([f"docs/{lang}/{name}.md", *wrong])


@pytest.mark.parametrize(("prose", "output", "right"), [
    ("The loss is 0.25.", "loss 0.2500", True),
    ("The loss is 0.25.", "loss 0.2549", True),
    ("The loss is 0.25.", "loss 0.2551", False),
    ("The loss is 0.26.", "loss 0.25", False),
    ("It is 0.1803", "0.18", False),  # more digits than were printed
    ("accuracy 96.2 %", "0.9617", True),
    ("accuracy 96.2", "0.9617", False),
    ("half: $x = -0.50$", "tensor([-0.5000])", True),
    ("| 1.5 | 2 |", "0.5", False),
    (r"$3.0 \cdot 10^{-4}$", "3e-4", True),
    (r"$3.0 \cdot 10^{-4}$", "3e-5", False),
    ("PyTorch 2.15.0, `v1.2`", "", True),  # versions and names are no decimals
    ("see arXiv:1412.6980", "", True),
    ("[link](https://example.org/1.25)", "", True),
    ("2.0", "2", True),
    ("```text\n0.77\n```", "", True),
    ("line 0.333 and 0.667", "third 0.33333 two 0.66667", True),
])
def test_rule(prose, output, right):
    assert (numbers.problems(prose, numbers.printed([output]), {}) == []) is right


def test_cited_numbers():
    known: set[Decimal] = set()
    assert numbers.problems("rate 0.9", known, {0.9: "Kingma and Ba, algorithm 1"}) == []
    assert "does not occur" in numbers.problems("rate", known, {"0.9": "a paper"})[0]
    assert "no source" in numbers.problems("rate 0.9", known, {"0.9": ""})[0]


def test_places_are_those_of_the_page():
    text = "---\nkind: lesson\n---\n# A { #a }\n\n```python\nx\n```\n\n<!-- one\ntwo -->\n\nIt is 0.5.\n"
    assert [(number.line, number.text) for number in numbers.in_prose(text)] == [(13, "0.5")]
