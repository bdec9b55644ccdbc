"""The plugin's own rules: skips must be listed, pages keep together, and labs of the site are known."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.pages import plugin
from tests.pages.project import ROOT


class Id(str):
    """What pytest keeps an id in."""

    @classmethod
    def parse(cls, text):
        return cls(text)


def test_groups_reach_the_scheduler():
    grouped = SimpleNamespace(_id=Id("a.py::b"), _nodeid="a.py::b@group", nodeid="a.py::b")
    alone = SimpleNamespace(_id=Id("a.py::c"), nodeid="a.py::c")
    items: Any = [grouped, alone]
    plugin.pytest_collection_modifyitems(items)
    assert (grouped._id, alone._id) == ("a.py::b@group", "a.py::c")


@pytest.mark.parametrize(("test", "outcome"), [
    ("tests/gpu/test_training.py::test_cnn", "skipped"), ("tests/gpu/test_training.py::test_cnn@group", "skipped"),
    ("tests/pages/test_plugin.py::test_x", "failed"), ("docs/en/faq.md::fences", "failed"),
])
def test_a_skip_is_a_failure_unless_it_is_listed(test, outcome):
    report = plugin.unlisted(SimpleNamespace(outcome="skipped", longrepr="reason", wasxfail=""), test)
    assert report.outcome == outcome
    assert ("does not list it" in report.longrepr) is (outcome == "failed")


@pytest.mark.parametrize(("name", "collected"), [
    ("docs/en/start/install.md", True), ("docs/zh/start/install.md", True), ("README.zh.md", True),
    ("CONTRIBUTING.md", True), ("src/dlguide/train/classifier.py", True), ("CHANGELOG.md", False),
    ("docs/labs/digits-mlp.py", False), ("tests/pages/plugin.py", False),
])
def test_what_is_collected(request, name, collected):
    found = plugin.pytest_collect_file(ROOT / name, request.session)
    assert (found is not None) is collected


@pytest.mark.parametrize("order", [1, 2])
def test_each_test_draws_the_same_numbers(order):
    """Whatever the test before it has drawn."""
    first = torch.rand(1, generator=torch.Generator().manual_seed(0))
    assert torch.rand(order)[0].item() == pytest.approx(first.item())
