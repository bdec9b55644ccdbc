"""Every planted fault turns the right test red."""

from __future__ import annotations

import pytest

from tests.faults.planted import FAULTS, Fault
from tests.faults.tree import Tree

pytestmark = pytest.mark.xdist_group("faults")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_turns_the_right_test_red(tree: Tree, fault: Fault) -> None:
    with tree.planted():
        fault.plant(tree)
        outcome = tree.pytest(fault.run)
    assert any(test.startswith(fault.red) for test in outcome.red), f"{fault.red} stays green:\n{outcome.text[-3000:]}"
    assert fault.says in outcome.text, f"the failure does not say {fault.says!r}:\n{outcome.text[-3000:]}"


def test_every_fault_has_its_own_name() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 20
