"""The labs keep the promises of pages: numbers that count, formulas that are proven, two languages that agree."""

import re

import pytest

from tests.pages import chinese, labs, numbers
from tests.pages.project import LANGUAGES, ROOT, SNIPPETS
from tests.pages.prose import HEADING, INLINE, display
from tests.site.conftest import common, one_at_a_time

LABS = labs.paths()
__all__ = ["common"]  # the fixture: a folder that all processes of pytest-xdist share

every_lab = pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)


@every_lab
def test_each_english_cell_is_followed_by_its_translation(path):
    notebook = labs.read(path)
    for english, twin in labs.pairs(notebook):
        start = english.source[:40]
        assert twin is not None, f"{path.name}: no Chinese cell follows the English cell `{start}`"
        now = labs.fingerprint(english)
        assert twin.metadata.get("translates") == now, (
            f"{path.name}: the English cell `{start}` has changed. Read the Chinese cell after it, mend it, then run "
            f"`make translated` (it writes translates=\"{now}\")")
    markdown = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(markdown) == 2 * len(labs.pairs(notebook)), f"{path.name}: a Chinese cell follows no English one"


@every_lab
def test_code_belongs_to_both_languages(path):
    wrong = labs.hook()["faults"](labs.read(path))
    assert not wrong, "\n".join([path.name, *wrong])


@every_lab
def test_same_skeleton(path):
    for english, twin in labs.pairs(labs.read(path)):
        if twin is None:
            continue
        one, other = parts(english.source), parts(twin.source)
        for key in one:
            assert one[key] == other[key], f"{path.name}: {key} differ in the cell `{english.source[:40]}`"


def parts(text):
    """What both languages of a cell have in common."""
    without, formulas = display(text)
    lines = without.split("\n")
    return {
        "headings": [(m[1], m[3]) for m in map(HEADING.match, lines) if m],
        "formulas": [formula for _, formula, _ in formulas],
        "inline formulas": sorted(INLINE.findall(without)),
        "links": sorted(re.findall(r"\]\(([^)]+)\)", without)),
        "tables": sum(line.lstrip().startswith("|") for line in lines),
        "list items": sum(bool(re.match(r"\s*(?:[-*]|\d+\.) ", line)) for line in lines),
    }


@every_lab
def test_headings_have_ascii_ids(path):
    for lang in LANGUAGES:
        ids = [m[3] for m in map(HEADING.match, labs.in_language(labs.read(path), lang).split("\n")) if m]
        assert all(i and re.fullmatch(r"\s*#[\w-]+\s*", i, re.A) for i in ids), f"{path.name}: ids of headings: {ids}"


@every_lab
def test_chinese_is_set_well(path):
    wrong = chinese.problems(labs.in_language(labs.read(path), "zh"))
    assert not wrong, "\n".join([path.name, *wrong])


@every_lab
def test_lab_has_its_parts(path):
    for lang in LANGUAGES:
        text = labs.in_language(labs.read(path), lang)
        for part in ("what-goes-wrong", "references"):
            assert f"{{ #{part} }}" in text, f"{path.name}: a lab has a section {{ #{part} }} in {lang}"


@every_lab
def test_numbers_in_prose_come_from_the_lab(path, common):
    """The cells run once, here or while the site is built, and not in both places at the same time."""
    with one_at_a_time(common / "site.lock"):
        known = numbers.printed(labs.code_and_outputs(path))
    cited = labs.front_matter(path).get("cited") or {}
    for lang in LANGUAGES:
        wrong = numbers.problems(labs.in_language(labs.read(path), lang), known, cited)
        assert not wrong, "\n".join([f"{path.relative_to(ROOT)}, {lang}", *wrong])


def test_labs_have_no_snippets():
    assert not (SNIPPETS / "labs").exists()


def test_fingerprints_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(labs, "ROOT", tmp_path)
    path = tmp_path / "lab.py"
    cells = ['# %% [markdown] tags=["en"]\n# One.', '# %% [markdown] tags=["zh"]\n# 一。', "# %%\nx = 1\n"]
    path.write_text("\n\n".join(cells), "utf-8")
    assert labs.mark(path)
    ((english, twin),) = labs.pairs(labs.read(path))
    assert twin is not None
    assert twin.metadata["translates"] == labs.fingerprint(english)
    assert not labs.mark(path)
    path.write_text(path.read_text("utf-8").replace("One", "Two"), "utf-8")
    assert labs.mark(path)
