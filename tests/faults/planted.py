"""The faults: what is planted, which tests are run, which of them must go red, and what it must say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.tree import Tree
from tests.pages import numbers

PAGE = "start/first-program"
EN, ZH = f"docs/en/{PAGE}.md", f"docs/zh/{PAGE}.md"
SNIPPET, OUTPUTS = f"snippets/{PAGE}.py", f"snippets/{PAGE}.out"
LANGUAGES = "tests/pages/test_languages.py"
SECTION = "hand"  # a section of the page that prints


@dataclass(frozen=True)
class Fault:
    """One fault."""

    name: str
    plant: Callable[[Tree], None]
    run: str  # the narrowest selection that should notice
    red: str  # how the id of the test that must fail begins
    says: str  # a part of its message


FAULTS: list[Fault] = []


def fault(name: str, run: str, red: str, says: str) -> Callable[[Callable[[Tree], None]], Callable[[Tree], None]]:
    """Add the decorated function to the faults."""

    def add(plant: Callable[[Tree], None]) -> Callable[[Tree], None]:
        FAULTS.append(Fault(name, plant, run, red, says))
        return plant

    return add


# ---------------------------------------------------------------- promises 1 and 2: runs, and prints what it says


def other_digit(number: str) -> str:
    """The number with another last digit."""
    return number[:-1] + str((int(number[-1]) + 5) % 10)


@fault("wrong printed number", EN, EN, "the page shows something else than the block prints")
def wrong_printed_number(tree: Tree) -> None:
    text = tree.read(OUTPUTS)
    head, body = text.split("\n", 1)
    changed = re.sub(r"(?<![\w.])-?\d+\.\d{3,}(?![\w.])", lambda m: other_digit(m[0]), body, count=1)
    tree.write(OUTPUTS, f"{head}\n{changed}")


SPELLINGS = {
    "title": lambda code: f'```python title="by hand"\n{code}\n```',
    "alias": lambda code: f"```py\n{code}\n```",
    "tildes": lambda code: f"~~~python\n{code}\n~~~",
    "braces": lambda code: f"``` {{.python}}\n{code}\n```",
    "indentation": lambda code: f"!!! note\n\n    ```python\n    {code}\n    ```",
}


def spelled(spelling: Callable[[str], str]) -> Callable[[Tree], None]:
    """Plant wrong code in a block whose fence is spelled in another way."""

    def plant(tree: Tree) -> None:
        include = f'--8<-- "{PAGE}.py:{SECTION}"'
        for page in (EN, ZH):
            tree.replace(page, f"```python\n{include}\n```", spelling(include))
        start = f"# --8<-- [start:{SECTION}]\n"
        tree.replace(SNIPPET, start, f"{start}raise ValueError('planted')\n")

    return plant


for _name, _spelling in SPELLINGS.items():
    fault(f"wrong code in a fence with {_name}", EN, f"{EN}::{SECTION}", "ValueError: planted")(spelled(_spelling))


@fault("figure that the code does not draw", EN, EN, "is not what the block draws")
def wrong_figure(tree: Tree) -> None:
    figure = re.search(r"\(figure:([\w-]+)\)", tree.read(EN))
    assert figure, f"{EN} has no figure"
    tree.sub(f"snippets/{PAGE}.{figure[1]}.svg", r'( x=")(\d)', r"\g<1>9\2")


@fault("wrong output in a docstring", "src/dlguide/backprop/rules.py::Activation",
       "src/dlguide/backprop/rules.py::", "shows something else")
def wrong_docstring_output(tree: Tree) -> None:
    tree.replace("src/dlguide/backprop/rules.py", "tensor([9.]) tensor([6.])", "tensor([9.]) tensor([7.])")


@fault("wrong output in the README", "README.md", "README.md::line", "shows something else")
def wrong_readme_output(tree: Tree) -> None:
    tree.sub("README.md", r"(``` \{\.text \.output\}\n\S+)", r"\1x")


@fault("include of a missing section", EN, f"{EN}::fences", "cannot include")
def missing_section(tree: Tree) -> None:
    tree.replace(EN, f"{PAGE}.py:{SECTION}", f"{PAGE}.py:no-such-section")


@fault("unused section", f"tests/pages/test_sections.py::test_every_section_is_shown[{PAGE}-en]",
       "tests/pages/test_sections.py::test_every_section_is_shown", "shows no section planted")
def unused_section(tree: Tree) -> None:
    tree.write(SNIPPET, tree.read(SNIPPET) + "\n\n# --8<-- [start:planted]\nprint(1)\n# --8<-- [end:planted]\n")


# ---------------------------------------------------------------- promises 3 and 4: counts right, derives right


@fault("wrong number in prose", f"tests/pages/test_numbers.py::test_numbers_in_prose_come_from_the_program[en-{PAGE}]",
       "tests/pages/test_numbers.py::test_numbers_in_prose", "comes neither from an output nor from the code")
def wrong_prose_number(tree: Tree) -> None:
    text = tree.read(EN)
    number = numbers.in_prose(text)[0]
    lines = text.split("\n")
    before, after = lines[number.line - 1].split(number.text, 1)
    lines[number.line - 1] = f"{before}{number.text}77{after}"
    tree.write(EN, "\n".join(lines))


@fault("formula without a proof", f"tests/pages/test_formulas.py::test_every_display_formula_is_proven[en-{PAGE}]",
       "tests/pages/test_formulas.py::", "put `<!-- formula: its-id -->`")
def formula_without_proof(tree: Tree) -> None:
    tree.sub(EN, r"<!-- formula: (?!definition)[\w-]+ -->\n\n", "")


RULE = "training/optimizers"
PROOFS = "tests/snippets/training/test_optimizers.py"
FORMULAS = {  # in the formula of Adam, in both languages alike: what is replaced, and by what
    "wrong factor": (r"(1 - \beta_1)\, g_t", r"g_t"),
    "wrong sign": (r"w_t = w_{t-1} - \eta\, \frac{m_t /", r"w_t = w_{t-1} + \eta\, \frac{m_t /"),
    "epsilon in the wrong place": (r"(1 - \beta_2^t)} + \varepsilon", r"(1 - \beta_2^t) + \varepsilon}"),
    "missing bias correction": (r"\frac{m_t / (1 - \beta_1^t)}", r"\frac{m_t}"),
}


def in_formula(old: str, new: str) -> Callable[[Tree], None]:
    """Plant a fault in the formula of Adam."""

    def plant(tree: Tree) -> None:
        for lang in ("en", "zh"):
            page = f"docs/{lang}/{RULE}.md"
            before, mark, after = tree.read(page).partition("<!-- formula: adam -->")
            assert old in after, f"{page}: the formula of Adam no longer holds {old}"
            tree.write(page, before + mark + after.replace(old, new, 1))

    return plant


for _name, (_old, _new) in FORMULAS.items():
    fault(f"{_name} in a formula", f"{PROOFS}::test_adam", f"{PROOFS}::test_adam",
          "the formula adam does not hold")(in_formula(_old, _new))


@fault("formula whose proof is gone", f"tests/pages/test_formulas.py::test_every_display_formula_is_proven[en-{RULE}]",
       "tests/pages/test_formulas.py::", "no test says `@pytest.mark.proves('adam')`")
def no_proof(tree: Tree) -> None:
    tree.replace(PROOFS, '@pytest.mark.proves("adam")\n', "")


@fault("proof that cannot see a fault", f"{PROOFS}::test_adam", f"{PROOFS}::test_adam", "the proof stays green for")
def blind_proof(tree: Tree) -> None:
    tree.replace(PROOFS, '"eps": 0.1', '"eps": 0.0')
    tree.replace(PROOFS, r'r"\varepsilon": 0.1', r'r"\varepsilon": 0.0')


@fault("wrong gradient in the package", "tests/dlguide/test_backprop.py::test_a_batch_adds_up_its_samples[half_sse]",
       "tests/dlguide/test_backprop.py::test_a_batch_adds_up_its_samples", "not close")
def wrong_gradient(tree: Tree) -> None:
    tree.replace("src/dlguide/backprop/network.py", "delta.sum(0)))", "delta.mean(0)))")


@fault("wrong update rule in the package",
       "tests/dlguide/test_optim.py::test_one_hundred_steps_equal_torch[SGD-options1-quadratic]",
       "tests/dlguide/test_optim.py::test_one_hundred_steps_equal_torch", "< 1e-10")
def wrong_update(tree: Tree) -> None:
    tree.replace("src/dlguide/optim/sgd.py", "b.copy_(momentum * b +", "b.copy_(b +")


@fault("wrong solution of an exercise", "tests/snippets/start/test_first_program.py::test_exercise_largest_step",
       "tests/snippets/start/test_first_program.py::test_exercise_largest_step", "assert")
def wrong_solution(tree: Tree) -> None:
    tree.sub(SNIPPET, r"(def largest_step\(.*?return )", r"\g<1>1.1 * ")


# ---------------------------------------------------------------- promise 5: says the same twice


@fault("page in one language only", f"{LANGUAGES}::test_page_is_in_both_languages[faq]", LANGUAGES,
       "docs/zh/faq.md is missing")
def one_language(tree: Tree) -> None:
    tree.write("docs/zh/faq.md", None)


@fault("changed English text", f"{LANGUAGES}::test_translation_is_of_the_current_english_page[{PAGE}]", LANGUAGES,
       "+A planted sentence.")
def changed_english(tree: Tree) -> None:
    tree.write(EN, f"{tree.read(EN)}\nA planted sentence.\n")


@fault("changed heading id", f"{LANGUAGES}::test_same_headings[{PAGE}]", LANGUAGES, "planted")
def changed_id(tree: Tree) -> None:
    tree.sub(ZH, r"^(## [^\n]*\{ #)[\w-]+ \}", r"\1planted }")


@fault("formula changed in one language", f"{LANGUAGES}::test_same_formulas[{PAGE}]", LANGUAGES, "Chinese has")
def changed_formula(tree: Tree) -> None:
    tree.sub(ZH, r"^\$\$\n(.*?)=", r"$$\n\1=-")


@fault("block left out in one language", f"{LANGUAGES}::test_same_code[{PAGE}]", LANGUAGES, "has")
def changed_code(tree: Tree) -> None:
    tree.sub(ZH, r"```python\n[^`]*```\n", "")


@fault("link changed in one language", f"{LANGUAGES}::test_same_links[{PAGE}]", LANGUAGES, "links")
def changed_link(tree: Tree) -> None:
    tree.sub(ZH, r"\]\(https://", "](https://planted.example/")


@fault("banned term", f"{LANGUAGES}::test_chinese_is_set_well[{PAGE}]", LANGUAGES, "批量归一化")
def banned_term(tree: Tree) -> None:
    tree.write(ZH, f"{tree.read(ZH)}\n这里用到了批量正则化。\n")


@fault("code in one language of a lab", "tests/pages/test_labs.py::test_code_belongs_to_both_languages[digits-mlp]",
       "tests/pages/test_labs.py::test_code_belongs_to_both_languages", "belongs to both languages")
def different_lab_code(tree: Tree) -> None:
    tree.replace("docs/labs/digits-mlp.py", "\n# %%\n", '\n# %% tags=["en"]\n')


@fault("failing lab cell", "tests/pages/test_labs.py::test_numbers_in_prose_come_from_the_lab[tiny]",
       "tests/pages/test_labs.py::test_numbers_in_prose_come_from_the_lab[tiny]", "AssertionError: planted")
def failing_cell(tree: Tree) -> None:
    tree.replace("docs/labs/tiny.py", "print(0.5)", "assert 0.5 > 1, 'planted'")


# ---------------------------------------------------------------- the package and the suite


@fault("public function without docstring", "tests/dlguide/test_docstrings.py",
       "tests/dlguide/test_docstrings.py::test_public_object_is_documented[dlguide.train.", "it has no docstring")
def no_docstring(tree: Tree) -> None:
    tree.sub("src/dlguide/train/classifier.py", r'^(def [a-z]\w*\((?:[^"]*?)\) -> [^\n]*:\n)    r?""".*?"""\n', r"\1")


@fault("skip that is not listed", "tests/test_exemptions.py", "tests/test_exemptions.py::test_number_of_exemptions",
       "tests/exemptions.py does not list it")
def unlisted_skip(tree: Tree) -> None:
    tree.replace("tests/test_exemptions.py", "def test_number", '@pytest.mark.skip(reason="planted")\ndef test_number')


@fault("expected failure that is not listed", "tests/test_exemptions.py",
       "tests/test_exemptions.py::test_number_of_exemptions", "tests/exemptions.py does not list it")
def unlisted_xfail(tree: Tree) -> None:
    tree.replace("tests/test_exemptions.py", "def test_number", "@pytest.mark.xfail\ndef test_number")
    tree.replace("tests/test_exemptions.py", "== 2", "== 3")
