"""The tests that prove a page's formulas, as a page of their own that the seals lead to.

Their code is shown in the page's colours, yet not as blocks of the class `language-python`: those are a page's program.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

FOLDER = "proofs/"
WORDS = {
    "en": ("Proofs: {}", "The tests that prove the formulas of [{}]({}), as they run whenever anything changes. "
           "They compare with PyTorch in float64. The file is `{}`."),
    "zh": ("证明：{}", "证明 [{}]({}) 中公式的测试。每次改动都会运行它们，并以 float64 与 PyTorch 比较。文件是 `{}`。"),
}


def test_file(page: str) -> str:
    """Return the test file of a page: `mathematics/back-prop` has `tests/snippets/mathematics/test_back_prop.py`."""
    *folders, name = page.split("/")
    return "/".join(["tests", "snippets", *folders, f"test_{name.replace('-', '_')}.py"])


def functions(source: str) -> dict[str, str]:
    """Return the test functions of a file by name, each with its decorators."""
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[first - 1:node.end_lineno])
    return found


def proven(source: str) -> dict[str, str]:
    """Return the function that proves each formula: `@pytest.mark.proves("id")` stands above it."""
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                    found |= {ast.literal_eval(name): node.name for name in mark.args}
    return found


def rest(source: str) -> str:
    """Return what a file holds besides its tests: imports and helpers that the proofs use."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines[first - 1:node.end_lineno] = ["\0"] * (node.end_lineno - first + 1)  # type: ignore[operator]
    kept = "\n".join(line for line in lines if line != "\0")
    return re.sub(r"\n{4,}", "\n\n\n", kept).strip()


def page(lang: str, path: str, title: str, source: str, formulas: list[str]) -> str:
    """Return the Markdown of the page that shows the tests of the formulas of the page at `path`."""
    heading, words = WORDS[lang]
    found, tests = functions(source), proven(source)
    named = dict.fromkeys(tests[formula] for formula in formulas if formula in tests)
    up = "../" * (path.count("/") + 1)
    parts = ["---\nkind: reference\nsearch: {exclude: true}\n---",
             f"# {heading.format(title)} {{ #proofs-of-page }}",
             words.format(title, f"{up}{path}.md", test_file(path)),
             code(rest(source))]
    parts += [f"## `{name}` {{ #{name} }}\n\n{code(found[name])}" for name in named if name in found]
    return "\n\n".join(parts) + "\n"


def code(source: str) -> str:
    """Return highlighted code as a block of raw HTML, which Markdown leaves alone (so it holds no empty line)."""
    if not source.strip():
        return ""
    inner = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).strip("\n")
    inner = re.sub(r"\n(?=\n)", "\n<span></span>", inner)
    return f'<div class="highlight proof-code"><pre><span></span><code>{inner}</code></pre></div>'


def location(path: str) -> str:
    """Return where the proofs of a page are in the site's sources."""
    return f"{FOLDER}{path}.md"


def source_of(root: Path, path: str) -> str:
    """Return the text of a page's test file, or nothing."""
    file = root / test_file(path)
    return file.read_text("utf-8") if file.exists() else ""

