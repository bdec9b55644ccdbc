r"""Formulas: rendered by KaTeX while the site is built, each display formula with the seal of the test that proves it.

pymdownx.arithmatex leaves `<span class="arithmatex">\(…\)</span>` and the same with `div` and `\[…\]`. The search
plugin reads the page with those; KaTeX's markup, ten times as long, comes after it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import quickjs

KATEX = Path(__file__).parents[1] / "node_modules" / "katex" / "dist" / "katex.min.js"
FORMULA = re.compile(
    r'(?P<before>[(（「『“]*)'
    r'<(?P<tag>span|div) class="arithmatex"(?: data-search-exclude)?>\\(?P<open>[(\[])(?P<tex>.*?)\\[)\]]</(?P=tag)>'
    r'(?P<after>[,.;:!?)，。、；：！？）」』”]*)',
    re.S,
)
COMMENT = r"<!--\s*formula:\s*([\w.-]+)\s*-->"
SEALED = re.compile(rf'(?:<p>\s*)?{COMMENT}(?:\s*</p>)?\s*(<div class="arithmatex".*?</div>)', re.S)
LABEL = {"en": ("proven", "Proven by the test {}"), "zh": ("已证明", "由测试 {} 证明")}


class TexError(ValueError):
    """A formula that KaTeX does not take; the message is KaTeX's own first line."""


@cache
def context() -> quickjs.Context:
    """Return a JavaScript context with KaTeX in it: 0.1 s once, then a millisecond a formula."""
    js = quickjs.Context()
    js.eval(KATEX.read_text("utf-8"))
    js.eval("function render(tex, displayMode) { return katex.renderToString(tex, "
            "{displayMode, throwOnError: true, strict: 'error', output: 'htmlAndMathml'}) }")
    return js


@cache
def katex(tex: str, display: bool) -> str:
    """Return the HTML and MathML of one formula."""
    try:
        markup = str(context().eval(f"render({json.dumps(tex)}, {json.dumps(display)})"))
        return re.sub(r"<annotation .*?</annotation>", "", markup, flags=re.S)  # the TeX once more, for nobody
    except quickjs.JSException as error:
        raise TexError(str(error).splitlines()[0]) from None


def hidden_from_search(content: str) -> str:
    """Mark formulas so that the search index leaves their TeX out."""
    return re.sub(r'class="arithmatex"(?! data)', 'class="arithmatex" data-search-exclude', content)


def rendered(page: str, complain: Callable[[str], None]) -> str:
    """Replace the TeX of a page by KaTeX's HTML; a formula with a mistake stays as code and is complained about."""
    def one(match: re.Match[str]) -> str:
        tag, display, tex = match["tag"], match["open"] == "[", html.unescape(match["tex"]).strip()
        try:
            out = katex(tex, display)
        except TexError as error:
            complain(f"the formula {tex!r} is not valid: {error}")
            out = f"<code>{html.escape(tex)}</code>"
        formula = f'{match["before"]}<{tag} class="arithmatex">{out}</{tag}>{match["after"]}'
        if display or not match["before"] + match["after"]:
            return formula
        # a browser would begin a line with the full stop after a formula, or end one with the bracket before it
        return f'<span class="pointed">{formula}</span>'

    return FORMULA.sub(one, page)


def named(text: str) -> list[str]:
    """Return the ids of the formulas that a page proves, in order."""
    return [name for name in dict.fromkeys(re.findall(COMMENT, text)) if name != "definition"]


def sealed(content: str, lang: str, tests: Mapping[str, str], href: str, complain: Callable[[str], None]) -> str:
    """Give each proven formula its id and a link to the test that proves it; `tests` holds the test of each id."""
    def one(match: re.Match[str]) -> str:
        name, formula = match[1], match[2]
        if name == "definition":
            return f'<div class="formula">{formula}</div>'
        if name not in tests:
            complain(f"the formula {name} has no proof: no test of the page says @pytest.mark.proves({name!r})")
            return f'<div class="formula">{formula}</div>'
        label, title = LABEL[lang]
        seal = f'<a class="proof" href="{href}#{tests[name]}" title="{title.format(tests[name])}">{label}</a>'
        return f'<div class="formula" id="formula-{name}">{formula}{seal}</div>'

    return SEALED.sub(one, content)
