"""The style sheet keeps every rule that a page or a script can use, and loses the others."""

from pathlib import Path

import material
import pytest

from docs._site.hooks import styles

CSS = (":root{--md-x-icon--note:url('data:image/svg+xml,<svg d=\"a{b}\"/>');--md-x-icon--bug:url('b')}"
       '@import "x.css";.a,.b .c{color:red}.b{content:"}\\"{"}@media print{.a{x:y}.b{x:y}}@media screen{.b{x:y}}'
       "@keyframes k{from{x:y}to{x:z}}.a:not(.b)>p[class*=q]{--i:var(--md-x-icon--note)}.b\\:c{x:y}p{x:y}")


def test_rules_are_read_to_the_end() -> None:
    for path in (Path(material.__file__).parent / "templates/assets/stylesheets").glob("*.css"):
        css = path.read_text("utf-8")
        read = sum(len(head) + (len(body) + 2 if body is not None else 0) for head, body in styles.rules(css))
        assert read > 0.99 * len(css) - 200, path.name  # all but the comment at the end


def test_usable_rules_stay_in_order() -> None:
    assert styles.purged(CSS, {"a"}) == CSS.replace(",.b .c", "").replace('.b{content:"}\\"{"}', "").replace(
        ".b{x:y}}@media screen{.b{x:y}}", "}").replace(".b\\:c{x:y}", "")
    assert styles.purged(CSS, {"a", "b", "c", "b:c"}) == CSS


@pytest.mark.parametrize(("selector", "known", "usable"), [
    (".a .b", {"a", "b"}, True), (".a .b", {"a"}, False), ("#a", {"a"}, True), (".a:is(.b,.c)", {"a"}, True),
    ('.a[href=".b"]', {"a"}, True), ("p", set(), True), (".md-a\\/b", {"md-a/b"}, True),
])
def test_selector(selector: str, known: set[str], usable: bool) -> None:
    assert styles.usable(selector, known) is usable


def test_icons_that_nothing_shows_are_dropped() -> None:
    css = styles.without_unused_variables(CSS, "")
    assert "--md-x-icon--note:url" in css
    assert "--md-x-icon--bug" not in css
    assert "--md-x-icon--bug" in styles.without_unused_variables(CSS, "p{x:var(--md-x-icon--bug)}")


def test_names_come_from_pages_and_scripts(tmp_path: Path) -> None:
    (tmp_path / "assets/stylesheets").mkdir(parents=True)
    (tmp_path / "assets/javascripts").mkdir()
    sheet = tmp_path / "assets/stylesheets/main.css"
    sheet.write_text(".page{x:y}.script{x:y}.none{x:y}.word{x:y}", "utf-8")
    (tmp_path / "index.html").write_text('<p class="page">word</p>', "utf-8")
    (tmp_path / "assets/javascripts/bundle.js").write_text('one.classList.add("script")', "utf-8")
    styles.shrink(tmp_path)
    assert sheet.read_text("utf-8") == ".page{x:y}.script{x:y}"
