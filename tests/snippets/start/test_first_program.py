"""Proofs of the formulas of start/first-program, and its exercises."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

PAGE = "start/first-program"


@pytest.fixture
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Seven points on no line at all, and a line: x, y of shape [7], w and b scalars."""
    gen = torch.Generator().manual_seed(3)
    x, y = torch.randn(2, 7, generator=gen, dtype=torch.float64)
    w, b = torch.randn(2, generator=gen, dtype=torch.float64)
    return x, y, w.requires_grad_(), b.requires_grad_()


def gradient(x: Tensor, y: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    error = w * x + b - y
    return 2 / len(x) * (error * x).sum(), 2 / len(x) * error.sum()


def hessian(x: Tensor) -> Tensor:
    n = torch.tensor(len(x), dtype=x.dtype)
    return 2 / n * torch.stack([torch.stack([(x**2).sum(), x.sum()]), torch.stack([x.sum(), n])])


def descend(x: Tensor, y: Tensor, lr: float, steps: int) -> list[Tensor]:
    """The parameters [w, b] before each step of torch's own SGD, starting from zeros."""
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([theta], lr=lr)
    path = []
    for _ in range(steps):
        path.append(theta.detach().clone())
        sgd.zero_grad()
        nn.functional.mse_loss(theta[0] * x + theta[1], y).backward()
        sgd.step()
    return path


@pytest.mark.proves("loss", tex=r"L(w, b) = \frac{1}{n} \sum_{i=1}^{n} (w x_i + b - y_i)^2")
def test_loss(data):
    x, y, w, b = data
    assert torch.allclose(((w * x + b - y) ** 2).sum() / len(x), nn.MSELoss()(w * x + b, y), rtol=1e-14)


@pytest.mark.proves("gradient", tex=r"\frac{\partial L}{\partial w} = \frac{2}{n} \sum_{i=1}^{n} (w x_i + b - y_i)\, x_i \qquad \frac{\partial L}{\partial b} = \frac{2}{n} \sum_{i=1}^{n} (w x_i + b - y_i)")
def test_gradient(data):
    x, y, w, b = data
    nn.MSELoss()(w * x + b, y).backward()
    grad_w, grad_b = gradient(x, y, w, b)
    assert torch.allclose(grad_w, w.grad, rtol=1e-12)
    assert torch.allclose(grad_b, b.grad, rtol=1e-12)


@pytest.mark.proves("step", tex=r"w \leftarrow w - \eta\, \frac{\partial L}{\partial w} \qquad b \leftarrow b - \eta\, \frac{\partial L}{\partial b}")
def test_step(data):
    x, y, w, b = data
    grad_w, grad_b = gradient(x, y, w, b)
    expected = (w - 0.1 * grad_w).item(), (b - 0.1 * grad_b).item()
    nn.MSELoss()(w * x + b, y).backward()
    torch.optim.SGD([w, b], lr=0.1).step()
    assert (w.item(), b.item()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.proves("hessian", tex=r"H = \frac{2}{n} \begin{pmatrix} \sum_i x_i^2 & \sum_i x_i \\ \sum_i x_i & n \end{pmatrix}")
def test_hessian(data):
    x, y, w, b = data

    def loss(theta: Tensor) -> Tensor:
        return nn.functional.mse_loss(theta[0] * x + theta[1], y)

    by_torch = torch.autograd.functional.hessian(loss, torch.stack([w, b]).detach())
    assert torch.allclose(hessian(x), by_torch, rtol=1e-12)


@pytest.mark.proves("error-recursion", tex=r"\theta_{t+1} - \theta^\ast = (I - \eta H)\,(\theta_t - \theta^\ast)")
def test_error_recursion():
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    solution = torch.tensor([2.0, 0.0], dtype=torch.float64)
    for lr in (0.01, 0.1, 0.19):
        path = descend(x, 2 * x, lr, 20)
        matrix = torch.eye(2, dtype=torch.float64) - lr * hessian(x)
        for before, after in pairwise(path):
            assert torch.allclose(after - solution, matrix @ (before - solution), atol=1e-11)


@pytest.mark.proves("step-limit", tex=r"0 < \eta < \frac{2}{\lambda_{\max}} = \frac{2}{11.093} = 0.1803")
def test_step_limit():
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    smallest, largest = torch.linalg.eigvalsh(hessian(x)).tolist()
    assert (round(smallest, 4), round(largest, 3), round(2 / largest, 4)) == (0.2404, 11.093, 0.1803)

    def distance(lr: float) -> float:
        return (descend(x, 2 * x, lr, 4000)[-1] - torch.tensor([2.0, 0.0])).norm().item()

    assert distance(0.999 * 2 / largest) < 1e-3 < 10 < distance(1.001 * 2 / largest)


def test_tensor_arithmetic_equals_numpy(page):
    ns = page(PAGE)
    x, y = ns["x"].numpy(), ns["y"].numpy()
    for by_torch, by_numpy in [
        (ns["x"] + ns["y"], x + y),
        (ns["y"] - ns["x"], y - x),
        (ns["x"] * ns["y"], x * y),
        (ns["y"] / ns["x"], y / x),
        (ns["x"].sum(), x.sum()),
        (ns["x"].prod(), x.prod()),
        (ns["x"][1:], x[1:]),
    ]:
        assert np.array_equal(by_torch.numpy(), by_numpy)


def test_the_program_finds_the_line(page):
    ns = page(PAGE)
    assert ns["new"].item() == pytest.approx(8, abs=1e-4)
    assert ns["x"].grad is None
    assert sum(parameter.numel() for parameter in ns["model"].parameters()) == 2


def check_largest_step(solution: Callable[[Tensor], float]) -> None:
    for points in ([1.0, 2.0, 3.0], [0.0, 10.0, 20.0, 30.0], [-1.0, 5.0]):
        x = torch.tensor(points, dtype=torch.float64)
        limit = solution(x)
        below, above = (descend(x, 2 * x + 1, factor * limit, 400) for factor in (0.99, 1.01))
        assert (below[-1] - below[-2]).norm() < (below[2] - below[1]).norm()
        assert (above[-1] - above[-2]).norm() > (above[2] - above[1]).norm()


def test_exercise_largest_step(page):
    check_largest_step(page(PAGE)["largest_step"])


@pytest.mark.parametrize("factor", [0.5, 1.1, 3.0], ids=["1 over lambda", "a tenth too large", "n forgotten"])
def test_exercise_largest_step_rejects(page, factor):
    right = page(PAGE)["largest_step"]
    with pytest.raises(AssertionError):
        check_largest_step(lambda x: factor * right(x))


def check_centred(solution: Callable[[Tensor, Tensor, int], tuple[float, float]]) -> None:
    x = torch.tensor([4.0, 6.0, 9.0], dtype=torch.float64)
    assert solution(x, 3 * x - 5, 40) == pytest.approx((3, -5), abs=1e-3)


def test_exercise_centred(page):
    check_centred(page(PAGE)["fit_centred"])


def test_exercise_centred_rejects(page):
    right = page(PAGE)["fit_centred"]

    def bias_not_moved_back(x: Tensor, y: Tensor, epochs: int) -> tuple[float, float]:
        w, b = right(x, y, epochs)
        return w, b + w * x.mean().item()

    def not_centred(x: Tensor, y: Tensor, epochs: int) -> tuple[float, float]:
        w, b = descend(x, y, 0.01, epochs)[-1].tolist()
        return w, b

    for wrong in (bias_not_moved_back, not_centred):
        with pytest.raises(AssertionError):
            check_centred(wrong)
