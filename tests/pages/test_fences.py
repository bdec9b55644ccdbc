"""The reader of pages sees every Python block that the site shows, however its fence is spelled."""

import textwrap

import pytest

from tests.pages import fences, shown
from tests.pages.project import page_path

SPELLINGS = {
    "plain": "```python\nx = 1\n```",
    "py": "```py\nx = 1\n```",
    "python3": "```python3\nx = 1\n```",
    "title": '```python title="train.py" linenums="1"\nx = 1\n```',
    "highlight": '```python hl_lines="1"\nx = 1\n```',
    "braces": "``` {.python}\nx = 1\n```",
    "braces, alias and attributes": '```{.py .copy title="x"}\nx = 1\n```',
    "tildes": "~~~python\nx = 1\n~~~",
    "four marks": "````python\nx = 1\n````",
    "admonition": "!!! note\n\n    ```python\n    x = 1\n    ```",
    "details in a list": '- item\n\n    ??? success "Solution"\n\n        ```py\n        x = 1\n        ```',
    "tab": '=== "CPU"\n\n    ~~~~python\n    x = 1\n    ~~~~',
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_is_read_and_shown(text):
    page = fences.read(text)
    assert [block.code for block in page.blocks] == ["x = 1\n"]
    assert page.problems == []
    assert shown.differences(text, page) == []


@pytest.mark.parametrize("text", [
    "> ```python\n> x = 1\n> ```",
    '<pre><code class="language-python">x = 1</code></pre>',
    "<!--\n```python\nx = 1\n```\n-->",
], ids=["quote", "html", "comment"])
def test_what_is_shown_otherwise_is_noticed(text):
    page = fences.read(text)
    assert page.problems or shown.differences(text, page)


@pytest.mark.parametrize(("text", "said"), [
    ("```bash\nrm -rf x\n```", "use ```console"),
    ("```sh\nls\n```", "use ```console"),
    ("```pycon\n>>> 1\n1\n```", "use ```python"),
    ("``` {.text .output}\n1\n```", "belongs to no Python block"),
    ("<!--pytest.mark.skip-->\n```python\nx\n```", "take this comment away"),
    ("<!--pytest-codeblocks:skipfile-->\n```python\nx\n```", "take this comment away"),
    ("```python\nx", "never closed"),
    ("![alt](figure:x)", "before any block"),
    ('```python\n--8<-- "start/first-program.py:nothing"\n```', "it has the sections data"),
    ('```python\n--8<-- "start/no-page.py:nothing"\n```', "no such file"),
])
def test_problems_are_named(text, said):
    assert any(said in problem for _, problem in fences.read(text).problems)


def test_pages_hold_includes_only():
    text = '```python\n--8<-- "start/first-program.py:data"\nx = 1\n```\n\n```text\nx\n```\n'
    assert "only includes" in fences.read(text, "start/first-program").problems[0][1]
    assert fences.read(text).problems == []


def test_outputs_and_figures_belong_to_the_block_before_them():
    text = textwrap.dedent("""\
        ---
        kind: lesson
        ---
        ```python
        print(1)
        ```

        ``` {.text .output}
        1
        ```

        ![A line](figure:line)

        ```python
        y = 2
        ```
        """)
    first, second = fences.read(text).blocks
    assert (first.line, second.line) == (4, 14)
    assert first.output is not None
    assert first.output.text == "1\n"
    assert [(figure.name, figure.alt, figure.line) for figure in first.figures] == [("line", "A line", 12)]
    assert second.output is None


def test_an_output_is_the_next_fence():
    text = "```python\nprint(1)\n```\n\n```text\nx\n```\n\n``` {.text .output}\n1\n```"
    page = fences.read(text)
    assert page.blocks[0].output is None
    assert page.problems


def test_docstrings_with_fences_do_not_end_a_block():
    text = '```python\ndef f():\n    """One.\n\n    ```python\n    f()\n    ```\n    """\n```\n'
    page = fences.read(text)
    assert len(page.blocks) == 1
    assert shown.differences(text, page) == []


def test_a_real_page_is_read_with_its_sections():
    page = fences.read(page_path("start/first-program").read_text("utf-8"), "start/first-program")
    assert "data" in [block.name for block in page.blocks]
    assert "torch" in page.codes[0]
