r"""The proofs of formulas: a test names the formulas that it proves and computes them from the page's own TeX.

    @pytest.mark.proves("output-delta")
    def test_output_delta(formula):
        ...
        formula("output-delta").holds({r"\delta_k": z2.grad, "y": y, "t": t, r"\sigma'": slope, "z_2": z2})

What no evaluator can compute is tied by `@pytest.mark.proves("id", tex=r"…")`: the page must show exactly that TeX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.pages import mutants
from tests.pages import tex as reader
from tests.pages.project import page_names, page_path, proofs_path
from tests.pages.prose import ignoring_text, skeleton


@dataclass
class Formula:
    """A display formula of the English page, which has the same TeX as the Chinese one."""

    id: str
    tex: str

    def chains(self, values: Mapping[str, Any], first: int = 1) -> list[list[tuple[str, Any]]]:
        return reader.statements(self.tex, values, first)

    def holds(self, values: Mapping[str, Any], *, rtol: float = 1e-10, atol: float = 1e-12, first: int = 1) -> None:
        """Compute every side of the formula and compare each with the one before it."""
        chains = self.chains(values, first)
        if not any(len(chain) > 1 for chain in chains):
            raise reader.TexError(f"the formula {self.id} has no sign to check: {self.tex}; use .right(values)")
        for chain in chains:
            for (_, before), (sign, after) in pairwise(chain):
                where = f"the formula {self.id} does not hold: {self.tex}"
                if sign == "=":
                    left, right = alike(before, after)
                    torch.testing.assert_close(
                        right, left, rtol=rtol, atol=atol, equal_nan=True, msg=partial(add, where))
                else:
                    assert reader.compare(sign, before, after).all(), f"{where}: {before} {sign} {after}"

    def right(self, values: Mapping[str, Any], *, first: int = 1) -> Tensor:
        """The value of what stands last."""
        return reader.tensor(self.chains(values, first)[-1][-1][1])

    def left(self, values: Mapping[str, Any], *, first: int = 1) -> Tensor:
        """The value of what stands first."""
        return reader.tensor(self.chains(values, first)[0][0][1])


def add(where: str, said: str) -> str:
    return f"{where}\n{said}"


def alike(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both sides as float64 of one shape: a number stands for all entries, and dimensions of size one do not count."""
    a, b = reader.tensor(a).detach().double(), reader.tensor(b).detach().double()
    if a.shape != b.shape:
        if a.numel() == 1 or b.numel() == 1:
            a, b = torch.broadcast_tensors(a.squeeze() if a.numel() == 1 else a, b.squeeze() if b.numel() == 1 else b)
        else:
            a, b = a.squeeze(), b.squeeze()
    return a, b


def page_of(proofs: Path) -> str | None:
    """The page that a test file proves."""
    return next((name for name in page_names() if proofs_path(name) == proofs), None)


def shown(page: str) -> dict[str, str]:
    """The TeX of a page's formulas by id."""
    return skeleton(page_path(page)).tex


def ids_of(mark: pytest.Mark) -> tuple[str, ...]:
    return tuple(mark.args)


EVALUATED = pytest.StashKey[set[str]]()


def find_formula(request: pytest.FixtureRequest) -> Callable[[str], Formula]:
    """What gives a test the formulas that it proves."""
    page = page_of(request.path)
    assert page, f"{request.path.name} belongs to no page"
    own = {one for mark in request.node.iter_markers("proves") for one in ids_of(mark)}

    def find(name: str) -> Formula:
        assert name in own, f"the test must say that it proves {name!r}: @pytest.mark.proves({name!r})"
        tex = shown(page).get(name)
        assert tex is not None, f"docs/en/{page}.md shows no formula {name!r}: its comment is <!-- formula: {name} -->"
        request.node.stash.setdefault(EVALUATED, set()).add(name)
        return Formula(name, mutants.FAULT.get(name, tex))

    return find


def untied(item: pytest.Item) -> list[str]:
    """What a test that has passed leaves out: formulas that it neither computes nor states, and faults."""
    if item.get_closest_marker("proves") is None:
        return []
    page = page_of(item.path)
    there = shown(page) if page else {}
    wrong, computed = [], item.stash.get(EVALUATED, set())
    for mark in item.iter_markers("proves"):
        for name in ids_of(mark):
            if name not in there:
                wrong.append(f"docs/en/{page}.md shows no formula {name!r}")
            elif stated := mark.kwargs.get("tex"):
                if ignoring_text(stated) != ignoring_text(there[name]):
                    wrong.append(f"{name}: the page shows\n  {there[name]}\nand the proof is about\n  {stated}")
            elif name not in computed:
                wrong.append(f"{name}: the test passes without computing it: formula({name!r}).holds({{…}})")
    return wrong or mutants.unnoticed(item, there)
