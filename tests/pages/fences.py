"""Read a page: its Python blocks, the output and the figures that follow each, and what is wrong with its fences.

pytest-codeblocks extracts the blocks. Alone it would pass over ` ```py`, ` ```python title="x"`, `{.python}` and `~~~`,
and it knows no includes. So the page is first rewritten: each fence that the site shows as Python becomes one that
pytest-codeblocks knows, its line number in the info string, and includes are expanded by the site's own extension.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from functools import cache

import markdown
from pygments.lexers import get_lexer_by_name
from pygments.lexers.python import PythonConsoleLexer, PythonLexer
from pygments.lexers.shell import BashLexer
from pygments.util import ClassNotFound
from pytest_codeblocks import extract_from_buffer

from tests.pages.project import INCLUDE, Include, body, included_file, markdown_settings, sections

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<tick>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
FIGURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(figure:(?P<name>[\w-]+)\)")
HEADING = re.compile(r"^#{1,6} ")
COMMAND = re.compile(r"<!--[-\s]*(pytest-codeblocks:|pytest\.mark\.)")
LONG = "`" * 24  # longer than any fence inside an included docstring


@dataclass
class Fence:
    """A fence as it is written on the page."""

    line: int
    kind: str  # python, output, console, shell or other
    info: str
    includes: list[Include] = field(default_factory=list)
    literal: list[str] = field(default_factory=list)  # lines that are not includes
    text: str = ""


@dataclass
class Figure:
    """An image line `![alt](figure:name)`."""

    line: int
    name: str
    alt: str


@dataclass
class Block:
    """A Python block and what is said about it."""

    name: str
    line: int
    code: str
    includes: list[Include]
    output: Fence | None = None
    figures: list[Figure] = field(default_factory=list)


@dataclass
class Page:
    """The blocks of a page in order, and the problems found while reading."""

    blocks: list[Block]
    problems: list[tuple[int, str]]

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(block.code for block in self.blocks)


@cache
def kind_of(info: str) -> str:
    """What a fence is, from its info string: `python title="x"`, `{.py .y}` and `py` are all python."""
    info = info.strip()
    match = re.match(r"\{\s*\.([\w+-]+)|\.?([\w+-]+)", info)
    name = (match[1] or match[2]).lower() if match else ""
    if re.search(r"\.output\b", info):
        return "output"
    try:
        lexer = type(get_lexer_by_name(name)) if name else None
    except ClassNotFound:
        return "other"
    if name in {"ipython", "ipython3"} or lexer is PythonConsoleLexer:
        return "console"
    return {PythonLexer: "python", BashLexer: "shell"}.get(lexer, "other") if lexer else "other"


def read(text: str, own: str | None = None) -> Page:
    """Read a page. `own` is the page's name if its code must be included (pages of the site), else None."""
    problems: list[tuple[int, str]] = []
    marked, fences, figures = rewrite(body(text), problems)
    texts = {}
    for found in extract_from_buffer(io.StringIO(expand(marked)), max_num_lines=100_000):
        _, _, line = (found.syntax or "").partition("@")
        texts[int(line)] = found.code
    blocks: list[Block] = []
    last: Block | None = None  # an output belongs to the Python block before it, if no other fence is between them
    for fence in fences:
        fence.text = texts.get(fence.line, "")
        if fence.kind == "python":
            last = Block(name_of(fence), fence.line, fence.text, fence.includes)
            blocks.append(last)
            if own and fence.literal:
                problems.append((fence.line, "a page holds no Python, only includes: move these lines into a section "
                                             f'of snippets/{own}.py and write `--8<-- "{own}.py:NAME"`'))
        elif fence.kind == "output" and last is not None:
            last.output, last = fence, None
        elif fence.kind == "output":
            problems.append((fence.line, "this output belongs to no Python block: put it right after the block"))
        else:
            last = None
            problems += [(fence.line, advice)] if (advice := ADVICE.get(fence.kind)) else []
    attach(figures, blocks, problems)
    problems += names(blocks, own)
    return Page(blocks, sorted(problems))


