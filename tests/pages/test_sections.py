"""Programs, sections and recordings belong to pages: nothing is left over, nothing is missing."""

import functools
import re

import pytest

from tests.pages import programs
from tests.pages.fences import FIGURE, read
from tests.pages.project import (
    LANGUAGES,
    MARKER,
    ROOT,
    SNIPPETS,
    included_file,
    page_names,
    page_path,
    proofs_path,
    sections,
)
from tests.pages.prose import without_fences

SCRIPTS = sorted(path.relative_to(SNIPPETS).with_suffix("").as_posix() for path in SNIPPETS.rglob("*.py"))
INCLUDED = re.compile(r'^[ \t]*-+8<-+[ \t]+"([^":]+):([\w-]+)"', re.M)


@functools.cache
def pages(lang):
    """The text of all pages of a language."""
    return {name: page_path(name, lang).read_text("utf-8") for name in page_names(lang)}


def shown(lang):
    """All sections that the pages of a language include."""
    return {match for text in pages(lang).values() for match in INCLUDED.findall(text)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_snippet_belongs_to_a_page(name):
    for lang in LANGUAGES:
        assert page_path(name, lang).exists(), f"snippets/{name}.py has no page docs/{lang}/{name}.md"


@pytest.mark.parametrize("name", page_names())
def test_page_with_code_has_its_recording(name):
    if read(pages("en")[name], name).blocks:
        path = SNIPPETS / f"{name}.out"
        assert path.exists(), f"{path.relative_to(ROOT)} is missing: run `make outputs`"
        assert path.read_text("utf-8").startswith("# recorded "), f"{path.relative_to(ROOT)}: run `make outputs`"


@pytest.mark.parametrize("name", page_names())
def test_page_with_formulas_or_exercises_has_its_tests(name):
    if re.search(r"^<!-- formula: (?!definition)|^#.*\{ #exercises \}", without_fences(pages("en")[name])[0], re.M):
        assert proofs_path(name).exists(), f"{name} has formulas or exercises: {proofs_path(name).relative_to(ROOT)}"


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_section_is_shown(name, lang):
    """A section nobody reads is code nobody needs; a recording nobody reads was made by an older page."""
    for kind in ("py", "out"):
        path = SNIPPETS / f"{name}.{kind}"
        unused = [s for s in (sections(path.read_text("utf-8")) if path.exists() else {})
                  if (f"{name}.{kind}", s) not in shown(lang)]
        assert not unused, f"snippets/{name}.{kind}: docs/{lang} shows no section {', '.join(unused)}; " + (
            "include it in the page or take it out" if kind == "py" else "run `make outputs`")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_include_exists(lang):
    from tests.pages.project import Include

    for name, text in pages(lang).items():
        for file, section in INCLUDED.findall(text):
            path = included_file(Include(file, section))
            known = sections(path.read_text("utf-8")) if path else {}
            assert section in known, (f"docs/{lang}/{name}.md includes `{file}:{section}`, "
                                      f"but {file} has {', '.join(known) or 'no sections or does not exist'}")


def test_recordings_belong_to_programs():
    for path in [*SNIPPETS.rglob("*.out"), *SNIPPETS.rglob("*.svg")]:
        name = path.relative_to(SNIPPETS).with_suffix("").as_posix()
        if path.suffix == ".svg":
            name, _, figure = name.rpartition(".")
            names = {match["name"] for match in FIGURE.finditer(pages("en").get(name, ""))}
            assert figure in names, f"{path.relative_to(ROOT)} is shown by no page: delete it, or run `make outputs`"
        assert name in pages("en"), f"{path.relative_to(ROOT)} belongs to no page"


@pytest.mark.parametrize("name", SCRIPTS)
def test_sections_are_well_formed(name):
    """Every start has its end, no name comes twice, and all code is in a section."""
    text = (SNIPPETS / f"{name}.py").read_text("utf-8")
    open_, seen = [], set()
    outside = []
    for number, line in enumerate(text.split("\n"), 1):
        if marker := MARKER.search(line):
            kind, section = marker.groups()
            if kind == "start":
                assert section not in seen, f"snippets/{name}.py:{number}: the section {section} begins twice"
                seen.add(section)
                open_.append(section)
            else:
                assert section in open_, f"snippets/{name}.py:{number}: the section {section} ends and did not begin"
                open_.remove(section)
        elif line.strip() and not open_:
            outside.append(line)
    assert not open_, f"snippets/{name}.py: the sections {open_} do not end"
    docstring = re.compile(r'\s*(?:r?"""(?:.|\n)*?""")?\s*(?:#.*\n?\s*)*\Z')
    code = "\n".join(outside)
    assert docstring.match(code), f"snippets/{name}.py: this code is in no section:\n{code}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_runs_as_a_script(name):
    """`python -W error snippets/X.py` runs to its end, in a process of its own."""
    done = programs.run(("script",), ((SNIPPETS / f"{name}.py").read_text("utf-8"),), strict=True).blocks[0]
    assert not done.error, f"python -W error snippets/{name}.py\n{done.error}"
