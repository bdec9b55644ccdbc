"""Promise 5: both languages have the same pages with the same skeleton, and no translation is out of date."""

import pytest

from tests.pages import chinese, git, numbers
from tests.pages.project import LANGUAGES, ROOT, TOP, front_matter, page_names, page_path
from tests.pages.prose import skeleton

NAMES = sorted({*page_names("en"), *page_names("zh")})
BOTH = [name for name in NAMES if page_path(name, "en").exists() and page_path(name, "zh").exists()]
TWINS = [(name, name.replace(".md", ".zh.md")) for name in TOP if ".zh." not in name]

every_page = pytest.mark.parametrize("name", BOTH)
every_twin = pytest.mark.parametrize(("english", "twin"), TWINS)


def pair(name):
    """The skeletons of a page in both languages."""
    return skeleton(page_path(name, "en")), skeleton(page_path(name, "zh"))


def unequal(english, twin, path):
    """The first difference between two lists, as a sentence."""
    for i in range(max(len(english), len(twin))):
        one, other = (side[i] if i < len(side) else "(nothing)" for side in (english, twin))
        if one != other:
            return f"{path}, number {i + 1}: English has\n    {one}\nChinese has\n    {other}"
    return None


def same(english, twin, name):
    """Fail with the first difference."""
    difference = unequal(english, twin, name)
    assert difference is None, difference


@pytest.mark.parametrize("name", NAMES)
def test_page_is_in_both_languages(name):
    for lang in LANGUAGES:
        path = page_path(name, lang)
        assert path.exists(), f"{path.relative_to(ROOT)} is missing: each page is in both languages"


@every_page
def test_same_settings(name):
    english, twin = (front_matter(page_path(name, lang).read_text("utf-8")) for lang in LANGUAGES)
    assert set(twin) - {"translates"} == set(english), f"{name}: both languages have the same keys in the front matter"
    for key in ("kind", "minutes", "needs", "template"):
        assert english.get(key) == twin.get(key), f"{name}: {key} differs between the languages"
    cited = [sorted(map(str, matter.get("cited") or {})) for matter in (english, twin)]
    assert cited[0] == cited[1], f"{name}: both languages cite the same numbers"


@every_page
def test_same_headings(name):
    english, twin = pair(name)
    same([("#" * s.level, s.id) for s in english.sections], [("#" * s.level, s.id) for s in twin.sections], name)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_headings_have_ascii_ids(name, lang):
    if page_path(name, lang).exists():
        sections = skeleton(page_path(name, lang)).sections[1:]
        wrong = [section.line for section in sections if not (section.id and section.id.isascii())]
        assert not wrong, f"docs/{lang}/{name}.md: the headings in lines {wrong} need an id: ## … {{ #ascii-id }}"
        ids = [section.id or "" for section in sections]
        assert len(set(ids)) == len(ids), f"docs/{lang}/{name}.md: an id is used twice: {sorted(ids)}"


@every_page
def test_same_code(name):
    english, twin = pair(name)
    same(english.fences, twin.fences, name)


@every_page
def test_same_formulas(name):
    english, twin = pair(name)
    same([f[1:] for f in english.formulas], [f[1:] for f in twin.formulas], name)
    for one, other in zip(english.sections, twin.sections, strict=False):  # word order differs within a section
        same(sorted(one.inline), sorted(other.inline), f"{name}#{one.id}, formulas in the text")


@every_page
def test_same_links(name):
    english, twin = pair(name)
    for one, other in zip(english.sections, twin.sections, strict=False):
        same(sorted(one.links), sorted(other.links), f"{name}#{one.id}, links")


@every_page
def test_same_boxes_figures_and_tables(name):
    english, twin = pair(name)
    same(english.boxes, twin.boxes, f"{name}, boxes")
    same(english.images, twin.images, f"{name}, images")
    same(english.tables, twin.tables, f"{name}, rows and columns of the tables")


@every_page
def test_text_alternatives_are_translated(name):
    from tests.pages.prose import IMAGE, without_fences

    english, twin = (IMAGE.findall(without_fences(page_path(name, lang).read_text("utf-8"))[0]) for lang in LANGUAGES)
    for (alt, target), (other, _) in zip(english, twin, strict=False):
        assert alt.strip(), f"{name}: say what one sees in {target}"
        assert other.strip(), f"{name}: say what one sees in {target}, in Chinese"
        assert alt != other, f"{name}: the text alternative of {target} is not translated"


def outdated(path, twin):
    """What to do if `twin` does not translate the present text of `path`, else None."""
    pinned, now = git.pinned(twin.read_text("utf-8")), git.blob_hash(path.read_bytes())
    if pinned == now:
        return None
    english, translation = path.relative_to(ROOT), twin.relative_to(ROOT)
    return (f"{english} has changed since {translation} translated it. Read what changed, mend the Chinese text, then "
            f"run `make translated`:\n{git.difference(pinned, path)}")


@every_page
def test_translation_is_of_the_current_english_page(name):
    wrong = outdated(page_path(name, "en"), page_path(name, "zh"))
    assert wrong is None, wrong


@every_twin
def test_translation_at_the_top_is_current(english, twin):
    wrong = outdated(ROOT / english, ROOT / twin)
    assert wrong is None, wrong


@every_twin
def test_same_skeleton_at_the_top(english, twin):
    one, other = skeleton(ROOT / english), skeleton(ROOT / twin)
    same([s.level for s in one.sections], [s.level for s in other.sections], english)
    same(one.fences, other.fences, english)
    same(one.tables, other.tables, english)


@pytest.mark.parametrize("name", page_names("zh"))
def test_chinese_is_set_well(name):
    wrong = chinese.problems(page_path(name, "zh").read_text("utf-8"))
    assert not wrong, "\n".join([f"docs/zh/{name}.md", *wrong])


@pytest.mark.parametrize("name", [name for name in TOP if ".zh." in name])
def test_chinese_at_the_top_is_set_well(name):
    wrong = chinese.problems((ROOT / name).read_text("utf-8"))
    assert not wrong, "\n".join([name, *wrong])


@pytest.mark.parametrize("name", page_names("en"))
def test_english_paragraphs_are_one_line(name):
    wrong = chinese.wrapped(page_path(name, "en").read_text("utf-8"))
    assert not wrong, "\n".join([f"docs/en/{name}.md", *wrong])


@pytest.mark.parametrize("entry", chinese.glossary(), ids=lambda entry: entry["id"])
def test_glossary_is_set_well(entry):
    """It is written like a page, and it has no program that a number could come from."""
    wrong = chinese.problems(entry["definition"]["zh"])
    wrong += [f"{n.text} has no source here: say it on a page" for lang in LANGUAGES
              for n in numbers.in_prose(entry["definition"][lang])]
    assert not wrong, "\n".join([f"docs/glossary.yml, {entry['id']}", *wrong])
