"""Live reload: what is taken over from the last build is what a new build would have made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.config import load_config
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs._site.hooks import again, languages

TEXT = "# Title { #title }\n\n[b](b.md#x) and [here](#title)\n"


@pytest.fixture
def project(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: x\nplugins: [autorefs]\nmarkdown_extensions: [attr_list, toc]\n", "utf-8")
    config = load_config(str(tmp_path / "mkdocs.yml"))
    config.plugins["autorefs"].scan_toc = False  # type: ignore[attr-defined]
    return config


def rendered(memory: again.Memory, config, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Page, Files, bool]:
    """Render a.md as a build would; say whether Markdown ran."""
    files = Files([File(name, None, config.site_dir, True) for name in ("a.md", "b.md")])
    pages = [Page(None, file, config) for file in files]
    pages[0].markdown = text
    ran: list[str] = []
    real = Page.render

    def heard(page: Page, *arguments) -> None:
        ran.append(page.url)
        real(page, *arguments)

    monkeypatch.setattr(Page, "render", heard)
    memory.render(pages[0], config, files, text)
    monkeypatch.undo()
    return pages[0], files, bool(ran)


def test_an_unchanged_page_is_taken_over(project, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = again.Memory()
    first, _, ran = rendered(memory, project, TEXT, monkeypatch)
    assert ran
    second, files, ran = rendered(memory, project, TEXT, monkeypatch)
    assert not ran
    assert second.content == first.content
    assert second.title == first.title == "Title"
    assert second.present_anchor_ids == first.present_anchor_ids
    assert [item.id for item in second.toc] == ["title"]
    assert set(second.links_to_anchors or {}) == {files.get_file_from_path("b.md"), files.get_file_from_path("a.md")}
    third, _, ran = rendered(memory, project, TEXT + "\nmore\n", monkeypatch)
    assert ran
    assert "more" in (third.content or "")


def test_an_api_page_depends_on_the_package(project, tmp_path: Path) -> None:
    source = tmp_path / "src/a.py"
    source.write_text("x = 1\n", "utf-8")
    files = Files([])
    page, api = "# A\n", "# A\n\n::: a\n"
    before = again.digest(page, files, project), again.digest(api, files, project)
    source.write_text("x = 10\n", "utf-8")
    assert again.digest(page, files, project) == before[0]
    assert again.digest(api, files, project) != before[1]


def test_the_search_takes_over_what_it_read() -> None:
    memory, read = again.Memory(), []

    class Index:
        def __init__(self) -> None:
            self.entries: list[dict[str, str]] = []

        def add_entry_from_context(self, page: SimpleNamespace) -> None:
            read.append(page.url)
            self.entries.append({"location": page.url, "text": page.content})

    def build(content: str) -> list[dict[str, str]]:
        index = Index()
        memory.search(index, "en")
        for url in ("a/", "b/"):
            text = content if url == "a/" else ""
            index.add_entry_from_context(SimpleNamespace(url=url, title="T", meta={}, content=text))
        return index.entries

    first = build("one")
    assert build("one") == first
    assert read == ["a/", "b/"]
    assert build("two")[0]["text"] == "two"
    assert read == ["a/", "b/", "a/"]


def test_a_language_is_built_again_when_its_sources_change(tmp_path: Path) -> None:
    for folder in ("docs/en", "docs/zh", "src", "snippets"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs/en/a.md").write_text("a", "utf-8")
    (tmp_path / "docs/zh/a.md").write_text("甲", "utf-8")
    spec = {"en": {"docs_dir": "docs/en"}, "zh": {"docs_dir": "docs/zh"}}
    config = SimpleNamespace(config_file_path=str(tmp_path / "mkdocs.yml"), extra={"languages": spec}, site_url="/")
    before = languages.fingerprint(config, "zh")  # type: ignore[arg-type]
    (tmp_path / "docs/en/a.md").write_text("another text", "utf-8")
    assert languages.fingerprint(config, "zh") == before  # type: ignore[arg-type]
    (tmp_path / "docs/zh/a.md").write_text("另一段", "utf-8")
    assert languages.fingerprint(config, "zh") != before  # type: ignore[arg-type]
