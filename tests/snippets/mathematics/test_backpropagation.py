"""Each formula of mathematics/backpropagation against autograd in float64, and each exercise against wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAGE = "mathematics/backpropagation"


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
    """The derivative of the sigmoid by the page's formula."""
    return torch.sigmoid(z) * (1 - torch.sigmoid(z))


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


# formulas ------------------------------------------------------------------------------------------------------------


def test_sigmoid() -> None:
    z = torch.linspace(-8, 8, 33, dtype=torch.float64)
    close(1 / (1 + torch.exp(-z)), torch.sigmoid(z))


def test_sigmoid_slope() -> None:
    z = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    (auto,) = torch.autograd.grad(torch.sigmoid(z).sum(), z)
    e = torch.exp(-z.detach())
    close(e / (1 + e) ** 2, auto)
    close(1 / (1 + e) * (e / (1 + e)), auto)
    close(slope(z.detach()), auto)
    assert auto.max() <= 0.25


def test_hidden_layer(net: Net) -> None:
    close(net.h[:, 0], torch.sigmoid(F.linear(net.x[:, 0], net.W1, net.b1[:, 0])))


def test_output_layer(net: Net) -> None:
    close(net.y[:, 0], torch.sigmoid(F.linear(net.h[:, 0], net.W2, net.b2[:, 0])))


def test_delta_k(net: Net) -> None:
    close((net.y - net.t) * slope(net.z2), net.grad(net.z2))


def test_gradient_w2(net: Net) -> None:
    close(net.grad(net.z2) @ net.h.T, net.grad(net.W2))


def test_gradient_b2(net: Net) -> None:
    close(net.grad(net.z2), net.grad(net.b2))


def test_delta_h(net: Net) -> None:
    close((net.W2.T @ net.grad(net.z2)) * slope(net.z1), net.grad(net.z1))


def test_gradient_w1(net: Net) -> None:
    close(net.grad(net.z1) @ net.x.T, net.grad(net.W1))


def test_gradient_b1(net: Net) -> None:
    close(net.grad(net.z1), net.grad(net.b1))


def test_equal_rows_get_equal_gradients() -> None:
    W1, b1 = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64).repeat(2, 1), torch.zeros(2, dtype=torch.float64)
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for w_out, equal in (([0.7, 0.7], True), ([0.7, 0.8], False)):
        W = W1.clone().requires_grad_()
        out = torch.tensor(w_out, dtype=torch.float64, requires_grad=True)
        ((torch.sigmoid(out @ torch.sigmoid(W @ x + b1)) - 0.5) ** 2 / 2).backward()
        assert W.grad is not None
        assert torch.allclose(W.grad[0], W.grad[1], rtol=1e-12, atol=0) == equal


def test_finite_difference(net: Net) -> None:
    def loss(W1: Tensor) -> Tensor:
        y = torch.sigmoid(net.W2 @ torch.sigmoid(W1 @ net.x + net.b1) + net.b2)
        return ((y - net.t) ** 2).sum() / 2

    errors = []
    for eps in (1e-2, 1e-3):
        move = torch.zeros(2, 3, dtype=torch.float64)
        move[0, 1] = eps
        errors.append(((loss(net.W1 + move) - loss(net.W1 - move)) / (2 * eps) - net.grad(net.W1)[0, 1]).abs().item())
    assert errors[0] < 1e-4
    assert errors[1] < errors[0] / 50  # the error falls with the square of eps


def batch(net: Net) -> tuple[Tensor, Tensor, Tensor]:
    X = torch.cat([net.x.T, 2 - net.x.T, net.x.T**2])  # (3, 3): a sample in each row
    Z1 = X @ net.W1.T + torch.ones(3, 1, dtype=torch.float64) @ net.b1.T
    return X, Z1, torch.cat([net.t.T, 1 - net.t.T, net.t.T])


def test_batch_forward(net: Net) -> None:
    X, Z1, _ = batch(net)
    close(Z1, F.linear(X, net.W1, net.b1[:, 0]))
    for row, sample in zip(Z1, X, strict=True):
        close(row[:, None], net.W1 @ sample[:, None] + net.b1)


def test_batch_backward(net: Net) -> None:
    X, Z1, T = batch(net)
    Z2 = F.linear(torch.sigmoid(Z1), net.W2, net.b2[:, 0])
    L = ((torch.sigmoid(Z2) - T) ** 2).sum() / 2
    delta_k, delta_h, dW1, db1 = torch.autograd.grad(L, [Z2, Z1, net.W1, net.b1])
    close((delta_k @ net.W2) * slope(Z1), delta_h)
    close(delta_h.T @ X, dW1)
    close(delta_h.T @ torch.ones(3, 1, dtype=torch.float64), db1)


def test_update(net: Net) -> None:
    parameters = [net.W1, net.b1, net.W2, net.b2]
    expected = [p.detach() - 0.3 * net.grad(p) for p in parameters]
    net.L.backward()
    torch.optim.SGD(parameters, lr=0.3).step()
    for parameter, value in zip(parameters, expected, strict=True):
        close(parameter.detach(), value)


def test_delta_mse(net: Net) -> None:
    net.L = nn.MSELoss()(net.y, net.t)
    close(((net.y - net.t) ** 2).sum() / 2, net.L)  # N = 2 entries
    close(2 / 2 * (net.y - net.t) * slope(net.z2), net.grad(net.z2))
    one = Net(7)
    one.L = nn.MSELoss()(one.y[:1], one.t[:1])  # N = 1
    close(2 * (one.y - one.t)[:1] * slope(one.z2)[:1], one.grad(one.z2)[:1])


def test_bce(net: Net) -> None:
    close(-(net.t * net.y.log() + (1 - net.t) * (1 - net.y).log()).sum() / 2, nn.BCELoss()(net.y, net.t))


def test_delta_bce(net: Net) -> None:
    net.L = nn.BCELoss()(net.y, net.t)
    fraction = (net.y - net.t) / (net.y * (1 - net.y))
    close(fraction / 2, net.grad(net.y))
    close(fraction * net.y * (1 - net.y) / 2, net.grad(net.z2))
    close((net.y - net.t) / 2, net.grad(net.z2))


# the page's own numbers ----------------------------------------------------------------------------------------------


def test_the_page_computes_the_three_examples(page: Callable[[str], dict[str, Any]]) -> None:
    ns = page(PAGE)
    a, b, c = ns["trace_a"], ns["trace_b"], ns["trace_c"]
    assert f"{a['y'].item():.10f} {a['delta_k'].item():.10f}" == "0.8802768803 0.0400771881"
    assert f"{b['y'].item():.10f} {b['delta_k'].item():.10f}" == "0.8805242432 0.0400316452"
    assert f"{c['y'].item():.6f} {c['delta_k'].item():.8f}" == "0.525624 0.00638907"
    assert torch.equal(a["dW1"][0], a["dW1"][1])


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

    assert not check_relu(without_slope)


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
