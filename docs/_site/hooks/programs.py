"""The program of a page: all its Python blocks in order, with its headings as comments, as .py and as .ipynb.

It is read from the page's HTML, so that what is downloaded is what is shown: each block is a `div.language-python`.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass

PIECE = re.compile(
    r'<h(?P<level>[1-6])[^>]*>(?P<title>.*?)</h(?P=level)>'
    r'|<div class="(?=[^"]*\blanguage-python\b)(?=[^"]*\bhighlight\b)[^"]*">.*?<code[^>]*>(?P<code>.*?)</code></pre>',
    re.S,
)


@dataclass(frozen=True)
class Piece:
    """A heading (`level` 1 to 6) or a block of code (`level` 0)."""

    text: str
    level: int = 0


def pieces(content: str) -> list[Piece]:
    """Return the headings and the Python blocks of a rendered page, in order."""
    found = []
    for match in PIECE.finditer(content):
        if match["level"]:
            title = re.sub(r'<a class="headerlink".*?</a>', "", match["title"], flags=re.S)
            found.append(Piece(" ".join(text(title).split()), int(match["level"])))
        else:
            found.append(Piece(text(match["code"]).strip("\n")))
    return found


def text(markup: str) -> str:
    """Return the text of a piece of HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def blocks(found: list[Piece]) -> list[str]:
    """Return the code alone."""
    return [piece.text for piece in found if piece.level == 0]


def as_script(found: list[Piece]) -> str:
    """Return the program as one file, with the headings as comments."""
    parts = [piece.text if piece.level == 0 else f"# {'#' * piece.level} {piece.text}" for piece in found]
    return "\n\n".join(parts) + "\n"


def as_notebook(found: list[Piece]) -> str:
    """Return the program as a Jupyter notebook without outputs."""
    cells: list[dict[str, object]] = []
    for i, piece in enumerate(found):
        source = piece.text if piece.level == 0 else f"{'#' * piece.level} {piece.text}"
        cell: dict[str, object] = {"cell_type": "markdown", "id": f"cell-{i}", "metadata": {}, "source": source}
        if piece.level == 0:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
