"""Proofs of the formulas of start/background, its dates, and its exercises."""

import re
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import Tensor, nn

PAGE = "start/background"
CORNERS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)


@pytest.mark.proves("no-line-computes-xor")
def test_no_line_computes_xor(formula):
    """Both diagonals have the same sum, for any line."""
    torch.manual_seed(0)
    for _ in range(20):
        line = nn.Linear(2, 1, dtype=torch.float64)
        w, b = line.weight[0].detach(), line.bias.item()
        formula("no-line-computes-xor").holds(
            {"f": lambda *x, line=line: line(torch.tensor(x, dtype=torch.float64)).item(), "w": w, "b": b})


@pytest.mark.proves("xor-by-hand")
def test_xor_by_hand(formula):
    """The weights of the page in PyTorch's own layers, and no mistake."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.ones(2, 2))
        net[0].bias.copy_(torch.tensor([0.0, -1.0]))
        net[2].weight.copy_(torch.tensor([[1.0, -2.0]]))
    assert torch.equal(net(CORNERS).flatten(), torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64))
    for x in [*CORNERS, torch.tensor([0.3, 2.0], dtype=torch.float64)]:
        h = net[1](net[0](x)).detach()
        formula("xor-by-hand").holds({"h": h, "f": net(x), r"\operatorname{ReLU}": lambda z: max(z, 0), "x": x})


@pytest.mark.proves("two-linear-layers-are-one")
def test_two_linear_layers_are_one(formula):
    torch.manual_seed(0)
    first, second = nn.Linear(5, 4, dtype=torch.float64), nn.Linear(4, 3, dtype=torch.float64)
    x = torch.randn(5, dtype=torch.float64)
    values = {"W_1": first.weight, "b_1": first.bias, "W_2": second.weight, "b_2": second.bias, "x": x}
    formula("two-linear-layers-are-one").holds(values)
    assert torch.allclose(second(first(x)), formula("two-linear-layers-are-one").right(values), rtol=1e-12)


@pytest.mark.proves("parity-of-three")
def test_parity_of_three(page, formula):
    """The formula is the page's function: checked as an exercise below, and here against ReLU layers."""
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.ones(3, 3))
        net[0].bias.copy_(torch.tensor([0.0, -1.0, -2.0]))
        net[2].weight.copy_(torch.tensor([[1.0, -2.0, 2.0]]))
    eight = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    assert torch.equal(net(eight).flatten(), eight.sum(dim=1) % 2)
    assert torch.equal(page(PAGE)["parity"](eight), eight.sum(dim=1) % 2)
    formula("parity-of-three").holds({"f": net(eight), "s": eight.sum(dim=1), r"\operatorname{ReLU}": torch.relu})


def test_gradients_by_hand_are_those_of_autograd(page):
    ns = page(PAGE)
    assert len(ns["by_hand"]) == 4
    for by_hand, by_autograd in zip(ns["by_hand"], ns["by_autograd"], strict=True):
        np.testing.assert_allclose(by_hand, by_autograd, rtol=1e-12, atol=1e-15)


DATES = {"1986", "2006", "2012", "2016", "2017", "2022"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_date_of_the_history_has_a_source(lang):
    text = Path(__file__).parents[3].joinpath("docs", lang, f"{PAGE}.md").read_text("utf-8")
    history = text.split("{ #history }")[1].split("\n## ")[0]
    rows = [line for line in history.splitlines() if re.match(r"\|[^|]*\d{4}", line)]
    assert {re.findall(r"\d{4}", row)[0] for row in rows} == DATES
    assert all("](https://" in row for row in rows)


def check_separable(solution: Callable[[Sequence[int]], bool]) -> None:
    """Against a support vector machine that tolerates no mistake."""
    for targets in product((0, 1), repeat=4):
        if len(set(targets)) == 1:
            expected = True
        else:
            machine = SVC(kernel="linear", C=1e6).fit(CORNERS.numpy(), targets)
            expected = machine.score(CORNERS.numpy(), targets) == 1
        assert bool(solution(targets)) == expected, targets


def test_exercise_separable(page):
    check_separable(page(PAGE)["separable"])


@pytest.mark.parametrize(
    "wrong",
    [lambda t: tuple(t) != (0, 1, 1, 0), lambda t: sum(t) != 2, lambda t: True],
    ids=["only XOR", "two of each", "always"],
)
def test_exercise_separable_rejects(wrong):
    with pytest.raises(AssertionError):
        check_separable(wrong)


def check_parity(solution: Callable[[Tensor], Tensor]) -> None:
    eight = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    assert torch.allclose(solution(eight).flatten(), eight.sum(dim=1) % 2)


def test_exercise_parity(page):
    check_parity(page(PAGE)["parity"])


def two_units(X: Tensor) -> Tensor:
    s = X.sum(dim=1)
    return torch.relu(s) - 2 * torch.relu(s - 1)


def at_least_one(X: Tensor) -> Tensor:
    return X.amax(dim=1)


@pytest.mark.parametrize("wrong", [two_units, at_least_one])
def test_exercise_parity_rejects(wrong):
    with pytest.raises(AssertionError):
        check_parity(wrong)
