"""Promise 4: every display formula names the test that proves it, and that test compares something."""

import ast

import pytest

from tests.pages.project import LANGUAGES, ROOT, front_matter, page_names, page_path, proofs_path
from tests.pages.prose import skeleton

PAGES = [(lang, name) for lang in LANGUAGES for name in page_names(lang)]
COMPARING = {"assert_close", "assert_allclose", "gradcheck", "gradgradcheck", "raises", "assert_array_equal"}


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
    """What is wrong with the proofs of a page; `formulas` holds line, formula and proof."""
    known, wrong, proven = functions(source), [], 0
    for line, formula, proof in formulas:
        where = f"line {line}, {formula[:50]}"
        if proof is None:
            wrong.append(f"{where}: put `<!-- proof: test_name -->` (or `definition`) and an empty line before it")
        elif proof != "definition":
            proven += 1
            if proof not in known or not proof.startswith("test_"):
                wrong.append(f"{where}: there is no test `{proof}` in the page's test file")
            elif skipped(known[proof]):
                wrong.append(f"{where}: `{proof}` may be skipped, so it proves nothing")
            elif not compares(proof, known):
                wrong.append(f"{where}: `{proof}` compares nothing: use torch.testing.assert_close or assert")
    if kind == "derivation" and not proven:
        wrong.append("a derivation proves at least one formula")
    return wrong


@pytest.mark.parametrize(("lang", "name"), PAGES, ids=lambda value: value)
def test_every_display_formula_is_proven(lang, name):
    path, tests = page_path(name, lang), proofs_path(name)
    source = tests.read_text("utf-8") if tests.exists() else ""
    kind = front_matter(path.read_text("utf-8")).get("kind")
    wrong = problems(skeleton(path).formulas, source, kind)
    assert not wrong, "\n".join([f"docs/{lang}/{name}.md, proofs in {tests.relative_to(ROOT)}", *wrong])


SOURCE = '''
def test_good(): torch.testing.assert_close(a, b)
def test_by_helper(): helper()
def helper(): assert a == b
def test_empty(): pass
def test_true(): assert True
@pytest.mark.skip
def test_skipped(): assert a
'''


@pytest.mark.parametrize(("proof", "said"), [
    ("test_good", None), ("test_by_helper", None), ("definition", None), (None, "proof: test_name"),
    ("test_empty", "compares nothing"), ("test_true", "compares nothing"), ("test_skipped", "may be skipped"),
    ("test_missing", "there is no test"), ("helper", "there is no test"),
])
def test_rule(proof, said):
    wrong = problems([(3, "y=wx", proof)], SOURCE, "lesson")
    assert (wrong == []) if said is None else (said in wrong[0])


def test_a_derivation_needs_a_proof():
    assert problems([(3, "y=wx", "definition")], SOURCE, "derivation")
