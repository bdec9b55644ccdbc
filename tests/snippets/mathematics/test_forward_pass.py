"""Each formula of mathematics/forward-pass against torch in float64, and each exercise against wrong answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby, pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.pages.project import page_path

PAGE = "mathematics/forward-pass"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]
Solution = Callable[..., Any]


def linear(n: int, m: int, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(n, m, dtype=torch.float64)


# formulas ------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("line")
def test_line(formula: Formula) -> None:
    layer, x = linear(1, 1), torch.tensor([1.7], dtype=torch.float64)
    y = layer(x)
    dw, db = torch.autograd.grad(y, [layer.weight, layer.bias])
    values = {"y": y, "w": layer.weight[0, 0], "x": x, "b": layer.bias[0]}
    values |= {r"\frac{\partial y}{\partial w}": dw, r"\frac{\partial y}{\partial b}": db}
    formula("line").holds(values)


@pytest.mark.proves("neuron")
def test_neuron(formula: Formula) -> None:
    layer, x = linear(3, 1), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    z = layer(x)
    values = {"z": z, "w": layer.weight[0], "x": x, "b": layer.bias[0], "n": 3}
    formula("neuron").holds(values | {"a": nn.Sigmoid()(z), r"\sigma": torch.sigmoid})


@pytest.mark.proves("layer", "layer-matrix")
def test_layer(formula: Formula) -> None:
    layer, x = linear(3, 2), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    z = layer(x)
    for i in (1, 2):
        formula("layer").holds({"z_i": z[i - 1], "W": layer.weight, "x": x, "b_i": layer.bias[i - 1], "n": 3, "i": i})
    values = {"z_1": z, "W_1": layer.weight, "b_1": layer.bias, "x": x, "h": nn.Sigmoid()(z), r"\sigma": torch.sigmoid}
    formula("layer-matrix").holds(values)


@pytest.mark.proves("two-layers")
def test_two_layers(formula: Formula) -> None:
    first, second = linear(3, 2), linear(2, 2, 1)
    x, t = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), torch.tensor([0.5, 0.1], dtype=torch.float64)
    h = nn.Sequential(first, nn.Sigmoid())(x)
    y = nn.Sequential(second, nn.Sigmoid())(h)
    values = {"x": x, "W_1": first.weight, "b_1": first.bias, "h": h, "W_2": second.weight, "b_2": second.bias}
    L = F.mse_loss(y, t, reduction="sum") / 2
    formula("two-layers").holds(values | {"y": y, "t": t, "L": L, r"\sigma": torch.sigmoid})


@pytest.mark.proves("deep", "last-layer")
def test_deep(formula: Formula) -> None:
    layers = [linear(4, 3), linear(3, 5, 1), linear(5, 2, 2)]
    a = torch.randn(4, dtype=torch.float64)
    for layer in layers[:-1]:
        z = layer(a)
        values = {"z_l": z, "W_l": layer.weight, "a_{l-1}": a, "b_l": layer.bias, "a_l": F.elu(z), "f": F.elu}
        formula("deep").holds(values)
        a = F.elu(z)
    last = layers[-1]
    formula("last-layer").holds({r"\hat y": last(a), "W_D": last.weight, "a_{D-1}": a, "b_D": last.bias})


@pytest.mark.proves("batch-rows", "batch-columns")
def test_batch(formula: Formula) -> None:
    layer, X = linear(3, 2), torch.randn(5, 3, dtype=torch.float64)
    values = {"Z": layer(X), "X": X, "W": layer.weight}
    formula("batch-rows").holds(values | {"b": layer.bias})
    formula("batch-columns").holds(values | {"b": layer.bias[:, None]})


@pytest.mark.proves("parameters")
def test_parameters(formula: Formula) -> None:
    for widths in ([3, 2, 1], [784, 128, 10], [5, 4, 4, 3, 2]):
        model = nn.Sequential(*(nn.Linear(n, m) for n, m in pairwise(widths)))
        count = sum(parameter.numel() for parameter in model.parameters())
        values = {"P": count, "n": torch.tensor(widths, dtype=torch.float64), "D": len(widths) - 1}
        formula("parameters").holds(values, first=0)


@pytest.mark.proves("collapse")
def test_collapse(formula: Formula) -> None:
    first, second, x = linear(3, 4), linear(4, 2, 1), torch.randn(3, dtype=torch.float64)
    values = {"W_1": first.weight, "b_1": first.bias, "W_2": second.weight, "b_2": second.bias, "x": x}
    formula("collapse").holds(values)
    torch.testing.assert_close(formula("collapse").right(values), second(first(x)), rtol=1e-12, atol=1e-14)


# the page's own numbers ----------------------------------------------------------------------------------------------


def test_the_three_examples_equal_torch(page: Page) -> None:
    ns = page(PAGE)
    expected = {"A": "0.8802768803", "B": "0.8805242432", "C": "0.5256235940"}
    for name, (W1, b1, W2, b2) in ns["examples"].items():
        x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        y = torch.sigmoid(F.linear(torch.sigmoid(F.linear(x, W1, b1)), W2, b2))
        torch.testing.assert_close(ns["three_steps"](W1, b1, W2, b2, x)[-1], y, rtol=1e-12, atol=0)
        assert f"{y.item():.10f}" == expected[name]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_of_symbols_holds_example_a(page: Page, lang: str) -> None:
    """Each row: the shapes, and the numbers without repetition, of what its last column names or computes."""
    ns = page(PAGE)
    known = dict(zip(("W1", "b1", "W2", "b2"), ns["examples"]["A"], strict=True))
    known |= {"x": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), "t": ns["t"], "torch": torch}
    rows = [line.split(" | ") for line in page_path(PAGE, lang).read_text("utf-8").splitlines() if line[:3] == "| $"]
    assert len(rows) == 9
    for symbol, _, shapes, numbers, code in rows:
        lines = re.findall(r"`([^`]+)`", code)
        for line in lines:
            exec(line, known)
        values = [known[line.split(" = ")[0]] for line in lines]
        assert re.findall(r"\([\d, ]*\)", shapes) == [str(tuple(value.shape)) for value in values], symbol
        found = [number for number, _ in groupby(map(float, re.findall(r"\d[\d.]*", numbers)))]
        digits = [round(number, 10) for value in values for number in value.flatten().tolist()]
        assert found == [number for number, _ in groupby(digits)], symbol


def test_the_packages_loop_equals_sequential(page: Page) -> None:
    ns = page(PAGE)
    torch.testing.assert_close(ns["acts"][-1], ns["model"](ns["pixels"]).detach(), rtol=1e-12, atol=1e-14)


# exercises -----------------------------------------------------------------------------------------------------------


def chain(depth: int) -> tuple[list[nn.Linear], list[tuple[Tensor, Tensor]], Tensor]:
    layers = [linear(3, 3, seed) for seed in range(depth)]
    return layers, [(m.weight.detach(), m.bias.detach()) for m in layers], torch.randn(4, 3, dtype=torch.float64)


def check_run(solution: Solution) -> bool:
    for depth in (1, 2, 4):
        layers, parameters, X = chain(depth)
        a = X
        for layer in layers[:-1]:
            a = F.relu(layer(a))
        if not torch.allclose(solution(parameters, X), layers[-1](a), rtol=1e-10):
            return False
    return True


def test_exercise_forward(page: Page) -> None:
    right = page(PAGE)["run"]
    assert check_run(right)
    assert not check_run(lambda parameters, X: right(parameters, X).clamp(min=0))  # ReLU after the last layer, too
    assert not check_run(lambda parameters, X: right([(W.T, b) for W, b in parameters], X))  # columns for rows


def check_collapse(solution: Solution) -> bool:
    for depth in (1, 2, 4):
        layers, parameters, X = chain(depth)
        W, b = solution(parameters)
        if not torch.allclose(X @ W.T + b, nn.Sequential(*layers)(X), rtol=1e-10):
            return False
    return True


def test_exercise_collapse(page: Page) -> None:
    assert check_collapse(page(PAGE)["collapse"])

    def wrong_order(parameters: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        W, b = parameters[0]
        for V, c in parameters[1:]:
            W, b = W @ V, V @ b + c
        return W, b

    def biases_added(parameters: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        W, b = parameters[0]
        for V, c in parameters[1:]:
            W, b = V @ W, b + c
        return W, b

    assert not check_collapse(wrong_order)
    assert not check_collapse(biases_added)
