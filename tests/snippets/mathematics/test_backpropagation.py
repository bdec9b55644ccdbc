"""Each formula of mathematics/backpropagation against autograd in float64, and each exercise against wrong answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.pages.project import page_path

PAGE = "mathematics/backpropagation"
Formula = Callable[[str], Any]


class Net:
    """Random weights of a 3-2-2 network with columns, and its values, ready for autograd."""

    def __init__(self, seed: int) -> None:
        gen = torch.Generator().manual_seed(seed)

        def leaf(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=gen).requires_grad_()

        self.W1, self.b1, self.W2, self.b2 = leaf(2, 3), leaf(2, 1), leaf(2, 2), leaf(2, 1)
        self.x = leaf(3, 1).detach()
        self.t = torch.rand(2, 1, dtype=torch.float64, generator=gen)
        self.z1 = self.W1 @ self.x + self.b1
        self.h = torch.sigmoid(self.z1)
        self.z2 = self.W2 @ self.h + self.b2
        self.y = torch.sigmoid(self.z2)
        self.L = ((self.y - self.t) ** 2).sum() / 2

    def grad(self, of: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(self.L, of, retain_graph=True)
        return found


@pytest.fixture(params=range(5))
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def slope(z: Tensor) -> Tensor:
    """The derivative of torch's sigmoid at z, by autograd."""
    z = z.detach().requires_grad_()
    (found,) = torch.autograd.grad(torch.sigmoid(z).sum(), z)
    return found


# formulas ------------------------------------------------------------------------------------------------------------

SLOPE = {r"\sigma": torch.sigmoid, r"\sigma'": slope}
dW1, db1, dW2, db2 = (rf"\frac{{\partial L}}{{\partial {name}}}" for name in ("W_1", "b_1", "W_2", "b_2"))


@pytest.mark.proves("loss")
def test_loss(net: Net, formula: Formula) -> None:
    y, t = net.y[:, 0], net.t[:, 0]
    formula("loss").holds({"L": F.mse_loss(y, t, reduction="sum") / 2, "y": y, "t": t})


@pytest.mark.proves("sigmoid", "sigmoid-slope")
def test_sigmoid(formula: Formula) -> None:
    z = torch.linspace(-8, 8, 33, dtype=torch.float64)
    formula("sigmoid").holds({r"\sigma": torch.sigmoid, "z": z})
    formula("sigmoid-slope").holds(SLOPE | {"z": z})
    assert slope(z).max() == slope(torch.zeros(1, dtype=torch.float64)) == 0.25


@pytest.mark.proves("forward")
def test_forward(net: Net, formula: Formula) -> None:
    layers = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 2), nn.Sigmoid()).double()
    values = zip(layers.parameters(), (net.W1, net.b1[:, 0], net.W2, net.b2[:, 0]), strict=True)
    with torch.no_grad():
        for parameter, value in values:
            parameter.copy_(value)
    found = [net.x[:, 0]]
    for layer in layers:
        found.append(layer(found[-1]))
    names = {name: value[:, None] for name, value in zip(("x", "z_1", "h", "z_2", "y"), found, strict=True)}
    formula("forward").holds(names | SLOPE | {"W_1": net.W1, "b_1": net.b1, "W_2": net.W2, "b_2": net.b2})


@pytest.mark.proves("output-delta", "output-gradients", "hidden-delta", "hidden-gradients")
def test_gradients(net: Net, formula: Formula) -> None:
    delta_k, delta_h = net.grad(net.z2), net.grad(net.z1)
    values = SLOPE | {"x": net.x, "h": net.h, "y": net.y, "t": net.t, "z_1": net.z1, "z_2": net.z2, "W_2": net.W2}
    values |= {r"\delta_k": delta_k, r"\delta_h": delta_h, dW1: net.grad(net.W1), db1: net.grad(net.b1)}
    values |= {dW2: net.grad(net.W2), db2: net.grad(net.b2)}
    for name in ("output-delta", "output-gradients", "hidden-delta", "hidden-gradients"):
        formula(name).holds(values)


def test_equal_rows_get_equal_gradients() -> None:
    W1, b1 = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64).repeat(2, 1), torch.zeros(2, dtype=torch.float64)
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for w_out, equal in (([0.7, 0.7], True), ([0.7, 0.8], False)):
        W = W1.clone().requires_grad_()
        out = torch.tensor(w_out, dtype=torch.float64, requires_grad=True)
        ((torch.sigmoid(out @ torch.sigmoid(W @ x + b1)) - 0.5) ** 2 / 2).backward()
        assert W.grad is not None
        assert torch.allclose(W.grad[0], W.grad[1], rtol=1e-12, atol=0) == equal


