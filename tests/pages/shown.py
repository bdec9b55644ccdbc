"""What the site shows: the Python blocks of a page after its own Markdown extensions have rendered it."""

from __future__ import annotations

import re
from typing import Any

import markdown
from bs4 import BeautifulSoup, Tag

from tests.pages.fences import Page, kind_of
from tests.pages.project import body, markdown_settings

AUTODOC = re.compile(r"^:::.*\n(?:[ \t]+.*\n|\n)*", re.M)  # mkdocstrings' part: its examples are tested as docstrings


def python_blocks(text: str) -> list[str]:
    """The code of all blocks that the rendered page marks as Python, in order."""
    extensions, options = markdown_settings()
    options = {**options, "pymdownx.highlight": {**options.get("pymdownx.highlight", {}), "pygments_lang_class": True}}
    options["pymdownx.snippets"] = {**options["pymdownx.snippets"], "check_paths": False}
    known: dict[str, Any] = {name: value for name, value in options.items() if name in extensions}
    html = markdown.Markdown(extensions=extensions, extension_configs=known).convert(AUTODOC.sub("", body(text)))
    return [pre.get_text() for pre in BeautifulSoup(html, "html.parser").find_all("pre") if is_python(pre)]


def is_python(pre: Tag) -> bool:
    """Whether a block is marked as Python: by the box around it, or by itself. Line numbers are no code."""
    around = [tag for tag in (pre, *pre.parents, *pre.find_all("code")) if "linenodiv" not in classes(tag)]
    marks = [name.removeprefix("language-") for tag in around for name in classes(tag) if name.startswith("language-")]
    return "linenodiv" not in classes(pre.parent) and any(kind_of(mark) == "python" for mark in marks)


def classes(tag: Tag | None) -> list[str]:
    """The classes of an element."""
    return [str(name) for name in tag.get_attribute_list("class") if name] if tag else []


def differences(text: str, page: Page) -> list[str]:
    """Say where the blocks shown are not the blocks tested."""
    shown, tested = [clean(code) for code in python_blocks(text)], [clean(block.code) for block in page.blocks]
    problems = []
    if len(shown) != len(tested):
        problems.append(f"the site shows {len(shown)} Python blocks, {len(tested)} are tested")
    for code in shown:
        if code not in tested:
            problems.append(f"shown but not tested (is its fence indented, quoted or closed in an odd way?):\n{code}")
    for block in page.blocks:
        if clean(block.code) not in shown:
            problems.append(f"line {block.line}: tested but not shown as Python:\n{clean(block.code)}")
    return problems


def clean(code: str) -> str:
    """Blank lines at the ends and spaces at the ends of lines do not show."""
    return "\n".join(line.rstrip() for line in code.strip("\n").split("\n"))
