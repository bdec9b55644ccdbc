"""Where things are: the pages, their programs, the settings of the site."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config import load_config

from tests.pages.paths import ROOT

SNIPPETS = ROOT / "snippets"
LANGUAGES = ("en", "zh")
# Markdown at the top of the repository whose blocks are tested as well; their code is written out, not included.
TOP = ("README.md", "README.zh.md", "CONTRIBUTING.md", "CONTRIBUTING.zh.md")
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.S)
INCLUDE = re.compile(r'^[ \t]*-{1,}8<-{1,}[ \t]+"(?P<path>[^":]+)(?::(?P<section>[\w-]+))?"[ \t]*$')
MARKER = re.compile(r"--8<-- \[(start|end):([\w-]+)\]")


@dataclass(frozen=True)
class Include:
    """One line `--8<-- "path:section"`."""

    path: str
    section: str | None
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.section}" if self.section else self.path


def page_name(path: Path) -> str | None:
    """The name both languages share (`training/optimizers`), or None if the file is no page of the site."""
    for lang in LANGUAGES:
        folder = ROOT / "docs" / lang
        if path.is_relative_to(folder):
            return path.relative_to(folder).with_suffix("").as_posix()
    return None


def page_names(lang: str = "en") -> list[str]:
    """The names of all pages in one language, in order."""
    folder = ROOT / "docs" / lang
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md"))


def page_path(name: str, lang: str = "en") -> Path:
    """The Markdown of a page."""
    return ROOT / "docs" / lang / f"{name}.md"


def proofs_path(name: str) -> Path:
    """The test file of a page: `training/weight-decay` has tests/snippets/training/test_weight_decay.py."""
    folder, _, last = name.rpartition("/")
    return ROOT / "tests" / "snippets" / folder / f"test_{last.replace('-', '_')}.py"


def front_matter(text: str) -> dict[str, Any]:
    """The settings between the `---` lines at the top of a page."""
    match = FRONT_MATTER.match(text)
    return (yaml.safe_load(match[1]) or {}) if match else {}


def body(text: str) -> str:
    """The page without its front matter, every line still on its own number."""
    match = FRONT_MATTER.match(text)
    return "\n" * match[0].count("\n") + text[match.end() :] if match else text


@cache
def markdown_settings() -> tuple[list[str], dict[str, dict[str, Any]]]:
    """The Markdown extensions of mkdocs.yml and their options; include folders are made absolute."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    options = {name: dict(value or {}) for name, value in config["mdx_configs"].items()}
    snippets = options.setdefault("pymdownx.snippets", {})
    snippets["base_path"] = [str(folder) for folder in include_folders(snippets)]
    return list(config["markdown_extensions"]), options


def include_folders(options: dict[str, Any]) -> list[Path]:
    """The folders in which includes are looked up."""
    base = options.get("base_path", ["."])
    return [ROOT / folder for folder in ([base] if isinstance(base, str) else base)]


def included_file(include: Include) -> Path | None:
    """The file that an include names, or None if there is none."""
    _, options = markdown_settings()
    for folder in options["pymdownx.snippets"]["base_path"]:
        if (path := Path(folder, include.path)).is_file():
            return path
    return None


def sections(text: str) -> dict[str, str]:
    """The named sections of a snippet or of an output file, without inner markers."""
    found: dict[str, list[str]] = {}
    open_: list[str] = []
    for line in text.split("\n"):
        if marker := MARKER.search(line):
            kind, name = marker.groups()
            if kind == "start":
                open_.append(name)
                found.setdefault(name, [])
            elif name in open_:
                open_.remove(name)
            continue
        for name in open_:
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}
