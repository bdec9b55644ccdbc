"""Each formula of mathematics/chain-rule against autograd in float64, and each exercise against wrong answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.utils.flop_counter import FlopCounterMode

from tests.pages.project import page_path

PAGE = "mathematics/chain-rule"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]
Solution = Callable[..., Any]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slope(y: Tensor, x: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(y, x, retain_graph=True)
    return found


def derivative(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """f', entry by entry, as a function of its own argument; it can be differentiated again."""

    def at(x: Tensor) -> Tensor:
        x = x if x.requires_grad else x.clone().requires_grad_()
        (found,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        return found

    return at


def d(above: str, below: str, sign: str = "d") -> str:
    gap = " " if sign.startswith("\\") else ""
    return rf"\frac{{{sign}{gap}{above}}}{{{sign}{gap}{below}}}"


# formulas ------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("one-path", "several-paths")
def test_paths(formula: Formula) -> None:
    for at in (0.3, 1.7):
        x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        u = torch.exp(x) + x**2
        y = torch.sin(u)
        values = {d("y", "x"): slope(y, x), d("y", "u"): slope(y, u), d("u", "x"): slope(u, x)}
        formula("one-path").holds(values)

        v = torch.cos(x)
        y = torch.tanh(u * v) + v**3
        values = {d("y", "x"): slope(y, x), d("u", "x"): slope(u, x), d("v", "x"): slope(v, x)}
        values |= {d("y", "u", r"\partial"): slope(y, u), d("y", "v", r"\partial"): slope(y, v)}
        formula("several-paths").holds(values)


@pytest.mark.proves("product", "example")
def test_product_of_jacobians(formula: Formula, page: Page) -> None:
    ns = page(PAGE)
    for seed in range(3):
        x = random(3, seed=seed)
        u = ns["g"](x)
        formula("example").holds({"x": x, "u": u, "y": ns["f"](u)})
        J = jacobian(lambda x: ns["f"](ns["g"](x)), x)
        formula("product").holds({"J": J, "J_f": jacobian(ns["f"], u), "J_g": jacobian(ns["g"], x)})


# these Jacobians are symmetric: without its transposition the formula is still true
@pytest.mark.proves("elementwise-jacobian", "elementwise-vjp", equivalent=[r"J v = f'(x) \odot v"])
def test_elementwise(formula: Formula) -> None:
    x, v = random(4), random(4, seed=1)
    for f in (torch.tanh, torch.sigmoid, torch.nn.functional.gelu):
        values = {"J": jacobian(f, x), "f'": derivative(f), "x": x, "v": v}
        formula("elementwise-jacobian").holds(values)
        formula("elementwise-vjp").holds(values)


@pytest.mark.proves("linear-jacobian", "linear-vjp")
def test_linear(formula: Formula) -> None:
    layer = torch.nn.Linear(4, 3, dtype=torch.float64)
    values = {"J": jacobian(layer, random(4)), "W": layer.weight, "v": random(3, seed=1)}
    formula("linear-jacobian").holds(values)
    formula("linear-vjp").holds(values)


@pytest.mark.proves("softmax-jacobian", "softmax-vjp", equivalent=[r"J v = y \odot (v - v^\top y)"])
def test_softmax(formula: Formula) -> None:
    x = random(4)
    softmax = torch.nn.Softmax(0)
    values = {"J": jacobian(softmax, x), "y": softmax(x), "v": random(4, seed=1)}
    formula("softmax-jacobian").holds(values)
    formula("softmax-vjp").holds(values)


@pytest.mark.proves("jvp")
def test_jvp(formula: Formula) -> None:
    def f(x: Tensor) -> Tensor:
        return torch.stack([x[0] * x[1], x[1] ** 2 * x[2], torch.sin(x[2])])

    x, direction = random(3), random(3, seed=1)
    _, pushed = torch.autograd.functional.jvp(f, x, direction)
    v = random(3, seed=2).requires_grad_()

    def nabla(value: Tensor) -> Tensor:
        """The gradient for v, of a number only."""
        return slope(value.squeeze(), v) if value.numel() == 1 else torch.full_like(v, torch.nan)

    values = {"J d": pushed, "J": jacobian(f, x), "d": direction, "v": v}
    formula("jvp").holds(values | {r"\nabla_v": nabla})


@pytest.mark.proves("order")
def test_order(formula: Formula) -> None:
    x = random(3).requires_grad_()
    u1 = torch.tanh(random(3, 3, seed=1) @ x)
    u2 = torch.softmax(random(3, 3, seed=2) @ u1, 0)
    y = torch.sin(random(3, 3, seed=3) @ u2)
    v = random(3, seed=4)

    def matrix(of: Tensor, by: Tensor) -> Tensor:
        return torch.stack([slope(entry, by) for entry in of])

    (gradient,) = torch.autograd.grad(y, x, v, retain_graph=True)
    values = {"J_1": matrix(u1, x), "J_2": matrix(u2, u1), "J_3": matrix(y, u2), "v": v}
    formula("order").holds(values | {d("L", "x", r"\partial"): gradient})


@pytest.mark.proves("reverse-cost", "forward-cost")
def test_costs(formula: Formula) -> None:
    for widths in ([7, 5, 3, 2], [2, 4, 4, 6]):
        matrices = [random(m, n) for n, m in pairwise(widths)]
        counts = {}
        for mode in ("reverse", "forward"):
            with FlopCounterMode(display=False) as counter:
                product = torch.eye(widths[-1 if mode == "reverse" else 0], dtype=torch.float64)
                for A in reversed(matrices) if mode == "reverse" else matrices:
                    product = product @ A if mode == "reverse" else A @ product
            counts[mode] = counter.get_total_flops() // 2
        values = {"n": torch.tensor(widths, dtype=torch.float64), "D": 3}
        for mode, count in counts.items():
            formula(f"{mode}-cost").holds(values | {rf"C_{{\text{{{mode}}}}}": count}, first=0)


@pytest.mark.proves("second-derivative")
def test_second_derivative(formula: Formula) -> None:
    first = derivative(torch.sigmoid)
    values = {r"\sigma''": derivative(first), r"\sigma'": first, r"\sigma": torch.sigmoid}
    formula("second-derivative").holds(values | {"x": torch.linspace(-3, 3, 11, dtype=torch.float64)})


# the page's own numbers and functions --------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_holds_the_numbers_of_the_program(page: Page, lang: str) -> None:
    """Column four holds the value, column three the shape, of what the code in column five names or computes."""
    rows = [line.split(" | ") for line in page_path(PAGE, lang).read_text("utf-8").splitlines() if line[:3] == "| $"]
    assert len(rows) == 11
    for symbol, _, shape, numbers, code in rows:
        value = eval(code.strip("`| ").split(" = ")[0], dict(page(PAGE)))
        assert str(tuple(value.shape)) == shape, symbol
        found = [float(number) for number in re.findall(r"-?\d+", numbers.replace("−", "-"))]
        assert found == value.flatten().tolist(), symbol


def test_the_vjps_of_the_page_equal_autograd(page: Page) -> None:
    ns = page(PAGE)
    z, v, W = random(5), random(5, seed=1), random(5, 3, seed=2)
    for ours, function in (("tanh_vjp", torch.tanh), ("softmax_vjp", lambda z: torch.softmax(z, 0))):
        torch.testing.assert_close(ns[ours](v, z), torch.func.vjp(function, z)[1](v)[0], rtol=1e-10, atol=1e-14)
    expected = torch.func.vjp(lambda x: W @ x, random(3))[1](v)[0]
    torch.testing.assert_close(ns["linear_vjp"](v, W), expected, rtol=1e-10, atol=1e-14)


def test_the_jvp_of_the_page_equals_the_jacobian_times_a_direction(page: Page) -> None:
    ns = page(PAGE)
    x, direction = random(4), random(4, seed=1)

    def f(x: Tensor) -> Tensor:
        return torch.cat([torch.softmax(x, 0), x.prod()[None]])

    torch.testing.assert_close(ns["jvp"](f, x, direction), jacobian(f, x) @ direction, rtol=1e-10, atol=1e-14)


# exercises -----------------------------------------------------------------------------------------------------------


def check_normalize(solution: Solution) -> bool:
    for seed in range(3):
        x, v = random(4, seed=seed), random(4, seed=seed + 10)
        expected = torch.func.vjp(lambda x: x / x.norm(), x)[1](v)[0]
        if not torch.allclose(solution(v, x), expected, rtol=1e-9):
            return False
    return True


def test_exercise_normalize(page: Page) -> None:
    assert check_normalize(page(PAGE)["normalize_vjp"])
    assert not check_normalize(lambda v, x: v / x.norm())  # the path over the length is missing
    assert not check_normalize(lambda v, x: v - x / x.norm() * (x / x.norm() @ v))  # not divided by the length


def check_rows(solution: Solution) -> bool:
    for rows, columns in ((2, 3), (4, 2), (3, 3), (1, 2)):
        W, x = random(rows, columns, seed=rows), random(columns)

        def function(x: Tensor, W: Tensor = W) -> Tensor:
            return torch.tanh(W @ x)

        found = solution(function, x)
        if found.shape != W.shape or not torch.allclose(found, jacobian(function, x)):
            return False
    return True


def test_exercise_rows(page: Page) -> None:
    right = page(PAGE)["jacobian_by_rows"]
    assert check_rows(right)
    assert not check_rows(lambda function, x: right(function, x).T)  # a column per output
    assert not check_rows(lambda function, x: right(function, torch.zeros_like(x)))  # at another point
    assert not check_rows(lambda function, x: right(function, x).sum(0).expand(len(function(x)), -1))  # ones for units
