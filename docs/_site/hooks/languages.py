"""Both languages from one mkdocs.yml: after the default language, the same configuration builds the others.

`DLGUIDE_LANGS=en` leaves the others out, for a fast preview. While serving, a language none of whose sources changed is
not built again: its pages are put back from where the last build left them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.utils import CountHandler

HTML_LANG = {"en": "en", "zh": "zh-Hans"}
SHARED = re.compile(r'(?P<before>(?:href|src)="|"search":\s*")(?P<up>(?:\.\./)*|\./|/[^"]*?)assets/')


def default(config: MkDocsConfig) -> str:
    """Return the language at the root of the site."""
    return next(iter(config.extra["languages"]))


def wanted(languages: Iterable[str]) -> list[str]:
    """Return the languages to build."""
    chosen = os.environ.get("DLGUIDE_LANGS", "").replace(",", " ").split()
    return [lang for lang in languages if not chosen or lang in chosen]


def translated(nav: list[Any], titles: dict[str, str]) -> list[Any]:
    """Return the nav with its section titles translated; a title without a translation is a KeyError."""
    out: list[Any] = []
    for item in nav:
        if isinstance(item, dict):
            ((key, value),) = item.items()
            item = {titles[key]: translated(value, titles) if isinstance(value, list) else value}
        out.append(item)
    return out


def shared(page: str, below: str) -> str:
    """Return a page of a language that lives in the folder `below`, using the assets of the root."""
    def up(match: re.Match[str]) -> str:
        way = match["up"]
        way = way.removesuffix(below) if way.startswith("/") else f"{way.removeprefix('./')}../"
        return f"{match['before']}{way}assets/"

    return SHARED.sub(up, page) if below else page


def child(config: MkDocsConfig, lang: str) -> MkDocsConfig:
    """Return the configuration of another language."""
    spec = config.extra["languages"][lang]
    other = load_config(
        config.config_file_path,
        docs_dir=spec["docs_dir"],
        site_dir=str(Path(config.site_dir) / spec["dir"]),
        site_url=(config.site_url or "/") + spec["dir"],
        site_description=spec["site_description"],
        copyright=spec["copyright"],
        nav=translated(deepcopy(config["nav"]), spec["nav"]),
        strict=False,  # its warnings are counted with those of the language that builds it
    )
    other.theme["language"] = lang
    other.extra["lang"] = lang
    return other


def fingerprint(config: MkDocsConfig, lang: str) -> str:
    """Return a digest of the sources of a language: names, times and sizes."""
    root = Path(config.config_file_path).parent
    mine = root / config.extra["languages"][lang]["docs_dir"]
    others = [root / spec["docs_dir"] for code, spec in config.extra["languages"].items() if code != lang]
    site = root / "docs" / "_site"
    folders = [mine, root / "docs" / "labs", site / "hooks", site / "theme", site / "assets", root / "snippets",
               root / "src", root / "tests" / "snippets"]
    files = [root / "mkdocs.yml", root / "docs" / "glossary.yml", site / "package-lock.json"]
    # a page that appears or disappears elsewhere changes the links between the languages
    pages = sorted(path.relative_to(folder).as_posix() for folder in others for path in folder.rglob("*.md"))
    key = hashlib.sha256("\n".join([config.site_url or "", *pages]).encode())
    for path in [*files, *sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())]:
        if path.exists() and path.suffix != ".pyc":
            stat = path.stat()
            key.update(f"{path} {stat.st_mtime_ns} {stat.st_size}\n".encode())
    return key.hexdigest()


class Others:
    """Builds the other languages, and remembers while serving what it built last."""

    def __init__(self) -> None:
        self.command: Literal["build", "gh-deploy", "serve"] = "build"
        self.kept: dict[str, str] = {}

    def build(self, config: MkDocsConfig, lang: str, store: Path, dirty: bool = False) -> bool:
        """Build one language below the site of `config`; return False when the last build was put back instead."""
        serving = self.command == "serve"
        target = Path(config.site_dir) / config.extra["languages"][lang]["dir"]
        now = fingerprint(config, lang) if serving else ""
        if serving and self.kept.get(lang) == now and store.is_dir():
            shutil.copytree(store, target, dirs_exist_ok=True)
            return False
        other = child(config, lang)
        other.plugins.on_startup(command=self.command, dirty=dirty)
        try:
            build(other, dirty=dirty)
        finally:
            other.plugins.on_shutdown()
        shutil.rmtree(target / "assets", ignore_errors=True)
        (target / "404.html").unlink(missing_ok=True)  # a host serves one, and it speaks every language
        if serving:
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(target, store)
            self.kept[lang] = now
        return True


def forgiving(config: MkDocsConfig) -> None:
    """Turn strictness off: while serving, a warning is printed and the page is shown."""
    config.strict = False
    for name in ("mkdocs", "properdocs"):
        logger = logging.getLogger(name)
        for handler in [handler for handler in logger.handlers if isinstance(handler, CountHandler)]:
            logger.removeHandler(handler)
