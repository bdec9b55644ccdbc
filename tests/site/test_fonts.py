"""Fonts keep the characters that the site shows, their licence, and nothing else."""

import io
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from docs._site.hooks import fonts

MODULES = Path(__file__).parents[2] / "docs/_site/node_modules"
SERIF = MODULES / "@fontsource/source-serif-4/files/source-serif-4-latin-400-normal.woff2"
MONO = MODULES / "@fontsource/jetbrains-mono/files/jetbrains-mono-latin-400-normal.woff2"


def opened(font: bytes) -> TTFont:
    return TTFont(io.BytesIO(font))


def test_the_characters_are_those_of_all_texts_with_entities_resolved() -> None:
    shown = fonts.characters(["<p>caf&eacute;</p>", "张量"])
    assert {"é", "张", "a", "~", " "} <= shown
    assert not {"è", "\n"} & shown


@pytest.mark.parametrize("path", [SERIF, MONO], ids=["serif", "mono"])
def test_a_smaller_font_has_the_glyphs_that_are_shown_and_no_others(path: Path) -> None:
    font = path.read_bytes()
    shown = fonts.characters(["é"])
    small = opened(fonts.smaller(font, shown))
    assert set(small.getBestCmap()) == set(map(ord, shown)) & set(opened(font).getBestCmap())


def test_a_smaller_font_keeps_its_licence_and_gives_up_its_reserved_name() -> None:
    names = opened(fonts.smaller(SERIF.read_bytes(), fonts.ALWAYS))["name"]
    assert "OFL" in names.getDebugName(14)
    assert "Adobe" in names.getDebugName(0)
    assert "Source" not in names.getDebugName(1)


def test_code_is_shown_as_it_is_typed() -> None:
    font = MONO.read_bytes()

    def features(one: TTFont) -> set[str]:
        return {record.FeatureTag for record in one["GSUB"].table.FeatureList.FeatureRecord} if "GSUB" in one else set()

    assert "calt" in features(opened(font)), "the font has no ligatures any more: this test proves nothing"
    assert not features(opened(fonts.smaller(font, fonts.ALWAYS, ligatures=False))) & fonts.LIGATURES


def test_a_site_is_shrunk_in_place_and_the_work_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, cache = tmp_path / "site", tmp_path / "cache"
    (site / "zh").mkdir(parents=True)
    (site / "zh/index.html").write_text("<p>é</p>", "utf-8")
    (site / "serif.woff2").write_bytes(SERIF.read_bytes())

    fonts.shrink(site, cache)

    small = (site / "serif.woff2").read_bytes()
    assert len(small) < 0.8 * SERIF.stat().st_size
    assert ord("é") in opened(small).getBestCmap()

    monkeypatch.setattr(fonts, "smaller", None)  # not called again
    (site / "serif.woff2").write_bytes(SERIF.read_bytes())
    fonts.shrink(site, cache)
    assert (site / "serif.woff2").read_bytes() == small
