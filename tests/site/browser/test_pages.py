"""Every page, in both languages: quiet, from one host, light, readable, and usable on a phone."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.site.browser.pages import LANGUAGES, PAGES, ROOT, program, url

BUDGET = 200_000  # bytes of a whole page before any click, compressed, fonts included
AXE = ROOT / "docs/_site/node_modules/axe-core/axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


def violations(page: Any) -> list[str]:
    """What axe finds on the page as it stands: rule, number of places, the first of them."""
    found = page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]
    first = {one["id"]: one["nodes"][0] for one in found}
    return [f"{one['id']} ({len(one['nodes'])}x): {first[one['id']]['failureSummary']} {first[one['id']]['html'][:200]}"
            for one in found]


# what stands in a block whose output begins above the block's lower edge
COVERED = """() => [...document.querySelectorAll('.highlight + .output.highlight')].filter(output => {
  const code = output.previousElementSibling.getBoundingClientRect()
  return code.height && output.getBoundingClientRect().top < code.bottom - 1
}).map(output => output.previousElementSibling.innerText.slice(0, 80))"""


@pytest.mark.parametrize(("language", "source"), PAGES)
def test_page(visit, language: str, source: str) -> None:
    seen = visit(LANGUAGES[language] + url(source), color_scheme="light")
    page = seen.page

    weight = seen.weight()
    heaviest = sorted(weight.items(), key=lambda item: -item[1])[:8]
    assert sum(weight.values()) <= BUDGET, f"{sum(weight.values())} bytes, the limit is {BUDGET}; most in {heaviest}"

    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    copied, wanted = copies(page), [plain(code) for code in program(language, source)]
    if source.startswith("reference/"):  # its examples, which the extractor reads without their empty lines
        copied, wanted = [dense(code) for code in copied], [dense(code) for code in wanted]
        wanted = [code for code in copied if code in wanted]
    different = [code for code in copied if code not in wanted]
    assert not different, f"the copy button gives what no test runs:\n{different[0]}"
    assert copied == wanted, f"{len(wanted)} blocks are tested, {len(copied)} can be copied, or their order differs"

    assert page.evaluate(COVERED) == [], "an output hides the end of its code"

    page.add_script_tag(content=Path(AXE).read_text("utf-8"))
    assert violations(page) == [], "in light colours"

    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.body.dataset.mdColorScheme == 'slate'")
    resize(page, 360, 740)
    assert violations(page) == [], "in dark colours, on a phone"

    assert page.evaluate(COVERED) == [], "an output hides the end of its code on a phone"
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360, f"on a phone of 360 px the page is {wide} px wide: {too_wide(page)}"
    resize(page, 320, 640)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320, f"at 320 px (400 % zoom): {too_wide(page)}"


def copies(page: Any) -> list[str]:
    """Press the copy button of each Python block and read the clipboard."""
    block = page.locator(".language-python.highlight")
    for i in range(block.count()):
        block.nth(i).locator(".md-code__button").wait_for(state="attached")  # made when the block comes into view
    return [plain(text) for text in page.evaluate("""async () => {
        const texts = []
        for (const button of document.querySelectorAll('.language-python.highlight .md-code__button')) {
            await navigator.clipboard.writeText('nothing was copied')
            button.click()
            texts.push(await navigator.clipboard.readText())
        }
        return texts
    }""")]


def plain(code: str) -> str:
    """Code without the numbers of its notes (`# (1)!`), spaces at line ends, and empty lines around it."""
    return "\n".join(re.sub(r"\s*(# \(\d+\)!?)?\s*$", "", line) for line in dedent(code).strip("\n").split("\n"))


def dense(code: str) -> str:
    return "\n".join(line for line in code.split("\n") if line)


def resize(page: Any, width: int, height: int) -> None:
    """Change the window and wait until the page has been laid out and painted anew."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("window.framesSince = 0")
    page.wait_for_function("(framesSince += 1) > 3")


def too_wide(page: Any) -> list[str]:
    """The elements that stick out at the right and are not inside something that scrolls."""
    return page.evaluate("""() => [...document.querySelectorAll('body *')].filter(one => {
        if (one.getBoundingClientRect().right <= innerWidth + 1) return false
        for (let up = one.parentElement; up; up = up.parentElement)
            if (getComputedStyle(up).overflowX != 'visible') return false
        return true
    }).slice(-3).map(one => one.outerHTML.slice(0, 160))""")


def test_an_unknown_address_is_answered_in_both_languages(visit) -> None:
    seen = visit(color_scheme="light")
    missing = seen.address + "no/such/page/"
    seen.expected[missing] = 404
    seen.go("no/such/page/")
    seen.troubles[:] = [one for one in seen.troubles if "404 (Not Found)" not in one]  # the console repeats the status
    page = seen.page
    assert page.locator("main section[lang=en] a").get_attribute("href")
    page.add_script_tag(content=Path(AXE).read_text("utf-8"))
    assert violations(page) == []
    page.locator("main section[lang^=zh] a").click()
    page.wait_for_url(seen.address + "zh/")
