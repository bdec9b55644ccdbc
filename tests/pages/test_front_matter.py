"""Every page says what it is, and has the parts that its kind promises."""

import pytest

from tests.pages import labs
from tests.pages.project import LANGUAGES, ROOT, front_matter, page_names, page_path
from tests.pages.prose import skeleton

PAGES = [(lang, name) for lang in LANGUAGES for name in page_names(lang)]
LABS = [path.stem for path in labs.paths()]
KINDS = {"lesson", "derivation", "lab", "how-to", "answer", "reference", "home"}
KEYS = {"kind", "minutes", "needs", "description", "cited", "translates", "title", "template"}
PARTS = ("what-goes-wrong", "exercises", "references")
NEEDED = {*page_names(), *(f"labs/{name}" for name in LABS)}


def problems(matter, lang):
    """What is wrong with a front matter."""
    wrong = [f"`{key}` is no setting of a page: known are {', '.join(sorted(KEYS))}" for key in matter.keys() - KEYS]
    kind, minutes, needs = (matter.get(key) for key in ("kind", "minutes", "needs"))
    if kind not in KINDS:
        wrong.append(f"kind: {kind!r} is none of {', '.join(sorted(KINDS))}")
    if kind != "home":
        if type(minutes) is not int or not 1 <= minutes <= 60:
            wrong.append(f"minutes: {minutes!r} is not a whole number from 1 to 60")
        if not isinstance(needs, list):
            wrong.append(f"needs: {needs!r} is not a list of pages such as [start/install], or []")
    wrong += [f"needs: there is no page {name!r}" for name in needs or [] if name not in NEEDED]
    description = matter.get("description") or ""
    if not isinstance(description, str) or not description.strip() or len(description) > 160:
        wrong.append(f"description: one sentence of at most 160 characters, not {len(str(description))}")
    if lang == "en" and "translates" in matter:
        wrong.append("translates: belongs to the Chinese page")
    return wrong


@pytest.mark.parametrize(("lang", "name"), PAGES, ids=lambda value: value)
def test_front_matter(lang, name):
    matter = front_matter(page_path(name, lang).read_text("utf-8"))
    wrong = problems(matter, lang) + [f"needs: {name} needs itself"] * (name in (matter.get("needs") or []))
    assert not wrong, "\n".join([f"docs/{lang}/{name}.md", *wrong])


@pytest.mark.parametrize("name", LABS)
def test_front_matter_of_labs(name):
    cells = labs.read(ROOT / "docs" / "labs" / f"{name}.py").cells
    assert cells, f"docs/labs/{name}.py is empty"
    assert cells[0].cell_type == "raw", f"docs/labs/{name}.py begins with its front matter: # --- … # ---"
    matter = front_matter(f"{cells[0].source.strip()}\n")
    assert matter.get("kind") == "lab"
    for lang in LANGUAGES:
        mine = {key: value[lang] if isinstance(value, dict) and set(value) == set(LANGUAGES) else value
                for key, value in matter.items()}
        wrong = problems(mine, lang)
        assert not wrong, "\n".join([f"docs/labs/{name}.py", *wrong])


@pytest.mark.parametrize(("lang", "name"), PAGES, ids=lambda value: value)
def test_page_has_the_parts_of_its_kind(lang, name):
    path = page_path(name, lang)
    found = skeleton(path)
    assert [s.level for s in found.sections[1:]].count(1) == 1, f"{path.relative_to(ROOT)}: one heading of level 1"
    if front_matter(path.read_text("utf-8")).get("kind") not in ("lesson", "derivation"):
        return
    ids = [section.id for section in found.sections]
    missing = [part for part in PARTS if part not in ids]
    assert not missing, f"{path.relative_to(ROOT)}: a lesson has the sections {', '.join(PARTS)}; missing: {missing}"
    assert "goals" in found.boxes, f'{path.relative_to(ROOT)}: a lesson begins with !!! goals "After this page you can"'
    solutions = found.boxes.count("success")
    assert solutions >= 2, f'{path.relative_to(ROOT)}: at least two ??? success "Solution", not {solutions}'


@pytest.mark.parametrize(("change", "said"), [
    ({}, None), ({"kind": "essay"}, "kind"), ({"minutes": 61}, "minutes"), ({"minutes": "9"}, "minutes"),
    ({"needs": ["no/page"]}, "no page"), ({"needs": None}, "not a list"), ({"description": "x" * 161}, "description"),
    ({"tags": []}, "no setting"), ({"translates": "0"}, "Chinese"),
])
def test_rule(change, said):
    good = {"kind": "lesson", "minutes": 9, "needs": [], "description": "One sentence."}
    wrong = problems(good | change, "en")
    assert (wrong == []) if said is None else (said in wrong[0])
