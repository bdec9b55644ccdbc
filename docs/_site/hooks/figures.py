"""Figures that follow the page: no ground of their own, drawn in the colour of the text around them.

`style()` is for whoever draws: the recorder of `make outputs` and the labs' kernel. `themed()` is for whoever stores or
shows what was drawn. This file imports nothing but the standard library, so that a kernel can run it by its path.
"""

from __future__ import annotations

import re

INK = "#012345"  # a colour nobody would choose: where it is found in a figure, the text's own colour belongs
# the first eight colours of a figure: at least 3:1 against the light and the dark page
CYCLE = ("#4f78e8", "#d06a15", "#258a45", "#cf4b97", "#8663e0", "#0f8a9d", "#a8781c", "#7a7f87")


def style() -> dict[str, object]:
    """Return the Matplotlib settings (`rcParams`) of every figure on the site."""
    from cycler import cycler  # comes with Matplotlib; imported late, because showing a figure needs neither

    ground = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "figure.edgecolor", "savefig.edgecolor")
    ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color",
           "legend.edgecolor", "patch.edgecolor", "grid.color", "hatch.color", "boxplot.flierprops.color")
    return {
        **dict.fromkeys(ground, "none"),
        **dict.fromkeys(ink, INK),
        "legend.framealpha": 0.0,
        "legend.frameon": False,
        "axes.prop_cycle": cycler(color=CYCLE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.figsize": (7.0, 3.5),
        "figure.constrained_layout.use": True,
        "font.family": "sans-serif",
        "font.size": 10.0,
        "grid.alpha": 0.25,
        "lines.linewidth": 1.8,
        "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
        "svg.hashsalt": "dlguide",  # ids do not change from run to run
    }


def themed(svg: str) -> str:
    """Return the SVG element alone, in the page's colours, without what changes from one run to the next.

    The XML declaration, Matplotlib's metadata (which holds the date), unused ids and comments are dropped; the ink
    becomes `currentColor`; a figure without a `viewBox` cannot shrink on a phone, so its own size is used for one.
    """
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    # Matplotlib's rule for `*` would reach the whole page: it becomes attributes of this figure alone
    svg = re.sub(r"<style[^>]*>\*\{[^}]*\}</style>", "", svg)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    svg = re.sub(r"\sfont-family: [^;\"]*;?", "", svg)  # the page's own font, set once for the whole figure
    if "stroke-linejoin=" not in svg[:svg.index(">")]:
        svg = svg.replace("<svg", '<svg stroke-linejoin="round" stroke-linecap="butt" font-family="sans-serif"', 1)
    svg = re.sub(re.escape(INK), "currentColor", svg, flags=re.I)
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r'\s+id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    return re.sub(r"\n\s*\n+", "\n", svg).strip()


def slim(svg: str) -> str:
    """Return a drawing in fewer bytes: a tenth of a point is exact enough, and nobody reads its line breaks."""
    def path(match: re.Match[str]) -> str:
        commands, last = [], ""
        for command in re.findall(r"[MLHVCSQTAZmlhvcsqtaz][^MLHVCSQTAZmlhvcsqtaz]*", re.sub(r"\s+", " ", match[1])):
            # after M and L, and only there, further pairs of numbers are lines
            commands.append(command[1:].lstrip() if command[0] == "L" and last in ("M", "L") else command)
            last = command[0]
        return f' d="{shorter("".join(commands).strip())}"'

    def shorter(text: str) -> str:
        return re.sub(r"-?\d+\.\d{2,}", lambda number: f"{round(float(number[0]), 1):g}", text)

    svg = re.sub(r'\s+d="([^"]*)"', path, svg)
    svg = re.sub(r'\s(?:x|y|cx|cy|r|width|height|transform|points)="[^"]*"', lambda one: shorter(one[0]), svg)
    svg = re.sub(r'\s+transform="rotate\(-?0 [^"]*\)"', "", svg)
    svg = re.sub(r' style="[^"]*"', lambda one: re.sub(r"([:;])\s+", r"\1", one[0]), re.sub(r">\s+<", "><", svg))
    for _ in range(3):  # groups that hold one group and say nothing
        svg = re.sub(r"<g>(<(?:use|path|text)\b[^<>]*(?:/>|>[^<>]*</(?:use|path|text)>))</g>", r"\1", svg)
    return svg


def named(svg: str, alt: str, prefix: str) -> str:
    """Return `svg` with its text alternative, and with ids that no other figure of the page uses."""
    for name in sorted(set(re.findall(r'\bid="([^"]+)"', svg))):
        svg = re.sub(rf'\bid="{re.escape(name)}"', f'id="{prefix}-{name}"', svg)
        svg = re.sub(rf"#{re.escape(name)}(?![\w-])", f"#{prefix}-{name}", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:role|aria-label|aria-labelledby|aria-describedby)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{quoted(alt)}">{rest}'


def set_aside(content: str) -> tuple[str, list[str]]:
    """Return a page with its drawings taken out, and the drawings.

    Until the search has read the page: thousands of lines that it would have to parse, and labels nobody searches for.
    """
    drawings: list[str] = []

    def take(match: re.Match[str]) -> str:
        drawings.append(match[2])
        return f"{match[1]}<!-- drawing {len(drawings) - 1} -->"

    return re.sub(r'(<figure class="output[^>]*>)(<svg.*?</svg>)', take, content, flags=re.S), drawings


def put_back(page: str, drawings: list[str]) -> str:
    """Return a page with its drawings where they were."""
    return re.sub(r"<!-- drawing (\d+) -->", lambda match: drawings[int(match[1])], page)


def quoted(text: str) -> str:
    """Return `text` as it stands inside a double-quoted attribute."""
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
