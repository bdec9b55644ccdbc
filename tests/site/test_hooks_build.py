"""The hooks that work with files: front-end packages, labs, notebooks, the two languages."""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat
import pytest

from docs._site.hooks import assets, labs, languages, notebooks

LAB = '''# ---
# kind: lab
# minutes: 5
# description: {en: A demo, zh: 演示}
# ---

# %% [markdown] tags=["en"]
# # Demo { #demo }

# %% [markdown] tags=["zh"]
# # 演示 { #demo }

# %% alt_en="A line" alt_zh="一条线"
x = 1
'''


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "demo.py"
    path.write_text(LAB, "utf-8")
    return path


def test_a_lab_is_written_in_each_language(lab: Path) -> None:
    notebook = labs.read(lab)
    assert labs.faults(notebook) == []
    assert labs.front_matter(notebook, "zh") == {"kind": "lab", "minutes": 5, "description": "演示"}
    english = labs.in_language(notebook, "en")
    assert [cell.source for cell in english.cells] == ["# Demo { #demo }", "x = 1"]
    assert notebooks.markdown(english.cells) == (
        "# Demo { #demo }\n\n```python\nx = 1\n```\n\n<!-- outputs of cell 0 -->\n")


def test_cells_without_a_language_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text('# %% [markdown]\n# text\n\n# %% tags=["en"]\nx = 1\n', "utf-8")
    assert len(labs.faults(labs.read(path))) == 2


