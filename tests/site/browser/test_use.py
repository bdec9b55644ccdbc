"""What a reader does: copy, search, switch language, press Tab, print."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from bs4 import BeautifulSoup

from tests.site.browser.pages import LANGUAGES, PAGES, url

LESSON = "training/optimizers.md"


@pytest.mark.parametrize(("language", "word", "expected"), [
    ("en", "momentum", "training/optimizers/"),
    ("en", "gradcheck", "concepts/autograd/"),
    ("zh", "反向传播", "zh/mathematics/backpropagation/"),
    ("zh", "计算图", "zh/concepts/computation-graph/"),
    ("zh", "动量", "zh/training/optimizers/"),
])
def test_search_finds(visit, language: str, word: str, expected: str) -> None:
    seen = visit(LANGUAGES[language])
    page = seen.page
    field = page.locator(".md-search__input")
    field.click()
    field.press_sequentially(word)
    field.press("End")  # typing Chinese fires no keyup, which is what the search listens to
    links = page.locator(".md-search-result__link")
    links.first.wait_for()
    found = [link.split("?")[0] for link in links.evaluate_all("all => all.map(a => a.href)")]
    assert any(link.split("#")[0] == seen.address + expected for link in found), f"{word!r} found {found}"


def twin(language: str, source: str) -> tuple[str, str]:
    other = "en" if language == "zh" else "zh"
    return other, LANGUAGES[other] + url(source)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_switch_needs_no_script(visit, language: str) -> None:
    seen = visit(LANGUAGES[language], java_script_enabled=False)
    for source in [source for one, source in PAGES if one == language]:
        here = seen.address + LANGUAGES[language] + url(source)
        other, path = twin(language, source)
        html = BeautifulSoup(seen.context.request.get(here).text(), "html.parser")
        links = [urljoin(here, str(link["href"])) for link in html.select(f"a[data-language={other}]")]
        assert links == [seen.address + path] * 2, f"{source}: one link in the header, one at the foot"
    seen.go(LANGUAGES[language] + url(source))
    seen.page.locator(f".md-header a[data-language={other}]").click()
    assert seen.page.url == seen.address + path
    assert seen.page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-Hans"}[other]


def click(page: Any, address: str) -> None:
    """Click the first visible link to an address of the site."""
    links = page.locator("main a").filter(visible=True)
    addresses = links.evaluate_all("all => all.map(a => a.href)")
    links.nth(addresses.index(address)).click()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_switch_keeps_the_page_after_instant_navigation(visit, language: str) -> None:
    seen = visit(LANGUAGES[language])
    page = seen.page
    page.evaluate("window.sameDocument = true")
    for source in ("concepts/autograd.md", LESSON):
        here = seen.address + LANGUAGES[language] + url(source)
        click(page, here)
        page.wait_for_url(here)
        other, path = twin(language, source)
        page.wait_for_function("([selector, href]) => document.querySelector(selector).href == href",
                               arg=[f".md-header a[data-language={other}]", seen.address + path])
    assert page.evaluate("window.sameDocument"), "the pages were loaded anew: instant navigation is off"
    page.locator(f".md-header a[data-language={other}]").click()
    page.wait_for_url(seen.address + path)
    assert page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-Hans"}[other]


def describe(page: Any) -> dict[str, Any]:
    """The focused element: what it is, and whether a reader sees that it has the focus."""
    return page.evaluate("""() => {
        const one = document.activeElement
        const shown = one.matches('.md-option') ? one.nextElementSibling : one  // a radio button is shown by its label
        const style = getComputedStyle(shown), box = shown.getBoundingClientRect()
        return {
            html: one.outerHTML.slice(0, 160),
            outlined: style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 1,
            seen: box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth,
        }
    }""")


WANTED = {
    "skip link": "a.md-skip", "name": "a.md-logo", "search": "input.md-search__input",
    "language": ".md-header a[data-language]", "colours": "form[data-md-component=palette] *",
    "index": ".index a", "contents": ".md-nav--secondary a", "text link": "article a:not(.headerlink)",
    "copy button": "button.md-code__button", "seal": "a.proof", "solution": "summary", "foot": "footer a",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_keyboard_reaches_everything(visit, language: str) -> None:
    page = visit(LANGUAGES[language] + url(LESSON)).page
    reached, unseen = set(), []
    for _ in range(600):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement == document.body"):
            break
        reached |= set(page.evaluate("""wanted => Object.entries(wanted)
            .filter(([, selector]) => document.activeElement.matches(selector)).map(([name]) => name)""", WANTED))
        now = describe(page)
        if not (now["outlined"] and now["seen"]):
            unseen.append(now["html"])
    else:
        pytest.fail(f"600 times Tab and still not through the page: {describe(page)}")
    assert reached == set(WANTED), f"Tab never reached {set(WANTED) - reached}"
    assert not unseen, f"{len(unseen)} focused elements do not show it, first {unseen[:3]}"


def test_a_narrow_window_opens_index_and_search_by_keyboard(visit) -> None:
    page = visit(viewport={"width": 640, "height": 800}).page
    for box, first in (("__drawer", ".index a"), ("__search", ".md-search__input")):
        opener = page.locator(f"[data-opens={box}]")
        opener.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("first => document.activeElement == document.querySelector(first)", arg=first)
        assert opener.get_attribute("aria-expanded") == "true"
        page.keyboard.press("Escape")
        page.wait_for_function("box => document.activeElement.dataset.opens == box", arg=box)
        assert opener.get_attribute("aria-expanded") == "false"


def test_paper_has_the_text_alone_and_open_solutions(visit) -> None:
    page = visit(url(LESSON)).page
    page.emulate_media(media="print")
    for gone in (".md-header", ".md-sidebar--primary", ".md-footer", ".md-code__button"):
        assert page.locator(gone).first.is_hidden(), f"{gone} is printed"
    assert page.locator("details pre").first.is_visible(), "a folded solution stays folded on paper"
    address = page.evaluate("getComputedStyle(document.querySelector('article a[href^=http]'), '::after').content")
    assert re.search(r"\(.*http", address), "the addresses of links are not printed"
