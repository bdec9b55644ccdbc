"""The faults that are planted in formulas, and what happens to a proof that does not notice them."""

import subprocess
import sys

import pytest

from tests.pages.mutants import MOST, mutants
from tests.pages.paths import ROOT


@pytest.mark.parametrize(("formula", "faults"), [
    ("w = v - g", ["w = 2 \\cdot v - g", "w = v + g"]),
    ("x_{i-1} = h^{(t-1)}", ["x_{i-1} = 2 \\cdot h^{(t-1)}"]),
    (r"\frac{m}{\sqrt{v} + \varepsilon}", [r"\frac{m}{\sqrt{v} - \varepsilon}", r"\frac{m}{\sqrt{v + \varepsilon}}"]),
    (r"\sqrt{\frac{v}{2} + \epsilon}", [r"\sqrt{\frac{v}{2} - \epsilon}", r"\sqrt{\frac{v}{2}} + \epsilon"]),
    (r"L = a^2", [r"L = 2 \cdot a^2", "L = a^3"]), (r"\delta x^\top", [r"\delta x"]), ("a + b = 0", ["a - b = 0"]),
    (r"a + b \le c", []), (r"\text{a + b}", []),
])
def test_faults_of_a_formula(formula, faults):
    assert mutants(formula) == faults


def test_a_case_may_be_bounded():
    tex = r"f = \begin{cases} -x & \text{if } x < 0 \\ x & \text{otherwise} \end{cases}"
    assert [one for one in mutants(tex) if "+x" in one]


def test_a_long_formula_gets_few_faults():
    assert len(mutants(" + ".join("abcdefghijklmnopqrstuvw"))) <= MOST


PAGE = "<!-- formula: step -->\n\n$$w = v - g + \\varepsilon$$\n"
PROOF = '''
import pytest

@pytest.mark.parametrize("g", [0.0, 1.0])
@pytest.mark.proves("step"{equivalent})
def test_step(formula, g):
    formula("step").holds({{"w": 3 - g, "v": 3, "g": g, r"\\varepsilon": {epsilon}}}{loose})
'''


@pytest.mark.parametrize(("epsilon", "loose", "equivalent", "said"), [
    ("0.0", "", "", "proof stays green for\n  w = v - g - \\varepsilon"),
    ("0.0", "", ', equivalent=[r"w = v - g - \\varepsilon"]', "passed"), ("0.1", "", "", "does not hold"),
    ("0.1", ", atol=0.2", "", "proof stays green for\n  w = v - g - \\varepsilon"),
])
def test_a_blind_proof_is_red(tmp_path, epsilon, loose, equivalent, said):
    """In a process of its own, on a page that stands beside its test file."""
    (tmp_path / "page.md").write_text(PAGE, "utf-8")
    proof = tmp_path / "test_page.py"
    proof.write_text(PROOF.format(epsilon=epsilon, loose=loose, equivalent=equivalent.replace("\\\\", "\\")), "utf-8")
    page = tmp_path / "page.md"
    (tmp_path / "conftest.py").write_text(f"""
from pathlib import Path
from tests.pages import formulas
from tests.pages.prose import skeleton

formulas.page_of = lambda path: "page"
formulas.shown = lambda page: skeleton(Path({str(page)!r})).tex
""", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.pages.plugin", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), str(proof)]
    assert said in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