def test_prose_does_not_change_the_key_and_code_does(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    first = labs.digest(labs.read(lab), tmp_path)
    lab.write_text(LAB.replace("# # Demo {", "# # Other {"), "utf-8")
    assert labs.digest(labs.read(lab), tmp_path) == first
    lab.write_text(LAB.replace("x = 1", "x = 2"), "utf-8")
    changed = labs.digest(labs.read(lab), tmp_path)
    assert changed.split("-")[0] != first.split("-")[0]
    (tmp_path / "src/a.py").write_text("y = 1\n", "utf-8")
    package = labs.digest(labs.read(lab), tmp_path)
    assert package.split("-")[0] == changed.split("-")[0]
    assert package != changed


def kept(lab: Path, cache: Path, key: str) -> None:
    """Write an executed notebook into the cache, as a kernel would have."""
    done = labs.read(lab)
    done.cells = [cell for cell in done.cells if cell.cell_type == "code"]
    done.cells[0].outputs = [nbformat.v4.new_output("stream", text="7\n")]
    done.metadata["stamp"] = {"seconds": "1.0"}
    cache.mkdir(exist_ok=True)
    (cache / f"demo-{key}.ipynb").write_text(nbformat.writes(done), "utf-8")


def test_outputs_come_from_the_cache(lab: Path, tmp_path: Path) -> None:
    kept(lab, tmp_path / "cache", labs.digest(labs.read(lab), tmp_path))
    done = labs.executed(lab, print, tmp_path / "cache", tmp_path)
    assert done.cells[-1].outputs[0].text == "7\n"
    assert done.metadata["stamp"] == {"seconds": "1.0"}


def test_a_live_reload_shows_the_last_outputs_of_the_same_code(lab: Path, tmp_path: Path) -> None:
    kept(lab, tmp_path / "cache", labs.digest(labs.read(lab), tmp_path).split("-")[0] + "-other")
    assert labs.executed(lab, print, tmp_path / "cache", tmp_path, hurry=True).cells[-1].outputs
    with pytest.raises(labs.LabError, match=r"demo\.py is shown without outputs"):
        labs.executed(lab, print, tmp_path / "cache", tmp_path, never=True)


def test_a_failing_cell_names_the_lab_the_cell_and_the_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("# %%\nx = 1\n\n# %%\ny = x / 0\n", "utf-8")
    said: list[str] = []
    sentence = r"docs/labs/broken\.py fails in code cell 2 \(`y = x / 0`\): ZeroDivisionError"
    with pytest.raises(labs.LabError, match=sentence):
        labs.executed(path, said.append, tmp_path / "cache", tmp_path)
    assert said[0].startswith("lab broken: cell 1 of 2 runs")
    assert not list((tmp_path / "cache").glob("*.ipynb"))


def test_only_outputs_are_kept_of_an_nbconvert_page() -> None:
    svg = base64.b64encode(b'<svg viewBox="0 0 1 1"></svg>').decode()
    cell = '<div class="jp-Cell jp-CodeCell"><div class="jp-OutputArea-output {}">{}</div></div>'
    cells = [("jp-RenderedText", "<pre>7\n</pre>"), ("jp-RenderedSVG", f'<img src="data:image/svg+xml;base64,{svg}">')]
    page = f'<div class="jp-Notebook"><style>p{{}}</style>{"".join(cell.format(*one) for one in cells)}</div>'
    text, figure = notebooks.outputs(page, ("", "A line"))
    assert text == ['<div class="language-text output highlight"><pre><span></span><code>7\n</code></pre></div>']
    assert figure[0].startswith('<figure class="output"><svg ')
    assert 'aria-label="A line"' in figure[0]


def test_a_figure_of_a_lab_needs_words() -> None:
    complaints: list[str] = []
    cell = {"cell_type": "code", "source": "plt.show()", "metadata": {}, "outputs": [{"data": {"image/svg+xml": ""}}]}
    assert notebooks.alternatives([cell], "zh", complaints.append) == ("",)
    assert "alt_zh" in complaints[0]


def test_missing_packages_are_one_sentence(tmp_path: Path) -> None:
    assert "make setup" in assets.missing(tmp_path)
    (tmp_path / "katex").mkdir()
    (tmp_path / "mermaid").mkdir()
    assert assets.missing(tmp_path) == ""


def test_stylesheets_are_one_file_with_modern_fonts(tmp_path: Path) -> None:
    (tmp_path / "2.css").write_text("/* b */\np {\n  color: red;\n}\n", "utf-8")
    (tmp_path / "1.css").write_text("a { src: url(fonts/x.woff2); }\n", "utf-8")
    assert assets.stylesheet(tmp_path) == "a { src: url(fonts/x.woff2); }\np {\ncolor: red;\n}\n"
    css = 'src:url(fonts/K.woff2) format("woff2"),url(fonts/K.woff) format("woff"),url(fonts/K.ttf) format("truetype")}'
    assert assets.woff2_only(css) == 'src:url(fonts/K.woff2) format("woff2")}'
    with pytest.raises(FileNotFoundError, match=r"x\.woff2 of site\.css is in no package"):
        assets.fonts("url(fonts/x.woff2)", tmp_path)


def test_the_bundle_asks_no_other_host() -> None:
    out, wrong = assets.patched(" ".join(assets.PATCHES))
    assert wrong == []
    assert "unpkg" not in out
    assert assets.patched("")[1] == list(assets.PATCHES)
    assert len(assets.patched(" ".join([*assets.PATCHES, *assets.PATCHES]))[1]) == len(assets.PATCHES)


@pytest.mark.parametrize(("given", "expected"), [
    ('<link href="../assets/a.css">', '<link href="../../assets/a.css">'),
    ('<link href="assets/a.css">', '<link href="../assets/a.css">'),
    ('<link href="./assets/a.css">', '<link href="../assets/a.css">'),
    ('<script src="/dlguide/zh/assets/a.js">', '<script src="/dlguide/assets/a.js">'),
    ('{"search": "../assets/javascripts/w.js"}', '{"search": "../../assets/javascripts/w.js"}'),
    ('<a href="../start/">', '<a href="../start/">'),
])
def test_the_second_language_uses_the_assets_of_the_first(given: str, expected: str) -> None:
    assert languages.shared(given, "zh/") == expected
    assert languages.shared(given, "") == given


def test_nav_titles_are_translated() -> None:
    nav = ["index.md", {"Start": ["a.md", {"More": ["b.md"]}]}]
    chinese = ["index.md", {"入门": ["a.md", {"更多": ["b.md"]}]}]
    assert languages.translated(nav, {"Start": "入门", "More": "更多"}) == chinese
    with pytest.raises(KeyError):
        languages.translated(nav, {})


def test_a_preview_can_leave_languages_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLGUIDE_LANGS", raising=False)
    assert languages.wanted(["en", "zh"]) == ["en", "zh"]
    monkeypatch.setenv("DLGUIDE_LANGS", "en")
    assert languages.wanted(["en", "zh"]) == ["en"]
