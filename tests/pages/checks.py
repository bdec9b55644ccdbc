"""Compare what a block did with what its page shows, and tell the author what to do."""

from __future__ import annotations

import textwrap

from tests.pages.compare import clean, diff, different_figure, same_text
from tests.pages.fences import Block
from tests.pages.programs import Result
from tests.pages.project import SNIPPETS, sections
from tests.pages.record import drawn

OUTPUTS = "if the new result is right, `make outputs` records it"


def check(block: Block, result: Result, own: str | None) -> list[str]:
    """All that is wrong with one block. `own` is the page's name, None where outputs are written out by hand."""
    if not result.ran:
        return ["not run: an earlier block of this page failed"]
    if result.error:
        return [f"the block raises\n{result.error.rstrip()}"]
    problems = []
    if result.err.strip():
        problems.append("the block writes to stderr (a warning, a log line or a progress bar): mend its cause, or "
                        f"print it on purpose.\n{result.err.rstrip()}")
    return problems + output(block, result, own) + (figures(block, result, own) if own else [])


def output(block: Block, result: Result, own: str | None) -> list[str]:
    """Compare the output fence with what was printed."""
    if block.output is None:
        if not clean(result.out):
            return []
        then = "then run `make outputs`; it printed" if own else "it printed"
        return ["the block prints, and a block that prints needs an output fence: after a blank line add\n\n"
                f"{fence(block, result, own)}\n\n{then}\n{clean(result.out)}"]
    if own is None:
        shown = block.output.text
    else:
        path = SNIPPETS / f"{own}.out"
        recorded = sections(path.read_text("utf-8")) if path.exists() else {}
        if block.name not in recorded and clean(result.out):
            return [f"snippets/{own}.out has no section `{block.name}` yet: run `make outputs`"]
        shown = recorded.get(block.name, "")
    if not clean(result.out):
        return ["the block prints nothing: take the output fence after it away"]
    if same_text(result.out, shown):
        return []
    advice = OUTPUTS if own else f"paste this:\n\n{fence(block, result, own)}"
    return [f"the page shows something else than the block prints; {advice}\n{diff(result.out, shown)}"]


def fence(block: Block, result: Result, own: str | None) -> str:
    """The lines to add to the page."""
    inside = f'--8<-- "{own}.out:{block.name}"' if own else clean(result.out)
    return f"``` {{.text .output}}\n{inside}\n```"


def figures(block: Block, result: Result, own: str) -> list[str]:
    """Compare the figure lines with what was drawn. (A docstring may draw: it has no place for a figure.)"""
    new = drawn(block.name, result)
    problems = []
    if len(result.shown) > 1:
        problems.append(f"the block shows {len(result.shown)} figures: one block, one figure (use plt.subplots or a "
                        "second section)")
    lines = {figure.name: figure for figure in block.figures}
    for name in new.keys() - lines.keys():
        problems.append(f"the block draws and the page does not show it: add\n\n![What one sees](figure:{name})\n")
    for name, figure in lines.items():
        path = SNIPPETS / f"{own}.{name}.svg"
        if not figure.alt.strip():
            problems.append(f"line {figure.line}: say between the brackets what one sees: ![…](figure:{name})")
        if name not in new:
            made = ", ".join(new) or "none"
            problems.append(f"line {figure.line}: no figure `{name}` comes from the block before it (it drew {made}): "
                            "end the block with plt.show() and name the figure after the section, or write NAME.svg")
        elif not path.exists():
            problems.append(f"{path.name} is not recorded yet: run `make outputs`")
        elif (difference := different_figure(new[name], path.read_text("utf-8"))):
            problems.append(f"the figure `{name}` is not what the block draws, {difference}; {OUTPUTS}")
    return problems


def message(place: str, block: Block, problems: list[str]) -> str:
    """A failure as the author reads it: where, the code, what to do."""
    code = textwrap.indent(block.code.rstrip(), "    ")
    return "\n\n".join([f"{place}:{block.line}: block `{block.name}`\n{code}", *problems])
