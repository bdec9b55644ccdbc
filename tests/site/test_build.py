"""The built files: both languages alike, nothing from another host, every link and every download there."""

from __future__ import annotations

import gzip
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.site.conftest import REPO_URL, ROOT, SITE_URL
from tests.site.published import HERE, LANGUAGES, Published, page, published, sources, target

pytestmark = pytest.mark.xdist_group("site")


def test_every_page_of_the_nav_is_there_in_both_languages(site: Path) -> None:
    for lang in LANGUAGES:
        assert [source for source in sources() if not page(site, lang, source).file.is_file()] == [], lang
    english = {one.address for one in published(site) if not one.address.startswith("zh/")}
    assert {"zh/" + address for address in english} == {one.address for one in published(site)} - english


def test_both_languages_have_the_same_anchors_and_programs(site: Path) -> None:
    for source in sources():
        english, chinese = page(site, "en", source), page(site, "zh", source)
        assert english.anchors == chinese.anchors, source
        assert english.program == chinese.program, source
        assert "None" not in english.anchors, f"{source} has a heading without an id"


def test_no_id_is_used_twice(site: Path) -> None:
    for one in published(site):
        double = {name for name in one.ids if one.ids.count(name) > 1}
        assert not double, f"{one.address}: {double}"


def test_every_internal_link_and_anchor_resolves(site: Path) -> None:
    by_file = {one.file: one for one in published(site)}
    by_file[site / "404.html"] = Published(site / "404.html", "")
    dead = []
    for one in by_file.values():
        for link in {*one.links(), *one.resources()}:
            found = target(site, one.absolute(link.replace(SITE_URL, HERE)))
            if found is None:
                continue
            file, anchor = found
            known = by_file.get(file)
            if not file.is_file() or (anchor and known and anchor not in known.ids and anchor != "__skip"):
                dead.append(f"{one.address}: {link}")
    assert not dead, "\n".join(dead)


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    for one in published(site):
        outside = [link for link in one.resources() if re.match(r"(?:https?:)?//", link)]
        assert outside == [], one.address
    for file in [*site.rglob("*.css"), site / "assets/site.js", *site.glob("assets/javascripts/bundle.*.js")]:
        text = file.read_text("utf-8")
        assert not re.search(r"""url\(["']?(?:https?:)?//|@import|unpkg\.com|cdn\.""", text), file
    for one in published(site):  # Material's component for a repository asks its host for stars
        assert not one.soup.select('[data-md-component="source"]'), one.address


def test_chinese_search_is_segmented(site: Path) -> None:
    index = json.loads((site / "zh/search/search_index.json").read_text("utf-8"))
    assert "\\u200b" in index["config"]["separator"]
    text = "".join(doc["title"] + doc["text"] for doc in index["docs"])
    assert "反向\u200b传播" in text or "反向传播\u200b" in text
    prose = re.sub(r"<code>.*?</code>", "", text, flags=re.S)
    assert not re.search(r"\\[(\[]", prose), "formulas do not belong into the search index"


def test_each_page_names_itself_and_its_twin(site: Path) -> None:
    for one in published(site):
        canonical = one.soup.select_one('link[rel="canonical"]')
        assert canonical is not None
        assert canonical["href"] == SITE_URL + one.address
        plain = one.address.removeprefix("zh/")
        links = {str(tag["hreflang"]): str(tag["href"]) for tag in one.soup.find_all("link", hreflang=True)}
        assert links == {"en": SITE_URL + plain, "zh-Hans": f"{SITE_URL}zh/{plain}", "x-default": SITE_URL + plain}
        assert str(one.soup.html["lang"]) == ("zh-Hans" if one.address.startswith("zh/") else "en")  # type: ignore[index]
        assert not one.soup.select('meta[name="generator"]')


def test_the_sitemap_has_both_languages(site: Path) -> None:
    names = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}
    root = ET.parse(site / "sitemap.xml").getroot()
    listed = {url.findtext("s:loc", "", names): url for url in root.findall("s:url", names)}
    assert set(listed) == {SITE_URL + one.address for one in published(site)}
    assert all(len(url.findall("x:link", names)) == 3 for url in listed.values())
    assert f"Sitemap: {SITE_URL}sitemap.xml" in (site / "robots.txt").read_text("utf-8")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_llms_txt_lists_every_page_and_its_markdown(site: Path, lang: str) -> None:
    text = (site / LANGUAGES[lang] / "llms.txt").read_text("utf-8")
    for source in sources():
        one = page(site, lang, source)
        assert f"({SITE_URL}{one.address}index.md)" in text, source
        markdown = (one.file.parent / "index.md").read_text("utf-8")
        assert markdown.startswith("# "), source
        assert "\n::: " not in markdown, source
        if source != "about/contributing.md":  # it shows how an include is written
            assert "--8<--" not in markdown, source
        for block in one.program if not source.startswith("reference/") else []:
            assert block.splitlines()[0].strip() in markdown, source


