"""Notebook pages in the look of the other pages.

mkdocs-jupyter makes 590 KB of JupyterLab of an executed notebook. Only the outputs of the cells are kept. Markdown and
code go through the site's own Markdown: headings, links, formulas and code blocks are those of any page.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import lru_cache

from bs4 import BeautifulSoup, Tag

from docs._site.hooks.figures import named, quoted, themed

PLACE = "<!-- outputs of cell {} -->"


def markdown(cells: list[dict]) -> str:
    """Return the notebook as a Markdown page: code as fences, and a comment where a cell's outputs belong."""
    parts, number = [], 0
    for cell in cells:
        if cell["cell_type"] == "markdown":
            parts.append(known_links(cell["source"]))
        elif cell["cell_type"] == "code":
            ticks = max([3, *(len(run) + 1 for run in re.findall(r"^\s*(`{3,})", cell["source"], re.M))])
            parts += [f"{'`' * ticks}python\n{cell['source']}\n{'`' * ticks}", PLACE.format(number)]
            number += 1
    return "\n\n".join(parts) + "\n"


def known_links(source: str) -> str:
    """Return Markdown in which links to a lab end in .ipynb, the name under which MkDocs knows it."""
    return re.sub(r"(\]\([^)\s]*labs/[\w-]+|\]\([\w-]+)\.py(?=[#)])", r"\1.ipynb", source)


def filled(content: str, outputs: list[list[str]]) -> str:
    """Put the outputs of each cell where its comment stands."""
    for number, parts in enumerate(outputs):
        content = content.replace(PLACE.format(number), "\n".join(parts))
    return content


@lru_cache(maxsize=64)
def outputs(page: str, alts: tuple[str, ...]) -> list[list[str]]:
    """Return the outputs of each code cell of an nbconvert page, without JupyterLab's markup."""
    soup = BeautifulSoup(page, "html.parser")
    cells = soup.select(".jp-Notebook > .jp-CodeCell")
    return [[one(output, alt, f"c{i}-{j}") for j, output in enumerate(cell.select(".jp-OutputArea-output"))]
            for i, (cell, alt) in enumerate(zip(cells, alts, strict=True))]


def one(output: Tag, alt: str, prefix: str) -> str:
    """Return one output: a figure, text, or HTML such as a table."""
    kind = " ".join(output.get("class") or [])
    inner = output.decode_contents().strip()
    if "jp-RenderedSVG" in kind:
        svg = inner
        if match := re.search(r"data:image/svg\+xml;base64,([^\"]+)", inner):
            svg = base64.b64decode(match[1]).decode("utf-8")
        return f'<figure class="output">{named(themed(svg), alt, prefix)}</figure>'
    if "jp-RenderedImage" in kind and (image := output.find("img")):
        return f'<figure class="output"><img src="{image["src"]}" alt="{quoted(alt)}" loading="lazy"></figure>'  # type: ignore[index]
    if "jp-RenderedText" in kind and (pre := output.find("pre")):
        return ('<div class="language-text output highlight"><pre><span></span><code>'
                f"{pre.decode_contents()}</code></pre></div>")  # type: ignore[union-attr]
    return f'<div class="output">{inner}</div>'


def alternatives(cells: list[dict], lang: str, complain: Callable[[str], None]) -> tuple[str, ...]:
    """Return the text alternative of each code cell; a figure without one is complained about."""
    alts = []
    for number, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        alt = cell["metadata"].get(f"alt_{lang}", "")
        drawn = any(key.startswith("image/") for out in cell["outputs"] for key in out.get("data", {}))
        if drawn and not alt:
            first = (cell["source"].splitlines() or [""])[0]
            complain(f'code cell {number + 1} (`{first}`) draws a figure: say what one sees, # %% alt_{lang}="…"')
        alts.append(alt)
    return tuple(alts)


def texts(cells: list[dict]) -> list[list[str]]:
    """Return the outputs of each code cell as Markdown, for llms.txt: text as a fence, a figure by nothing."""
    found = []
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell["outputs"]
                 if not any(key.startswith("image/") for key in out.get("data", {}))]
        found.append([f"```text\n{part.rstrip()}\n```" for part in parts if part.strip()])
    return found
