"""Promise 4: every display formula has an id, one test proves it, and that test compares something."""

import ast
import re

import pytest

from docs._site.hooks.proofs import proven
from tests.pages.project import LANGUAGES, ROOT, front_matter, page_names, page_path, proofs_path
from tests.pages.prose import skeleton

PAGES = [(lang, name) for lang in LANGUAGES for name in page_names(lang)]
COMPARING = {"assert_close", "assert_allclose", "gradcheck", "gradgradcheck", "raises", "assert_array_equal", "holds"}


def functions(source):
    """The functions of a test file by name."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def compares(name, known, seen=()):
    """Whether a function asserts or compares, itself or by another function of the file."""
    for node in ast.walk(known[name]):
        if isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant):
            return True
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in COMPARING:
                return True
            if called in known and called not in (name, *seen) and compares(called, known, (*seen, name)):
                return True
    return False


def skipped(node):
    """Whether a test is marked to be skipped or to fail."""
    return any("skip" in ast.unparse(decorator) or "xfail" in ast.unparse(decorator)
               for decorator in node.decorator_list)


def problems(formulas, source, kind):
    """What is wrong with the proofs of a page; `formulas` holds line, formula and id."""
    known, proofs, wrong, seen = functions(source), proven(source), [], set()
    for line, formula, name in formulas:
        where, proof = f"line {line}, {formula[:50]}", proofs.get(name)
        if name is None:
            wrong.append(f"{where}: put `<!-- formula: its-id -->` (or `definition`) and an empty line before it")
        elif name == "definition":
            continue
        elif not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            wrong.append(f"{where}: the id {name!r} is not of the form output-delta")
        elif name in seen:
            wrong.append(f"{where}: another formula of this page has the id {name!r}")
        elif proof is None:
            wrong.append(f"{where}: no test says `@pytest.mark.proves({name!r})`")
        elif not proof.startswith("test_"):
            wrong.append(f"{where}: `{proof}` is no test")
        elif skipped(known[proof]):
            wrong.append(f"{where}: `{proof}` may be skipped, so it proves nothing")
        elif not compares(proof, known):
            wrong.append(f"{where}: `{proof}` compares nothing: formula({name!r}).holds({{…}}) compares")
        seen.add(name)
    if kind == "derivation" and seen <= {"definition", None}:
        wrong.append("a derivation proves at least one formula")
    return wrong + [f"`{test}` proves {name!r}, and no formula of the page has this id"
                    for name, test in proofs.items() if name not in seen]


@pytest.mark.parametrize(("lang", "name"), PAGES, ids=lambda value: value)
def test_every_display_formula_is_proven(lang, name):
    path, tests = page_path(name, lang), proofs_path(name)
    source = tests.read_text("utf-8") if tests.exists() else ""
    kind = front_matter(path.read_text("utf-8")).get("kind")
    wrong = problems(skeleton(path).formulas, source, kind)
    assert not wrong, "\n".join([f"docs/{lang}/{name}.md, proofs in {tests.relative_to(ROOT)}", *wrong])


SOURCE = '''
@pytest.mark.proves("good", "by-formula")
def test_good(formula): formula("good").holds({}); formula("by-formula").holds({})
@pytest.mark.proves("by-helper")
def test_by_helper(): helper()
def helper(): assert a == b
@pytest.mark.proves("empty")
def test_empty(): pass
@pytest.mark.proves("true")
def test_true(): assert True
@pytest.mark.skip
@pytest.mark.proves("skipped")
def test_skipped(): assert a
@pytest.mark.proves("no-test")
def prove(): assert a
'''
SHOWN = ["good", "by-formula", "by-helper", "empty", "true", "skipped", "no-test"]


def said_of(names, kind="lesson"):
    return problems([(3, "y=wx", name) for name in names], SOURCE, kind)


@pytest.mark.parametrize(("name", "said"), [
    ("good", None), ("by-helper", None), ("definition", None), (None, "formula: its-id"), ("Good", "not of the form"),
    ("empty", "compares nothing"), ("true", "compares nothing"), ("skipped", "may be skipped"),
    ("missing", "no test says"), ("no-test", "is no test"),
])
def test_rule(name, said):
    others = [one for one in ("good", "by-formula", "by-helper") if one != name]
    wrong = [one for one in said_of([*others, name]) if "no formula of the page" not in one]
    assert (wrong == []) if said is None else (said in wrong[0])


def test_an_id_is_shown_once():
    assert any("another formula" in one for one in said_of(["good", "good"]))


def test_a_proof_of_nothing_is_found():
    wrong = said_of([name for name in SHOWN if name != "by-formula"])
    assert any("`test_good` proves 'by-formula', and no formula" in one for one in wrong)


def test_a_derivation_needs_a_proof():
    assert "a derivation proves at least one formula" in said_of(["definition"], "derivation")
