"""The hooks that work on text: formulas, figures, programs, the glossary, includes, indexes, addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs._site.hooks import api, figures, glossary, indexes, mathematics, pages, programs, proofs, repository, stamp

ENTRY = {"id": "gradient", "en": "gradient", "zh": "梯度", "also": {"en": ["slope vector"]},
         "definition": {"en": 'The "derivative".', "zh": "导数组成的向量。"}}


def test_a_formula_becomes_katex_and_mathml() -> None:
    complaints: list[str] = []
    page = r'<p><span class="arithmatex">\(a &lt; b^2\)</span></p>'
    out = mathematics.rendered(page, complaints.append)
    assert 'class="katex"' in out
    assert "<math" in out
    assert "arithmatex" in out
    assert not complaints


def test_a_formula_and_the_punctuation_around_it_stay_on_one_line() -> None:
    formula = r'<span class="arithmatex">\(L\)</span>'
    assert mathematics.rendered(f"损失 {formula}。然后", print).count('<span class="pointed"><span class="arith') == 1
    bracketed = mathematics.rendered(f"损失（{formula}）", print)
    assert bracketed.startswith('损失<span class="pointed">（<span class="arith')
    assert "pointed" not in mathematics.rendered(f"the {formula} of", print)


@pytest.mark.parametrize("tex", [r"\frac{1}{", r"\nonsense", "损失 = 0"])
def test_a_wrong_formula_is_complained_about_and_shown(tex: str) -> None:
    complaints: list[str] = []
    out = mathematics.rendered(rf'<div class="arithmatex">\[{tex}\]</div>', complaints.append)
    assert len(complaints) == 1
    assert "<code>" in out


def test_a_proven_formula_has_a_seal_and_a_definition_none() -> None:
    complaints: list[str] = []
    formula = r'<div class="arithmatex">\[x\]</div>'
    page = f"<!-- formula: x -->\n{formula}\n<p><!-- formula: definition --></p>\n{formula}"
    out = mathematics.sealed(page, "zh", {"x": "test_x"}, "proofs/", complaints.append)
    assert out.count('<a class="proof"') == 1
    assert 'href="proofs/#test_x" title="由测试 test_x 证明">已证明</a>' in out
    assert out.count('<div class="formula" id="formula-x">') == 1
    assert out.count('<div class="formula">') == 1
    assert not complaints
    mathematics.sealed(page, "en", {}, "", complaints.append)
    assert "the formula x has no proof" in complaints[0]


def test_proofs_are_shown_one_by_one() -> None:
    first = "@pytest.mark.proves('a', \"a-2\")\ndef test_a(x):\n    assert x"
    helper, second = "def help():\n    pass", "def test_b():\n    pass"
    source = "\n\n\n".join(["import torch", helper, first, second]) + "\n"
    assert proofs.functions(source) == {"test_a": first, "test_b": second}
    assert proofs.rest(source) == f"import torch\n\n\n{helper}"
    assert proofs.test_file("concepts/computation-graph") == "tests/snippets/concepts/test_computation_graph.py"
    text = proofs.page("en", "a/b", "Title", source, ["a-2", "unknown"])
    assert proofs.proven(source) == {"a": "test_a", "a-2": "test_a"}
    assert "## `test_a` { #test_a }" in text
    assert "(../../a/b.md)" in text
    assert "language-python" not in text


def test_a_slim_drawing_is_the_same_drawing() -> None:
    path = "M 1.26 2 \nL 3 4 \nL 5 6.04 \nQ 1 2 3 4 \nL 5 6 \nL 7 8 \nz\n"
    label = '<text x="1.25" transform="rotate(-0 1 2)">L 1.25 a: b</text>'
    out = figures.slim(f'<svg>\n <g>\n  <path d="{path}" style="a: b; c: d"/>\n </g>\n {label}\n</svg>')
    assert out == ('<svg><path d="M 1.3 2 3 4 5 6 Q 1 2 3 4 L 5 6 7 8 z" style="a:b;c:d"/>'
                   '<text x="1.2">L 1.25 a: b</text></svg>')


def test_a_figure_follows_the_page() -> None:
    svg = ('<?xml version="1.0"?><svg width="9pt" viewBox="0 0 9 9"><metadata>2026</metadata><defs>'
           '<style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style></defs>'
           '<path id="used" style="fill: #012345"/><path id="unused"/><use href="#used"/>'
           "<text style=\"font-size: 10px; font-family: 'DejaVu Sans', sans-serif; fill: #012345\">loss</text></svg>")
    out = figures.themed(svg)
    assert out.startswith("<svg ")
    assert figures.themed(out) == out
    for gone in ("metadata", "<style", "#012345", "unused", "DejaVu"):
        assert gone not in out
    named = figures.named(out, 'a "b" < c', "f1")
    assert 'role="img" aria-label="a &quot;b&quot; &lt; c"' in named
    assert 'id="f1-used"' in named
    assert 'href="#f1-used"' in named


def test_figures_wait_until_the_search_has_read_the_page() -> None:
    page = '<figure class="output figure"><svg><text>1.0</text></svg></figure>\n<p>x</p>'
    short, drawings = figures.set_aside(page)
    assert "1.0" not in short
    assert figures.put_back(short, drawings) == page


def test_a_missing_figure_is_complained_about(tmp_path: Path) -> None:
    complaints: list[str] = []
    (tmp_path / "a").mkdir()
    (tmp_path / "a/page.curve.svg").write_text('<svg viewBox="0 0 1 1"></svg>', "utf-8")
    page = '<p><img alt="it falls" src="figure:curve" /></p>\n<p><img alt="" src="figure:gone" /></p>'
    out = pages.with_figures(page, "a/page", tmp_path, complaints.append)
    assert '<figure class="output figure"><svg viewBox="0 0 1 1" role="img" aria-label="it falls"></svg>' in out
    assert len(complaints) == 2


def test_the_program_is_what_the_page_shows() -> None:
    page = ('<h1 id="a">Title <a class="headerlink" href="#a">¶</a></h1>'
            '<div class="language-python highlight"><pre><code><span class="k">x</span> &lt; 1\n</code></pre></div>'
            '<div class="language-text output highlight"><pre><code>True</code></pre></div><h2>Two</h2>'
            '<div class="language-python highlight"><pre><span></span><code>y = 2\n</code></pre></div>')
    found = programs.pieces(page)
    assert programs.blocks(found) == ["x < 1", "y = 2"]
    assert programs.as_script(found) == "# # Title\n\nx < 1\n\n# ## Two\n\ny = 2\n"
    cells = json.loads(programs.as_notebook(found))["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "markdown", "code"]
    assert [cell["source"] for cell in cells] == ["# Title", "x < 1", "## Two", "y = 2"]


def test_a_term_is_explained_once_and_only_in_running_text() -> None:
    page = "<h2>Gradient</h2><p><code>gradient</code> Gradients, a gradient and a gradient</p><pre>gradient</pre>"
    out = glossary.linked(page, [ENTRY], "en", "../glossary/")
    assert out.count("<a ") == 1
    assert 'a <a class="term" href="../glossary/#gradient" title="The &quot;derivative&quot;.">gradient</a> and' in out
    assert '<a class="term"' in glossary.linked("<p>计算梯度。</p>", [ENTRY], "zh", "x")


def test_the_glossary_page_holds_both_names() -> None:
    text = glossary.page([ENTRY], "zh")
    assert "## 梯度 { #gradient }" in text
    assert "gradient、slope vector" in text
    assert glossary.faults([ENTRY]) == []
    assert len(glossary.faults([ENTRY, ENTRY])) == 4
    assert glossary.faults([{"id": "x", "en": "x"}])


def test_missing_includes_are_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# --8<-- [start:one]\nx = 1\n# --8<-- [end:one]\n", "utf-8")
    page = '```python\n--8<-- "a.py:one"\n--8<-- "a.py:two"\n--8<-- "b.py"\n```\n'
    text, missing = pages.without_missing(page, [tmp_path])
    assert missing == ["a.py:two", "b.py"]
    assert '--8<-- "a.py:one"' in text
    out = pages.expanded(text, {"base_path": [str(tmp_path)], "check_paths": True})
    assert "x = 1" in out
    assert "--8<--" not in out


def test_links_to_labs_find_them() -> None:
    text = "[a](../labs/mlp.py#x) [b](labs/cnn.md) [c](../concepts/labs.md)"
    assert pages.lab_links(text) == "[a](../labs/mlp.ipynb#x) [b](labs/cnn.ipynb) [c](../concepts/labs.md)"


def test_a_stamp_is_read_from_the_header() -> None:
    assert stamp.read("# recorded 2026-11-21 | torch 2.15.0 | Python 3.11 | 1.3 s\nrest") == {
        "recorded": "2026-11-21", "torch": "2.15.0", "python": "3.11", "seconds": "1.3"}
    assert stamp.read("# nothing") is None


def test_the_sitemap_links_twins() -> None:
    roots, codes = {"en": "h/", "zh": "h/zh/"}, {"en": "en", "zh": "zh-Hans"}
    text = indexes.sitemap({"en": ["", "a/"], "zh": ["", "a/"]}, roots, codes)
    assert text.count("<url>") == 4
    assert '<loc>h/zh/a/</loc><xhtml:link rel="alternate" hreflang="en" href="h/a/"/>' in text
    assert text.count('hreflang="x-default" href="h/a/"') == 2


def test_markdown_for_machines_has_absolute_links() -> None:
    known = {"concepts/autograd.md": "https://h/concepts/autograd/"}
    text = "[a](../concepts/autograd.md#x) [b](https://x.org/) [c](#here)"
    assert indexes.absolute(text, "start/install.md", known) == (
        "[a](https://h/concepts/autograd/#x) [b](https://x.org/) [c](#here)")


@pytest.mark.parametrize(("given", "expected"), [
    ("https://user:secret@git.example:8443/a/b.git\n", "https://git.example:8443/a/b"),
    ("http://git.example/a/b/", "http://git.example/a/b"),
    ("git@git.example:a/b.git", ""), ("/srv/repo", ""), ("", ""),
])
def test_a_repository_is_a_web_address_or_nothing(given: str, expected: str) -> None:
    assert repository.cleaned(given) == expected


def test_edit_links_follow_the_host() -> None:
    assert repository.edit("", "docs/en/faq.md") is None
    assert repository.edit("https://git.example/a/b", "x.md") == "https://git.example/a/b/edit/main/x.md"
    assert repository.edit("https://gitlab.example/a/b", "x.md") == "https://gitlab.example/a/b/-/edit/main/x.md"


def test_a_reference_page_is_readable_without_its_html(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.py").write_text(
        '"""About."""\n\ndef f(x: int = 1) -> int:\n    """Adds."""\n\ndef _g():\n    pass\n\n'
        'class C:\n    """A class."""\n    def m(self):\n        """A method."""\n', "utf-8")
    text = api.expanded("# A\n\n::: a.b\n\nend\n", tmp_path)
    assert "About.\n\n## `f(x: int=1) -> int`\n\nAdds.\n\n## `class C`\n\nA class." in text
    assert "## `C.m(self)`\n\nA method." in text
    assert "_g" not in text
    assert text.endswith("end\n")
