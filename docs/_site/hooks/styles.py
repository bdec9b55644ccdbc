"""The theme's style sheet without the rules that no page of the site and no script can use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TOKEN = re.compile(r"""/\*.*?\*/|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\(|\)|[{}]""", re.S)


def rules(css: str) -> Iterator[tuple[str, str | None]]:
    """Yield each rule as its head and its body; a statement such as `@import` has no body."""
    depth = brackets = start = 0
    head = ""
    for match in TOKEN.finditer(css):
        token = match[0]
        brackets += {"(": 1, ")": -1}.get(token, 0)
        if token == "{" and not brackets:
            if not depth:
                *statements, head = css[start:match.start()].split(";")
                yield from ((f"{one};", None) for one in statements if one.strip())
                start = match.end()
            depth += 1
        elif token == "}" and not brackets:
            depth -= 1
            if not depth:
                yield head, css[start:match.start()]
                start = match.end()


def parts(selector: str) -> list[str]:
    """Split a list of selectors at its commas, not at those in brackets."""
    found, depth, start = [], 0, 0
    for match in re.finditer(r"[()\[\],]", selector):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(match[0], 0)
        if match[0] == "," and not depth:
            found.append(selector[start:match.start()])
            start = match.end()
    return [*found, selector[start:]]


def usable(selector: str, known: set[str]) -> bool:
    """Whether all classes and ids that a selector asks for are known; what stands in brackets is not asked for."""
    bare = selector
    while (shorter := re.sub(r"\([^()]*\)", "", bare)) != bare:
        bare = shorter
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    return all(name.replace("\\", "") in known for name in re.findall(r"[.#]((?:[\w-]|\\.)+)", bare))


def purged(css: str, known: set[str]) -> str:
    """Return a style sheet with the usable rules, in their order."""
    out = []
    for head, body in rules(css):
        if body is None:
            out.append(head)
        elif re.match(r"\s*@(?:media|supports|container|layer)", head):
            if inner := purged(body, known):
                out.append(f"{head}{{{inner}}}")
        elif head.strip().startswith("@"):
            out.append(f"{head}{{{body}}}")
        elif kept := [one for one in parts(head) if usable(one, known)]:
            out.append(f"{','.join(kept)}{{{body}}}")
    return "".join(out)


def without_unused_variables(css: str, elsewhere: str) -> str:
    """Drop the icons that are defined as variables and used by no rule."""
    return re.sub(
        r"(--md-[\w-]+-icon[\w-]*):url\((?:\"[^\"]*\"|'[^']*'|[^)]*)\);?",
        lambda match: match[0] if re.search(rf"var\({match[1]}[,)]", css) or match[1] in elsewhere else "", css)


def words(text: str) -> set[str]:
    """Return everything in a page or a script that could be the name of a class or an id."""
    return set(re.findall(r"[A-Za-z_][\w-]*", text))


def shrink(site: Path) -> None:
    """Rewrite the theme's style sheets below `site`, after all its pages are written."""
    known: set[str] = set()
    for path in [*site.rglob("*.html"), *site.glob("assets/**/*.js")]:
        text = path.read_text("utf-8")
        if path.suffix == ".html":
            text = " ".join(re.findall(r"""\b(?:class|id)=(?:"[^"]*"|'[^']*'|[^\s>]+)""", text))
        known |= words(text)
    own = "".join(path.read_text("utf-8") for path in site.glob("assets/*.css"))
    for path in site.glob("assets/stylesheets/*.css"):
        css = purged(path.read_text("utf-8"), known)
        path.write_text(without_unused_variables(css, own), "utf-8")
