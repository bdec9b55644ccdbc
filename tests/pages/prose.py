"""The prose of a page: what is left without its fences, and what stands in it: headings, formulas, links, tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.pages.fences import FENCE, kind_of
from tests.pages.project import INCLUDE, body

HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*(?:\{([^{}]*)\})?\s*$")
FORMULA_ID = re.compile(r"^<!--\s*formula:\s*(.*?)\s*-->$")
DISPLAY = re.compile(r"\$\$(.*?)\$\$|\\\[(.*?)\\\]", re.S)
NAMED = re.compile(rf"<!--\s*formula:\s*([\w-]+)\s*-->\s*(?:{DISPLAY.pattern})", re.S)
INLINE = re.compile(r"(?<![\\$\w])\$(?![\s$])((?:\\.|[^$\\\n])+?)(?<!\s)\$(?![\w$])")
CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(\s*([^)\s]+)[^)]*\)")
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?<!!)\[[^\[\]]+\]\[([\w.-]+)\]"
                  r"|<(https?:[^>]+)>|href=\"([^\"]+)\"")
BOX = re.compile(r"^\s*(?:!!!|\?\?\?\+?)\s+([\w-]+)")
TABLE = re.compile(r"^\s*\|.*\|\s*$")


@dataclass
class Section:
    """What stands under one heading."""

    level: int
    id: str | None
    line: int
    inline: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


@dataclass
class Skeleton:
    """What both languages of a page must have in common."""

    sections: list[Section]
    fences: list[str]  # the language of each fence, and what it includes
    formulas: list[tuple[int, str, str | None]]  # line, formula without spaces and words, id
    boxes: list[str]
    images: list[str]
    tables: list[tuple[int, int]]  # rows and columns
    tex: dict[str, str] = field(default_factory=dict, compare=False)  # of each formula by its id, as it was written


def without_fences(text: str) -> tuple[str, list[str]]:
    """Blank the fences, keeping line numbers; return the rest, and a word about each fence."""
    kept, fences, close = [], [], None
    for line in body(text).split("\n"):
        match = FENCE.match(line)
        if close is not None:
            if line.rstrip() == close:
                close = None
            elif include := INCLUDE.match(line):
                fences[-1] += f" {include['path']}:{include['section']}"
            elif fences[-1].startswith("console"):
                fences[-1] += f"\n{re.sub(r'(^| )#.*', '', line).strip()}"  # remarks are translated
            kept.append("")
        elif match:
            close = match["indent"] + match["tick"]
            kind = kind_of(match["info"])
            fences.append(kind if kind in ("python", "output") else match["info"].strip())
            kept.append("")
        else:
            kept.append(line)
    return "\n".join(kept), fences


@cache
def skeleton(path: Path) -> Skeleton:
    """Read the structure of a page."""
    text, fences = without_fences(path.read_text("utf-8"))
    written = {name: (one or other).strip() for name, one, other in NAMED.findall(text) if name != "definition"}
    text, formulas = display(text)
    found = Skeleton([Section(0, "", 0)], fences, formulas, [], [], [], written)
    rows = columns = 0
    for number, line in enumerate(text.split("\n"), 1):
        if heading := HEADING.match(line):
            ids = re.findall(r"#([\w-]+)", heading[3] or "")
            found.sections.append(Section(len(heading[1]), ids[0] if ids else None, number))
        if box := BOX.match(line):
            found.boxes.append(box[1])
        if TABLE.match(line):
            rows, columns = rows + 1, CODE.sub("", line).replace(r"\|", "").count("|") - 1
        elif rows:
            found.tables.append((rows, columns))
            rows = 0
        bare = CODE.sub("", line)
        found.images += [target for _, target in IMAGE.findall(bare)]
        found.sections[-1].inline += [ignoring_text(formula) for formula in INLINE.findall(bare)]
        found.sections[-1].links += ["".join(groups) for groups in LINK.findall(INLINE.sub("", bare))]
    return found


def display(text: str) -> tuple[str, list[tuple[int, str, str | None]]]:
    """Blank the display formulas; return the rest and each formula with its line and the id named before it."""
    formulas = []

    def blank(match: re.Match[str]) -> str:
        before = text[: match.start()].rstrip().rsplit("\n", 1)[-1].strip()
        named = FORMULA_ID.match(before)
        line = text.count("\n", 0, match.start()) + 1
        formulas.append((line, ignoring_text(match[1] or match[2]), named[1] if named else None))
        return re.sub(r"[^\n]", " ", match[0])

    return DISPLAY.sub(blank, text), formulas


def ignoring_text(formula: str) -> str:
    """A formula without the words in it and without its spaces."""
    return re.sub(r"\s+", "", re.sub(r"\\text\{[^{}]*\}", r"\\text{}", formula))


def words(text: str) -> str:
    """The prose that a reader sees, line by line: fences, comments, link targets, tags and attributes are blank."""
    text, _ = without_fences(text)
    text = re.sub(r"<!--.*?-->", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[([^\[\]]+)\]\[[\w.-]*\]", r"\1", text)
    text = re.sub(r"<https?:[^>]+>|</?[a-zA-Z][^<>]*>", "", text)
    text = re.sub(r"\{[^{}\n]*[#.][\w-]+[^{}\n]*\}[ \t]*$", "", text, flags=re.M)
    return re.sub(r"^[ \t]*--8<--.*$", "", text, flags=re.M)
