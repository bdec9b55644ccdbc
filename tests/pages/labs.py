"""The labs as text: docs/labs/NAME.py, whose Markdown cells are English and Chinese in turn."""

from __future__ import annotations

import re
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode

from tests.pages import git, project
from tests.pages.paths import ROOT

CHINESE_CELL = re.compile(r'^# %% \[markdown\].*tags=\["zh"\].*$', re.M)
PINNED = re.compile(r'\s*translates="([^"]*)"')


def paths() -> list[Path]:
    """All labs."""
    return sorted((ROOT / "docs" / "labs").glob("*.py"))


def read(path: Path) -> NotebookNode:
    """The lab as a notebook with both languages."""
    return _parsed(path.read_text("utf-8"))


@cache
def _parsed(text: str) -> NotebookNode:
    return jupytext.reads(text, fmt="py:percent")


def language(cell: NotebookNode) -> str | None:
    """The language of a Markdown cell."""
    return next((tag for tag in cell.metadata.get("tags", []) if tag in ("en", "zh")), None)


def pairs(notebook: NotebookNode) -> list[tuple[NotebookNode, NotebookNode | None]]:
    """Each English cell with the Chinese cell right after it."""
    cells = [cell for cell in notebook.cells if cell.cell_type != "raw"]
    following = [*cells[1:], None]
    return [(cell, after if after is not None and language(after) == "zh" else None)
            for cell, after in zip(cells, following, strict=True) if language(cell) == "en"]


def fingerprint(cell: NotebookNode) -> str:
    """The first eight digits of the blob hash of a cell's text."""
    return git.blob_hash(cell.source.encode())[:8]


def in_language(notebook: NotebookNode, lang: str) -> str:
    """The Markdown of a lab in one language, as if it were a page."""
    return "\n\n".join(cell.source for cell in notebook.cells if language(cell) == lang)


def mark(path: Path) -> bool:
    """Write the fingerprints of the English cells into the Chinese ones; False if they were current."""
    text = path.read_text("utf-8")
    new = [fingerprint(english) for english, twin in pairs(_parsed(text)) if twin is not None]
    lines = iter(new)

    def pin(match: re.Match[str]) -> str:
        return f'{PINNED.sub("", match[0])} translates="{next(lines)}"'

    if len(CHINESE_CELL.findall(text)) != len(new):
        raise SystemExit(f"{path.relative_to(ROOT)}: each English cell is followed by its Chinese cell, and only there")
    marked = CHINESE_CELL.sub(pin, text)
    if marked == text:
        return False
    path.write_text(marked, "utf-8", newline="\n")
    return True


def front_matter(path: Path) -> dict[str, Any]:
    """The settings of a lab, as on a page."""
    first = read(path).cells[0]
    return project.front_matter(f"{first.source.strip()}\n") if first.cell_type == "raw" else {}


@cache
def hook() -> dict[str, Any]:
    """What turns labs into pages."""
    return runpy.run_path(str(ROOT / "docs" / "_site" / "hooks" / "labs.py"))


def code_and_outputs(path: Path) -> list[str]:
    """The code of a lab and what it printed, from the site's own run of it."""
    texts = []
    for cell in hook()["executed"](path, lambda _: None).cells:
        if cell.cell_type == "code":
            texts.append(cell.source)
            for output in cell.outputs:
                texts.append(str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", "")))
    return texts
