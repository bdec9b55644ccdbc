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


@pytest.mark.proves("loss")
def test_loss(data, formula):
    x, y, w, b = data
    truth = nn.MSELoss()(w * x + b, y)
    formula("loss").holds({"L": lambda w, b: truth, "n": 7, "w": w, "x": x, "b": b, "y": y})


@pytest.mark.proves("gradient")
def test_gradient(data, formula):
    x, y, w, b = data
    slopes = torch.autograd.grad(nn.MSELoss()(w * x + b, y), [w, b])
    names = r"\frac{\partial L}{\partial w}", r"\frac{\partial L}{\partial b}"
    formula("gradient").holds({**dict(zip(names, slopes, strict=True)), "n": 7, "w": w, "x": x, "b": b, "y": y})


@pytest.mark.proves("step")
def test_step(data, formula):
    x, y, *start = data
    w, b = (one.detach().clone().requires_grad_() for one in start)
    nn.MSELoss()(w * x + b, y).backward()
    torch.optim.SGD([w, b], lr=0.1).step()
    formula("step").holds({
        r"w \leftarrow": w, "w": start[0], r"\frac{\partial L}{\partial w}": w.grad, r"\eta": 0.1,
        r"b \leftarrow": b, "b": start[1], r"\frac{\partial L}{\partial b}": b.grad,
    })


@pytest.mark.proves("hessian")
def test_hessian(data, formula):
    x, y, w, b = data

    def loss(theta: Tensor) -> Tensor:
        return nn.functional.mse_loss(theta[0] * x + theta[1], y)

    by_torch = torch.autograd.functional.hessian(loss, torch.stack([w, b]).detach())
    formula("hessian").holds({"H": by_torch, "n": 7, "x": x})
    assert torch.allclose(hessian(x), by_torch, rtol=1e-12)


@pytest.mark.proves("error-recursion")
def test_error_recursion(formula):
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    solution = torch.tensor([2.0, 0.0], dtype=torch.float64)
    for lr in (0.01, 0.1, 0.19):
        path = descend(x, 2 * x, lr, 20)
        for before, after in pairwise(path):
            formula("error-recursion").holds({
                r"\theta_{t+1}": after, r"\theta^\ast": solution, r"\theta_t": before, r"\eta": lr, "H": hessian(x),
                "I": torch.eye(2, dtype=torch.float64)}, atol=1e-11)


@pytest.mark.proves("step-limit")
def test_step_limit(formula):
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    smallest, largest = torch.linalg.eigvalsh(hessian(x)).tolist()
    assert (round(smallest, 4), round(largest, 3), round(2 / largest, 4)) == (0.2404, 11.093, 0.1803)
    formula("step-limit").holds({r"\eta": 0.1, r"\lambda_{\max}": largest}, atol=2e-5)

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
