"""`--record`: write what a page's program printed and drew, where the page includes it from."""

from __future__ import annotations

import datetime
import re
import sys
from importlib.metadata import version

from tests.pages.compare import different_figure, same_text
from tests.pages.fences import Page
from tests.pages.programs import Run, write
from tests.pages.project import SNIPPETS, sections

HEADER = re.compile(r"# recorded \S+ \| (?P<versions>.*) \| [\d.]+ s")


def versions() -> str:
    """The versions that a stamp names."""
    return f"torch {version('torch').split('+')[0]} | Python {sys.version_info.major}.{sys.version_info.minor}"


def header(seconds: float) -> str:
    """The first line of an .out file: the build makes the page's stamp from it."""
    today = datetime.datetime.now(datetime.UTC).date()
    return f"# recorded {today} | {versions()} | {seconds:.1f} s"


def record(name: str, page: Page, run: Run) -> list[str]:
    """Write the outputs and figures of the page; what is unchanged is left alone. Returns what was written."""
    if not page.blocks or not all(result.ran and not result.error for result in run.blocks):
        return []
    path = SNIPPETS / f"{name}.out"
    old = path.read_text("utf-8") if path.exists() else ""
    new = outputs(old, page, run)
    if new != old:
        write(path, new)
    return ([f"{name}.out"] if new != old else []) + figures(name, page, run)


def outputs(old: str, page: Page, run: Run) -> str:
    """The text of the .out file: a header, then a section for each block that prints, in the order of the page."""
    known, parts = sections(old), []
    for block, result in zip(page.blocks, run.blocks, strict=True):
        if result.out.strip():
            before = known.get(block.name)
            text = before if before is not None and same_text(result.out, before) else result.out.rstrip()
            parts.append(f"# --8<-- [start:{block.name}]\n{text}\n# --8<-- [end:{block.name}]\n")
    body = "".join(parts)
    first, _, rest = old.partition("\n")
    match = HEADER.fullmatch(first)
    kept = match and match["versions"] == versions() and rest == body
    return old if kept else f"{header(run.seconds)}\n{body}"


def figures(name: str, page: Page, run: Run) -> list[str]:
    """Write the figures that the page shows and delete those that it shows no more."""
    written, wanted = [], set()
    for block, result in zip(page.blocks, run.blocks, strict=True):
        for figure, svg in drawn(block.name, result).items():
            path = SNIPPETS / f"{name}.{figure}.svg"
            wanted.add(path)
            if not path.exists() or different_figure(svg, path.read_text("utf-8")):
                write(path, svg.rstrip() + "\n")
                written.append(path.name)
    for path in (SNIPPETS / name).parent.glob(f"{(SNIPPETS / name).name}.*.svg"):
        if path not in wanted:
            path.unlink()
            written.append(f"{path.name} (deleted)")
    return written


def drawn(block: str, result: object) -> dict[str, str]:
    """The figures of a block: the one shown is named after the block, those written after their files."""
    shown, written = getattr(result, "shown", ()), getattr(result, "written", ())
    return {**({block: shown[0]} if shown else {}), **dict(written)}
