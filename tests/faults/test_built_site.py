"""Faults in the built site turn the tests of tests/site red."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.tree import Outcome
from tests.pages.paths import ROOT

pytestmark = pytest.mark.xdist_group("faults in the built site")

PAGE, CHECKS = "start/first-program/index.html", "tests/site/test_build.py"
LINKS, HOSTS, SEARCH = (f"{CHECKS}::{test}" for test in (
    "test_every_internal_link_and_anchor_resolves", "test_nothing_is_fetched_from_another_host",
    "test_chinese_search_is_segmented"))


def edit(pattern: str, new: str, name: str = PAGE) -> Callable[[Path], None]:
    """A change of one file of the site; the pattern must be found."""

    def plant(site: Path) -> None:
        text, count = re.subn(pattern, new, (site / name).read_text("utf-8"), count=1, flags=re.S)
        assert count, f"{name} has no match of {pattern!r}: the fault needs a new place"
        (site / name).unlink()  # the files are hard links to those of the real site
        (site / name).write_text(text, "utf-8")

    return plant


def unsegmented(site: Path) -> None:
    """What the search index is without jieba."""
    path = site / "zh/search/search_index.json"
    text = path.read_text("utf-8")
    head, mark, docs = text.partition('"docs"')
    without = docs.replace("\\u200b", "").replace("\u200b", "")
    assert without != docs
    path.unlink()
    path.write_text(head + mark + without, "utf-8")


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "broken internal link": (edit(r'(<article.*?href=")\.\./[\w./-]+', r"\1../no-such-page/"), LINKS, "no-such-page"),
    "link to a missing anchor": (edit(r'href="#data"', 'href="#no-such-anchor"'), LINKS, "no-such-anchor"),
    "script from another host": (edit("</head>", '<script src="https://cdn.example/x.js"></script></head>'), HOSTS,
                                 "cdn.example"),
    "font from another host": (edit(r"\Z", "\n@font-face{src:url(https://fonts.example/x.woff2)}", "assets/site.css"),
                               HOSTS, "site.css"),
    "Chinese search index without segmentation": (unsegmented, SEARCH, "test_chinese_search_is_segmented"),
}


def check(site: Path, *selection: str) -> Outcome:
    """Run tests of the built site on this folder."""
    env = {**os.environ, "DLGUIDE_BUILT": str(site), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "1000",
           "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    for name in [name for name in env if name.startswith("PYTEST_XDIST")]:
        del env[name]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p",
               "tests.faults.prebuilt", *selection]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    return Outcome(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def green(site: Path) -> Path:
    """The real site, on which all these tests pass."""
    before = check(site, LINKS, HOSTS, SEARCH)
    assert before.status == 0, f"without any fault, these fail:\n{before.text[-6000:]}"
    return site


@pytest.mark.parametrize("name", FAULTS)
def test_fault_in_the_built_site_turns_the_right_test_red(green: Path, tmp_path: Path, name: str) -> None:
    plant, test, says = FAULTS[name]
    copy = shutil.copytree(green, tmp_path / "site", copy_function=os.link)
    if test == HOSTS:  # this test reads every page for itself: one is enough
        for page in set(copy.rglob("index.html")) - {copy / PAGE}:
            page.unlink()
    plant(copy)
    outcome = check(copy, test)
    assert test in outcome.red, f"{test} stays green:\n{outcome.text[-3000:]}"
    assert says in outcome.text, f"the failure does not say {says!r}:\n{outcome.text[-3000:]}"
