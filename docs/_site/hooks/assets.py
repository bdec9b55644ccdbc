"""Third-party files: taken from docs/_site/node_modules, put into the site, and kept from asking other hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

SITE = Path(__file__).parents[1]
MODULES = SITE / "node_modules"

# what Material's bundle holds -> what it should hold; each must be found exactly once
PATCHES = {
    '"https://unpkg.com/mermaid@11/dist/mermaid.min.js"':
        'new URL("../mermaid.min.js",document.querySelector("script[src*=\'/javascripts/bundle.\']").src).href',
    # for browsers from before 2020, which this site does not support
    '"https://unpkg.com/resize-observer-polyfill"': '"data:,"',
    # the search index is fetched when the search is first opened, not with every page
    '$(location.protocol!=="file:"),Je("search")': '$(!1),Je("search")',
}


def missing(modules: Path = MODULES) -> str:
    """Return a sentence when the npm packages are not there, else nothing."""
    if all((modules / name).is_dir() for name in ("katex", "mermaid")):
        return ""
    return "The site's front-end packages are missing: run `make setup` (or `npm ci` in docs/_site) once."


def stylesheet(folder: Path = SITE / "assets" / "css") -> str:
    """Return the site's own CSS files as one, in the order of their names, without comments and indentation."""
    css = "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.css")))
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    return re.sub(r"\n\s*", "\n", css).strip() + "\n"


def woff2_only(css: str) -> str:
    """Return KaTeX's CSS without the font formats that no browser of today asks for."""
    return re.sub(r',\s*url\([^)]*\.(?:woff|ttf)\)\s*format\("[a-z]+"\)', "", css)


def fonts(css: str, modules: Path = MODULES) -> dict[str, Path]:
    """Return the font files that `css` names as `fonts/…`, found in the fontsource packages by their names."""
    found = {}
    for name in sorted(set(re.findall(r"""url\(["']?fonts/([\w.-]+\.woff2)""", css))):
        paths = sorted(modules.glob(f"@fontsource*/*/files/{name}"))
        if not paths:
            raise FileNotFoundError(f"The font {name} of site.css is in no package: add its package to package.json.")
        found[name] = paths[0]
    return found


def collect(site: Path = SITE, modules: Path = MODULES) -> Iterator[tuple[str, str | Path]]:
    """Yield each shared file of the site: its address, and its text or the file to copy."""
    css = stylesheet(site / "assets" / "css")
    yield "assets/site.css", css
    for name, path in fonts(css, modules).items():
        yield f"assets/fonts/{name}", path
    for path in sorted((site / "assets").glob("*.*")):
        yield f"assets/{path.name}", path
    katex = modules / "katex" / "dist"
    small = woff2_only((katex / "katex.min.css").read_text("utf-8"))
    yield "assets/katex/katex.min.css", small
    for name in sorted(set(re.findall(r"url\(fonts/([\w-]+\.woff2)\)", small))):
        yield f"assets/katex/fonts/{name}", katex / "fonts" / name
    yield "assets/mermaid.min.js", modules / "mermaid" / "dist" / "mermaid.min.js"


def patched(bundle: str) -> tuple[str, list[str]]:
    """Return Material's bundle with the patches applied, and the literals not found exactly once."""
    wrong = [literal for literal in PATCHES if bundle.count(literal) != 1]
    for literal, replacement in PATCHES.items():
        bundle = bundle.replace(literal, replacement)
    return bundle, wrong


def patch(site: Path, complain: Callable[[str], None]) -> None:
    """Keep Material's script from asking other hosts, and from fetching what nobody asked for."""
    bundles = list((site / "assets" / "javascripts").glob("bundle.*.min.js"))
    for bundle in bundles:
        text, wrong = patched(bundle.read_text("utf-8"))
        bundle.write_text(text, "utf-8")
        for literal in wrong:
            complain(f"{bundle.name} does not hold {literal} exactly once: see PATCHES in assets.py")
    if len(bundles) != 1:
        complain(f"Material has {len(bundles)} bundles where one was expected: see patch() in assets.py")