ADVICE = {
    "shell": "a shell fence would be executed by pytest-codeblocks: use ```console for commands that are only read",
    "console": "Python sessions cannot be copied: use ```python, and an output fence ``` {.text .output} after it",
}


def rewrite(text: str, problems: list[tuple[int, str]]) -> tuple[str, list[Fence], list[Figure]]:
    """Turn each fence into ```` ```kind @line ````; return the text, the fences and the figure lines."""
    out: list[str] = []
    fences: list[Fence] = []
    figures: list[Figure] = []
    close: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        match = FENCE.match(line)
        if close is not None:
            if line.rstrip() == close:  # the same marks at the same indentation, as on the site
                line, close = line.rstrip().rstrip("`~") + LONG, None
            elif include := INCLUDE.match(line):
                line = added(Include(include["path"], include["section"], number), line, fences[-1], problems)
            elif line.strip():
                fences[-1].literal.append(line)
        elif match:
            close = match["indent"] + match["tick"]
            fences.append(Fence(number, kind_of(match["info"]), match["info"]))
            line = f"{match['indent']}{LONG}{fences[-1].kind} @{number}"
        elif COMMAND.search(line):
            problems.append((number, "every block is run and compared: take this comment away"))
            line = ""
        else:
            figures += [Figure(number, found["name"], found["alt"]) for found in FIGURE.finditer(line)]
            if include := INCLUDE.match(line):
                line = added(Include(include["path"], include["section"], number), line, None, problems)
        out.append(line)
    if close is not None:
        problems.append((fences[-1].line, "this fence is never closed"))
        out.append(close.rstrip("`~") + LONG)
    return "\n".join(out), fences, figures


def added(include: Include, line: str, fence: Fence | None, problems: list[tuple[int, str]]) -> str:
    """Note an include; return its line, or nothing if there is nothing to include."""
    if fence is not None:
        fence.includes.append(include)
    path = included_file(include)
    known = sections(path.read_text("utf-8")) if path else {}
    if path and (include.section is None or include.section in known):
        return line
    if not include.path.endswith(".out"):  # a missing output is the block's own failure: it may not be recorded yet
        what = f"it has the sections {', '.join(known) or '(none)'}" if path else "there is no such file"
        problems.append((include.line, f"cannot include `{include}`: {what}"))
    return ""


def expand(text: str) -> str:
    """Replace includes by what they name, with the site's own extension and options."""
    _, options = markdown_settings()
    own = {key: value for key, value in options["pymdownx.snippets"].items() if key != "auto_append"}
    md = markdown.Markdown(extensions=["pymdownx.snippets"], extension_configs={"pymdownx.snippets": own})
    return "\n".join(md.preprocessors["snippet"].run(text.split("\n")))


def name_of(fence: Fence) -> str:
    """A block is called after its last section, or after its line."""
    if not fence.includes:
        return f"line {fence.line}"
    last = fence.includes[-1]
    return last.section or last.path.rsplit("/", 1)[-1].removesuffix(".py")


def attach(figures: list[Figure], blocks: list[Block], problems: list[tuple[int, str]]) -> None:
    """Give each figure line to the block before it."""
    for figure in figures:
        before = [block for block in blocks if block.line < figure.line]
        if before:
            before[-1].figures.append(figure)
        else:
            problems.append((figure.line, f"figure:{figure.name} stands before any block that could draw it"))


def names(blocks: list[Block], own: str | None) -> list[tuple[int, str]]:
    """Check the names of blocks and of their outputs."""
    problems = []
    seen: set[str] = set()
    for block in blocks:
        if block.name in seen:
            problems.append((block.line, f"two blocks of the page end with the section `{block.name}`: rename one"))
        seen.add(block.name)
        if own and block.output:
            want, got = f"{own}.out:{block.name}", [str(include) for include in block.output.includes]
            if got != [want] or block.output.literal:
                problems.append((block.output.line, f'the output of this block is `--8<-- "{want}"` and nothing else'))
    return problems
