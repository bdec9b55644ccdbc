"""The pytest plugin: every Python block of every page, docstring and README is a test.

`pytest docs/en/training/optimizers.md` runs one page, `--record` rewrites its outputs and figures from that run.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.exemptions import is_exempt
from tests.pages import checks, docstrings, mutants, programs, record, shown
from tests.pages.fences import Block, Page, read
from tests.pages.formulas import Formula, find_formula, untied
from tests.pages.project import ROOT, TOP, page_name


class Wrong(Exception):
    """A page is wrong; the message says where and what to do."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="rewrite the outputs and figures that pages show")


def pytest_configure(config: pytest.Config) -> None:
    """Know the marks; that of pytest-xdist also where it is not loaded."""
    config.addinivalue_line("markers", "proves(*ids, tex=None, equivalent=()): the formulas that this test proves")
    config.addinivalue_line("markers", "xdist_group(name): tests that run in one process of pytest-xdist")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect pages, the Markdown at the top, and the docstrings of the package."""
    if file_path.suffix == ".md" and (page_name(file_path) or file_path in {ROOT / name for name in TOP}):
        return PageFile.from_parent(parent, path=file_path)
    if file_path.suffix == ".py" and file_path.is_relative_to(ROOT / "src"):
        return DocstringFile.from_parent(parent, path=file_path)
    return None


class Item(pytest.Item):
    """A test whose failure is a message for the author of a page."""

    line = 0

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Wrong):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, f"{self.path.relative_to(ROOT)}::{self.name}"

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


class PageFile(pytest.File):
    """A page: first its fences, then its blocks in order."""

    def collect(self) -> Iterable[pytest.Item]:
        text, own = self.path.read_text("utf-8"), page_name(self.path)
        page = read(text, own)
        group = pytest.mark.xdist_group(own or self.path.stem.partition(".")[0])
        items: list[Item] = [FencesItem.from_parent(self, name="fences", text=text, page=page)]
        items += [BlockItem.from_parent(self, name=block.name, page=page, index=i, own=own)
                  for i, block in enumerate(page.blocks)]
        for item in items:
            item.add_marker(group)  # the blocks of a page, in both languages, run in one process of pytest-xdist
        return items


class FencesItem(Item):
    """Every Python block shown is tested, and every fence is one that we understand."""

    def __init__(self, *, text: str, page: Page, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text, self.page = text, page

    def runtest(self) -> None:
        problems = [f"{self.place}:{line}: {problem}" for line, problem in self.page.problems]
        problems = problems or [f"{self.place}: {problem}" for problem in shown.differences(self.text, self.page)]
        if problems:
            raise Wrong("\n".join(problems))


class BlockItem(Item):
    """One block runs after the blocks before it, prints what the page shows and draws what the page shows."""

    def __init__(self, *, page: Page, index: int, own: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks, self.index, self.own = page, index, own
        self.line = page.blocks[index].line

    @property
    def block(self) -> Block:
        return self.blocks.blocks[self.index]

    def runtest(self) -> None:
        names = tuple(block.name if self.own else f"{i + 1}" for i, block in enumerate(self.blocks.blocks))
        run = programs.run(names, self.blocks.codes, fresh=self.config.option.record)
        if self.config.option.record and self.own and self.index == 0:
            for name in record.record(self.own, self.blocks, run):
                self.config.get_terminal_writer().line(f"recorded snippets/{name}")
        problems = checks.check(self.block, run.blocks[self.index], self.own)
        if self.own and run.open and self.index == len(run.blocks) - 1:
            problems.append(f"the page draws {run.open} figure(s) and never shows them: end the block with plt.show()")
        if problems:
            raise Wrong(checks.message(self.place, self.block, problems))


class DocstringFile(pytest.File):
    """The examples in the docstrings of a module."""

    def collect(self) -> Iterable[pytest.Item]:
        for name, page in docstrings.examples(self.path.read_text("utf-8")):
            if page.problems:
                yield FencesItem.from_parent(self, name=f"{name}::fences", text="", page=page)
            for i in range(len(page.blocks)):
                number = f" {i + 1}" if len(page.blocks) > 1 else ""
                yield BlockItem.from_parent(self, name=f"{name}{number}", page=page, index=i, own=None)


@pytest.fixture(scope="session")
def page() -> Callable[[str], dict[str, Any]]:
    """`page("training/optimizers")` is the namespace of that page's program after it has run; it runs once."""
    from tests.pages.namespaces import namespace  # imports PyTorch, which most runs of a single test do not need

    return cache(namespace)


@pytest.fixture
def formula(request: pytest.FixtureRequest) -> Callable[[str], Formula]:
    """`formula("id")` is the formula of that id on the page whose proofs this file holds."""
    return find_formula(request)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Each test draws the same random numbers, whatever ran before it in this process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """The proofs of a page run in one process, which knows by the last one which faults nobody noticed."""
    if item.get_closest_marker("proves"):
        item.add_marker(pytest.mark.xdist_group(item.path.as_posix()))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give pytest-xdist its groups: it writes them where pytest 9.2 does not look (pytest-xdist, issue 1386)."""
    for item in items:
        grouped = vars(item).get("_nodeid")
        if grouped and hasattr(item, "_id") and grouped != item.nodeid:
            item._id = type(item._id).parse(grouped)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Know which proofs of each formula will run."""
    mutants.watch(session.items, session.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Fail a proof that did not touch its formula, and a skip that tests/exemptions.py does not list."""
    report = yield
    if call.when == "call" and report.passed:
        try:
            wrong = untied(item)
        except AssertionError as error:
            wrong = [str(error)]
        if wrong:
            report.outcome, report.longrepr = "failed", "\n".join([f"{item.nodeid} proves less than it says", *wrong])
    return unlisted(report, item.nodeid) if report.skipped or hasattr(report, "wasxfail") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """The same for a whole file that is skipped while it is collected."""
    report = yield
    return unlisted(report, collector.nodeid) if report.skipped else report


def unlisted(report: Any, test: str) -> Any:
    """The report, failed if the test may not be skipped."""
    if not is_exempt(test):
        report.outcome = "failed"
        report.longrepr = (f"{test} is skipped or expected to fail, and tests/exemptions.py does not list it: run it, "
                           f"or add it there with the reason.\n{report.longrepr}")
        vars(report).pop("wasxfail", None)
    return report