@pytest.mark.proves("finite-difference")
def test_finite_difference(net: Net, formula: Formula) -> None:
    def loss(w: Tensor) -> Tensor:
        W1 = net.W1.detach().clone()
        W1[0, 1] = w
        y = torch.sigmoid(net.W2 @ torch.sigmoid(W1 @ net.x + net.b1) + net.b2)
        return ((y - net.t) ** 2).sum() / 2

    exact, errors = net.grad(net.W1)[0, 1], []
    for eps in (1e-2, 1e-3):
        values = {r"\frac{\partial L}{\partial w}": exact, "L": loss, "w": net.W1[0, 1].detach(), r"\epsilon": eps}
        formula("finite-difference").holds(values, rtol=0, atol=1e-4)
        errors.append((formula("finite-difference").right(values) - exact).abs().item())
    assert errors[1] < errors[0] / 50  # the error falls with the square of eps


@pytest.mark.proves("batch-forward", "batch-backward")
def test_batch(net: Net, formula: Formula) -> None:
    X = torch.cat([net.x.T, 2 - net.x.T, net.x.T**2])  # (3, 3): a sample in each row
    T = torch.cat([net.t.T, 1 - net.t.T, net.t.T])
    b1 = net.b1[:, 0]
    Z1 = F.linear(X, net.W1, b1)
    Z2 = F.linear(torch.sigmoid(Z1), net.W2, net.b2[:, 0])
    L = ((torch.sigmoid(Z2) - T) ** 2).sum() / 2
    delta_k, delta_h, W1_grad, b1_grad = torch.autograd.grad(L, [Z2, Z1, net.W1, net.b1])
    formula("batch-forward").holds({"Z_1": Z1, "X": X, "W_1": net.W1, "b_1": b1})
    values = SLOPE | {r"\Delta_h": delta_h, r"\Delta_k": delta_k, "W_2": net.W2, "Z_1": Z1, "X": X, "d": delta_h}
    formula("batch-backward").holds(values | {dW1: W1_grad, db1: b1_grad[:, 0]})


@pytest.mark.proves("update")
def test_update(net: Net, formula: Formula) -> None:
    for parameter in (net.W1, net.b1, net.W2, net.b2):
        before, gradient = parameter.detach().clone(), net.grad(parameter)
        after = parameter.detach().clone().requires_grad_()
        after.grad = gradient
        torch.optim.SGD([after], lr=0.3).step()
        values = {r"\theta_1": after, r"\theta_0": before, r"\eta": 0.3}
        formula("update").holds(values | {r"\frac{\partial L}{\partial \theta_0}": gradient})


@pytest.mark.proves("mse-delta")
def test_mse_delta(net: Net, formula: Formula) -> None:
    for entries in (2, 1):
        y, t = net.y[:entries], net.t[:entries]
        net.L = nn.MSELoss()(y, t)
        delta, z2 = net.grad(net.z2)[:entries, 0], net.z2[:entries, 0]
        values = SLOPE | {"L": net.L, r"\delta_k": delta, "y": y[:, 0], "t": t[:, 0], "z_2": z2, "N": entries}
        formula("mse-delta").holds(values)


@pytest.mark.proves("bce", "bce-delta")
def test_bce(net: Net, formula: Formula) -> None:
    net.L = nn.BCELoss()(net.y, net.t)
    values = {"L": net.L, r"\delta_k": net.grad(net.z2)[:, 0], "y": net.y[:, 0], "t": net.t[:, 0], "N": 2}
    formula("bce").holds(values)
    formula("bce-delta").holds(values)


# the page's own numbers ----------------------------------------------------------------------------------------------


def test_the_page_computes_the_three_examples(page: Callable[[str], dict[str, Any]]) -> None:
    ns = page(PAGE)
    a, b, c = ns["trace_a"], ns["trace_b"], ns["trace_c"]
    assert f"{a['y'].item():.10f} {a['delta_k'].item():.10f}" == "0.8802768803 0.0400771881"
    assert f"{b['y'].item():.10f} {b['delta_k'].item():.10f}" == "0.8805242432 0.0400316452"
    assert f"{c['y'].item():.6f} {c['delta_k'].item():.8f}" == "0.525624 0.00638907"
    assert torch.equal(a["dW1"][0], a["dW1"][1])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_of_symbols_holds_example_a(page: Callable[[str], dict[str, Any]], lang: str) -> None:
    """Each row: the shapes, and the numbers without repetition, of the quantities that its last column names."""
    ns = page(PAGE)
    known = {step.symbol: step.value for step in ns["trace_a"]} | {"x": ns["x"], "t": ns["t"]}
    known |= {f"{kind}{i}": getattr(layer, kind) for i, layer in enumerate(ns["a_layers"], 1) for kind in "Wb"}
    rows = [line.split(" | ") for line in page_path(PAGE, lang).read_text("utf-8").splitlines() if line[:3] == "| $"]
    assert len(rows) == 12
    for symbol, _, shapes, numbers, code in rows:
        values = [known[name] for name in re.findall(r"`(\w+)`", code)]
        columns = [value if value.ndim == 2 else value[:, None] for value in values if value.ndim]
        assert re.findall(r"\d×\d", shapes) == [f"{len(column)}×{column.shape[1]}" for column in columns], symbol
        found = [number for number, _ in groupby(re.findall(r"\d[\d.e-]*", numbers))]
        digits = [f"{number:.6g}" for value in values for number in value.flatten().tolist()]
        assert found == [number for number, _ in groupby(digits)] or (not found and "`dW1`" in code), symbol


