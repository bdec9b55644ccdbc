"""Each formula of mathematics/softmax against torch in float64, and each exercise against wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.nn import functional as F

PAGE = "mathematics/softmax"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return random(*shape, seed=seed).requires_grad_()


@pytest.mark.proves("softmax", "shift", "log-softmax", "temperature")
def test_softmax(formula: Formula) -> None:
    z = 3 * random(4)
    for i in range(1, 5):
        values = {"z": z, "C": 4, "i": i, "m": 1.7}
        formula("softmax").holds({"y": torch.softmax(z, 0), **values})
        formula("shift").holds({"y": torch.softmax(z, 0), **values})
        formula("log-softmax").holds({r"\log y_i": torch.log_softmax(z, 0)[i - 1], **values})
        formula("temperature").holds({"y": torch.softmax(z / 2.5, 0), "T": 2.5, **values})


@pytest.mark.proves("loss", "entropy")
def test_cross_entropy(formula: Formula) -> None:
    z, q = random(4), torch.softmax(random(4, seed=1), 0)
    y = torch.softmax(z, 0)
    L = F.cross_entropy(z[None], q[None])
    formula("entropy").holds({"L": L, "q": q, "y": y, "C": 4})
    for index in range(4):
        t = F.one_hot(torch.tensor(index), 4).double()
        formula("loss").holds({"L": F.cross_entropy(z[None], torch.tensor([index])), "t": t, "y": y, "C": 4})


@pytest.mark.proves("likelihood")
def test_likelihood(formula: Formula) -> None:
    z, labels = random(6, 4), torch.tensor([0, 3, 2, 2, 1, 0])
    p = torch.softmax(z, 1)[torch.arange(6), labels]
    formula("likelihood").holds({"L": F.cross_entropy(z, labels), "N": 6, "p": p})


# the Jacobian is symmetric: without its transposition the formula is still true
@pytest.mark.proves("jacobian", "slope-of-probabilities", "gradient", equivalent=[
    r"\frac{\partial L}{\partial z} = J \frac{\partial L}{\partial y} = y \sum_{c=1}^{C} t_c - t = y - t"])
def test_gradient_through_the_jacobian(formula: Formula) -> None:
    for index in range(4):
        z, t = leaf(4, seed=index), F.one_hot(torch.tensor(index), 4).double()
        y = torch.softmax(z, 0)
        L = F.nll_loss(torch.log(y)[None], torch.tensor([index]))
        at_y, at_z = torch.autograd.grad(L, (y, z))
        J = jacobian(lambda z: torch.softmax(z, 0), z.detach())
        y = y.detach()
        formula("jacobian").holds({"J": J, "y": y})
        by_y, by_z = r"\frac{\partial L}{\partial y}", r"\frac{\partial L}{\partial z}"
        for c in range(1, 5):
            values = {r"\frac{\partial L}{\partial y_c}": at_y[c - 1], "t": t, "y": y, "c": c}
            formula("slope-of-probabilities").holds(values)
        formula("gradient").holds({by_z: at_z, by_y: at_y, "J": J, "y": y, "t": t, "C": 4})


@pytest.mark.proves("batch-gradient")
def test_gradient_of_a_batch(formula: Formula) -> None:
    z, labels = leaf(6, 4), torch.tensor([0, 3, 2, 2, 1, 0])
    F.cross_entropy(z, labels).backward()
    y, t = torch.softmax(z, 1).detach(), F.one_hot(labels, 4).double()
    formula("batch-gradient").holds({r"\frac{\partial L}{\partial z}": z.grad, "N": 6, "y": y, "t": t})


@pytest.mark.proves("binary", "binary-gradient")
def test_two_classes(formula: Formula) -> None:
    for t in (0.0, 1.0):
        s = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        L = F.cross_entropy(torch.stack([torch.zeros_like(s), s])[None], torch.tensor([int(t)]))
        (slope,) = torch.autograd.grad(L, s)
        p = torch.sigmoid(s).item()
        formula("binary").holds({"L": L, "t": t, "p": p})
        formula("binary-gradient").holds({r"\frac{\partial L}{\partial s}": slope, "p": p, "t": t})


@pytest.mark.proves("weighted-mean")
def test_weighted_mean(formula: Formula) -> None:
    z, labels = random(6, 4), torch.tensor([0, 3, 2, 2, 1, 0])
    weight = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
    L = F.cross_entropy(z, labels, weight=weight)
    each = F.cross_entropy(z, labels, reduction="none")
    formula("weighted-mean").holds({"L": L, "N": 6, "w": weight[labels], r"\ell": each})
    ignored = F.cross_entropy(z, labels, ignore_index=2)  # as if their weight were 0
    formula("weighted-mean").holds({"L": ignored, "N": 6, "w": (labels != 2).double(), r"\ell": each})


@pytest.mark.proves("smoothing", "smoothing-gap")
def test_label_smoothing(formula: Formula) -> None:
    C, epsilon, target = 5, 0.3, torch.tensor([2])
    t = F.one_hot(target, C).double()[0]
    z = leaf(1, C)
    F.cross_entropy(z, target, label_smoothing=epsilon).backward()
    assert z.grad is not None
    q = torch.softmax(z.detach()[0], 0) - z.grad[0]  # the gradient is y - q
    formula("smoothing").holds({"q": q, r"\epsilon": epsilon, "t": t, "C": C})

    gap = torch.tensor(0.0, dtype=torch.float64)  # Newton's method: where the slope by the gap is 0
    for _ in range(30):
        g = gap.clone().requires_grad_()
        L = F.cross_entropy((t * g)[None], target, label_smoothing=epsilon)
        (first,) = torch.autograd.grad(L, g, create_graph=True)
        (second,) = torch.autograd.grad(first, g)
        gap = gap - first.detach() / second
    formula("smoothing-gap").holds({"g": gap, "C": C, r"\epsilon": epsilon})


@pytest.mark.proves("floor")
def test_floor_of_softmax_twice(formula: Formula) -> None:
    for C in (2, 10):
        certain = F.one_hot(torch.tensor([1]), C).double()
        formula("floor").holds({"L": F.cross_entropy(certain, torch.tensor([1])), "C": C})
        for seed in range(5):
            p = torch.softmax(10 * random(1, C, seed=seed), 1)
            assert F.cross_entropy(p, torch.tensor([1])) >= formula("floor").right({"L": 0, "C": C})


def test_the_page_shows_what_it_claims(page: Page) -> None:
    curves = page(PAGE)["curves"]
    assert abs(curves["scores"][-1] - curves["log_softmax"][-1]) < 1e-3
    assert curves["scores"][-1] < 0.15
    assert curves["softmax"][-1] > 1.8
    assert min(curves["softmax"]) > page(PAGE)["torch"].tensor(1.461)


def check_distillation(answer: Callable[..., Tensor]) -> bool:
    for T in (1.0, 4.0):
        z, q = leaf(5, 3), torch.softmax(random(5, 3, seed=1), 1)
        (expected,) = torch.autograd.grad(F.cross_entropy(z / T, q), z)
        if not torch.allclose(answer(z.detach(), q, T), expected, rtol=1e-10, atol=0):
            return False
    return True


def test_exercise_temperature(page: Page) -> None:
    assert check_distillation(page(PAGE)["distillation_gradient"])
    assert not check_distillation(lambda z, q, T: (torch.softmax(z / T, 1) - q) / len(z))
    assert not check_distillation(lambda z, q, T: (torch.softmax(z / T, 1) - q) / T)
    assert not check_distillation(lambda z, q, T: (torch.softmax(z, 1) - q) / (T * len(z)))


def check_logsumexp(answer: Callable[[Tensor], Tensor]) -> bool:
    inf = float("inf")
    rows = torch.tensor([[1000.0, 999], [-1000, -1001], [-inf, -inf], [inf, 0], [0.3, -inf]], dtype=torch.float64)
    return all(torch.allclose(answer(z), torch.logsumexp(z, -1), rtol=1e-12) for z in (rows, random(2, 3, 4)))


def test_exercise_logsumexp(page: Page) -> None:
    assert check_logsumexp(page(PAGE)["logsumexp"])
    assert not check_logsumexp(lambda z: z.exp().sum(-1).log())
    assert not check_logsumexp(lambda z: z.amax(-1) + (z - z.amax(-1, keepdim=True)).exp().sum(-1).log())
    assert not check_logsumexp(lambda z: z.amax(-1))