@pytest.mark.parametrize("lang", LANGUAGES)
def test_downloads_are_the_program(site: Path, lang: str) -> None:
    for source in sources():
        one = page(site, lang, source)
        links = [link for link in one.links() if re.fullmatch(r"[\w-]+\.(py|ipynb)", link)]
        assert len(links) == (2 if one.program else 0), source
        for link in links:
            text = (one.file.parent / link).read_text("utf-8")
            if link.endswith(".py"):
                code = re.sub(r"^# #+ .*\n", "", text, flags=re.M)
                assert code.split() == "\n".join(one.program).split(), source
                compile(text, link, "exec")
            else:
                cells = json.loads(text)["cells"]
                assert ["".join(c["source"]) for c in cells if c["cell_type"] == "code"] == one.program, source


def test_stamps(site: Path) -> None:
    for lang in LANGUAGES:
        for source in sources():
            recorded = (ROOT / "snippets" / source).with_suffix(".out")
            if recorded.exists() or source.endswith(".ipynb"):
                one = page(site, lang, source)
                said = " ".join(stamp.get_text() for stamp in one.soup.select("[class*=stamp]"))
                assert said, f"{one.address} has no stamp"
                if recorded.exists():
                    header = re.match(r"# recorded (\S+) \| torch (\S+)", recorded.read_text("utf-8"))
                    assert header, f"{recorded} has no header: run `make outputs`"
                    assert header[1] in said, source
                    assert header[2] in said, source


def test_edit_links(site: Path) -> None:
    for lang in LANGUAGES:
        for source in sources():
            path = f"docs/labs/{Path(source).stem}.py" if source.endswith(".ipynb") else f"docs/{lang}/{source}"
            assert f"{REPO_URL}/edit/main/{path}" in page(site, lang, source).links(), source
            assert (ROOT / path).is_file()


def test_notebook_pages_are_slim_and_show_outputs(site: Path) -> None:
    for lang in LANGUAGES:
        for source in sources():
            if source.endswith(".ipynb"):
                one = page(site, lang, source)
                assert len(gzip.compress(one.html.encode(), 9)) < 60_000, f"{one.address} is heavy"
                assert "jp-" not in one.html
                assert one.article.select("figure.output svg[role=img][aria-label]"), source
                assert one.article.select("div.output.highlight"), source


def test_figures_follow_the_page(site: Path) -> None:
    for one in published(site):
        for svg in one.article.select("figure.output svg"):
            assert svg.get("role") == "img", one.address
            assert svg.get("aria-label"), one.address
            assert svg.get("viewBox") or svg.get("viewbox"), one.address
            assert "#012345" not in str(svg), one.address


def test_formulas_are_rendered_at_build_time(site: Path) -> None:
    for one in published(site):
        assert not one.soup.select(".katex-error"), one.address
        text = re.sub(r"<(script|code|pre|annotation)\b.*?</\1>", "", str(one.article), flags=re.S)
        assert not re.search(r"\\\(|\\\[|(?<!\\)\$\$", text), f"{one.address} shows raw TeX"
        stylesheet = [link for link in one.resources() if link.endswith("katex.min.css")]
        assert bool(stylesheet) == ('class="katex' in one.html), one.address


def test_seals_lead_to_a_shown_test(site: Path) -> None:
    seals = [(one, seal) for one in published(site) for seal in one.article.select("a.proof")]
    assert seals, "no formula is proven"
    for one, seal in seals:
        assert seal.get_text() == ("已证明" if one.address.startswith("zh/") else "proven")
        assert str(seal["href"]).split("#")[1] in str(seal["title"])


def test_mermaid_is_loaded_only_when_used(site: Path) -> None:
    assert not any("mermaid" in link for one in published(site) for link in one.resources())
    (bundle,) = site.glob("assets/javascripts/bundle.*.min.js")
    assert "../mermaid.min.js" in bundle.read_text("utf-8")
    assert (site / "assets/mermaid.min.js").is_file()


def test_one_copy_of_the_assets_serves_both_languages(site: Path) -> None:
    assert not (site / "zh/assets").exists()
    assert not (site / "zh/404.html").exists()
    text = (site / "404.html").read_text("utf-8")
    assert 'lang="en"' in text
    assert 'lang="zh-Hans"' in text


def test_locks_hold_no_addresses() -> None:
    lock = json.loads((ROOT / "docs/_site/package-lock.json").read_text("utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages
    for name, one in packages.items():
        assert "resolved" not in one, name
        assert one.get("integrity", "").startswith("sha512-"), name
