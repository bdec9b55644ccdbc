"""One copy of the project for all faults, and the built site that tests/site looks at, too."""

from __future__ import annotations

import pytest

from tests.faults.planted import FAULTS
from tests.faults.tree import Tree
from tests.site.conftest import common, site

__all__ = ["common", "site", "tree"]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A copy in which everything that the faults should turn red is green."""
    copy = Tree(tmp_path_factory.mktemp("faults") / "project")
    before = copy.pytest(*dict.fromkeys(fault.run for fault in FAULTS))
    assert before.status == 0, f"without any fault, these fail:\n{before.text[-6000:]}"
    return copy
