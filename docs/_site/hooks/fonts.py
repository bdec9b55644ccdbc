"""Fonts cut down to the characters that the site uses: half of a page's weight would be glyphs that no page shows."""

from __future__ import annotations

import hashlib
import html
import io
import logging
import os
import string
from collections.abc import Iterable
from pathlib import Path

import fontTools
from fontTools import subset

logging.getLogger("fontTools.subset").setLevel(logging.ERROR)
ALWAYS = frozenset(string.printable) - frozenset("\t\n\r\v\f")  # what a reader may type into the search field
LIGATURES = {"calt", "clig", "dlig", "liga", "rlig"}  # code is shown as it is typed: no arrows out of `->`


def characters(texts: Iterable[str]) -> frozenset[str]:
    """Return every character that the texts (HTML, entities resolved) can show."""
    return ALWAYS.union(*map(html.unescape, texts))


def smaller(font: bytes, shown: frozenset[str], ligatures: bool = True) -> bytes:
    """Return the woff2 font with only the glyphs for `shown`, its licence kept and its reserved name given up."""
    options = subset.Options(flavor="woff2", hinting=False, notdef_outline=True, obfuscate_names=True)
    options.name_IDs = [0, 1, 2, 4, 6, 13, 14]  # copyright, names, licence and its address
    if not ligatures:
        options.layout_features = [feature for feature in options.layout_features if feature not in LIGATURES]
    loaded = subset.load_font(io.BytesIO(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=map(ord, shown))
    subsetter.subset(loaded)
    out = io.BytesIO()
    subset.save_font(loaded, out, options)
    return out.getvalue()


def shrink(site: Path, cache: Path) -> None:
    """Cut down every woff2 file below `site`, after all its pages are written; `cache` remembers the results."""
    shown = characters(page.read_text("utf-8") for page in sorted(site.rglob("*.html")))
    cache.mkdir(parents=True, exist_ok=True)
    for path in sorted(site.rglob("*.woff2")):
        font = path.read_bytes()
        key = hashlib.sha256(font + fontTools.version.encode() + "".join(sorted(shown)).encode()).hexdigest()
        kept = cache / f"{key}.woff2"
        if not kept.exists():
            part = kept.with_suffix(f".{os.getpid()}")  # another build may be writing the same file
            part.write_bytes(smaller(font, shown, ligatures="mono" not in path.name))
            part.replace(kept)
        path.write_bytes(kept.read_bytes())