@pytest.mark.parametrize("example", ["a", "b", "c"])
def test_the_tables_equal_autograd(page: Callable[[str], dict[str, Any]], example: str) -> None:
    ns = page(PAGE)
    layers = {"a": ns["a_layers"], "b": ns["b_layers"], "c": [ns["hidden"], ns["output"]]}[example]
    W1, b1, W2, b2 = (value.clone().requires_grad_() for layer in layers for value in (layer.W, layer.b))
    z1 = F.linear(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), W1, b1)
    h = torch.sigmoid(z1)
    z2 = F.linear(h, W2, b2)
    y = torch.sigmoid(z2)
    L = ((y - 0.5) ** 2).sum() / 2
    leaves = {"delta_k": z2, "dW2": W2, "db2": b2, "delta_h": z1, "dW1": W1, "db1": b1}
    expected = dict(zip(leaves, torch.autograd.grad(L, list(leaves.values())), strict=True))
    expected |= {"z1": z1, "h": h, "z2": z2, "y": y, "L": L}
    trace = ns[f"trace_{example}"]
    assert {step.symbol for step in trace} == set(expected)
    for step in trace:
        torch.testing.assert_close(step.value, expected[step.symbol].detach(), rtol=1e-12, atol=1e-14)
        assert step.code.startswith(f"{step.symbol} = ")


# exercises -----------------------------------------------------------------------------------------------------------

Solution = Callable[..., Any]


def check_bce(solution: Solution) -> bool:
    z = torch.tensor([[2.0, -1.0], [0.3, 4.0]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    (expected,) = torch.autograd.grad(F.binary_cross_entropy(torch.sigmoid(z), t), z)
    return torch.allclose(solution(torch.sigmoid(z.detach()), t), expected)


def test_exercise_bce(page: Callable[[str], dict[str, Any]]) -> None:
    assert check_bce(page(PAGE)["delta_bce"])
    assert not check_bce(lambda y, t: (y - t) * y * (1 - y) / y.numel())  # the derivative has not cancelled
    assert not check_bce(lambda y, t: y - t)  # the sum in the place of the mean


def check_relu(solution: Solution) -> bool:
    for seed in range(4):
        n = Net(seed)
        leaves = {"W1": n.W1, "b1": n.b1[:, 0], "W2": n.W2, "b2": n.b2[:, 0]}
        leaves = {name: value.detach().requires_grad_() for name, value in leaves.items()}
        x, t = n.x[:, 0], n.t[:, 0]
        h = F.relu(leaves["W1"] @ x + leaves["b1"])
        L = F.mse_loss(torch.sigmoid(leaves["W2"] @ h + leaves["b2"]), t, reduction="sum") / 2
        expected = dict(zip(leaves, torch.autograd.grad(L, list(leaves.values())), strict=True))
        found = solution(*(value.detach() for value in leaves.values()), x, t)
        if not all(torch.allclose(found[name], expected[name]) for name in expected):
            return False
    return True


def test_exercise_relu(page: Callable[[str], dict[str, Any]]) -> None:
    right = page(PAGE)["relu_gradients"]
    assert check_relu(right)

    def without_slope(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        y = torch.sigmoid(W2 @ (W1 @ x + b1).clamp(min=0) + b2)
        delta_h = W2.T @ ((y - t) * y * (1 - y))  # a dead neuron still gets a gradient
        return right(W1, b1, W2, b2, x, t) | {"W1": torch.outer(delta_h, x), "b1": delta_h}

    def value_for_slope(W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        found = right(W1, b1, W2, b2, x, t)
        delta_h = found["b1"] * (W1 @ x + b1)  # ReLU(z) in the place of its slope
        return found | {"W1": torch.outer(delta_h, x), "b1": delta_h}

    assert not check_relu(without_slope)
    assert not check_relu(value_for_slope)


def check_batch(solution: Solution) -> bool:
    gen = torch.Generator().manual_seed(0)
    delta = torch.randn(2, 4, dtype=torch.float64, generator=gen)
    inputs = torch.randn(2, 3, dtype=torch.float64, generator=gen)
    linear = nn.Linear(3, 4, dtype=torch.float64)
    linear(inputs).backward(delta)
    assert linear.weight.grad is not None
    assert linear.bias.grad is not None
    dW, db = solution(delta, inputs)
    same_shapes = dW.shape == linear.weight.shape and db.shape == linear.bias.shape
    return same_shapes and torch.allclose(dW, linear.weight.grad) and torch.allclose(db, linear.bias.grad)


def test_exercise_batch(page: Callable[[str], dict[str, Any]]) -> None:
    assert check_batch(page(PAGE)["batch_gradients"])
    assert not check_batch(lambda delta, inputs: (inputs.T @ delta, delta.sum(0)))  # the wrong order
    assert not check_batch(lambda delta, inputs: (delta.T @ inputs, delta.mean(0)))  # the mean of the samples
