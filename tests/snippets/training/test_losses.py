"""Each formula of training/losses against torch in float64, and each exercise against wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

PAGE = "training/losses"
Formula = Callable[[str], Any]
Page = Callable[[str], dict[str, Any]]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.proves("mse", "mse-gradient", "l1", "huber")
def test_numbers(formula: Formula) -> None:
    x, t = random(6).requires_grad_(), random(6, seed=1)
    L = F.mse_loss(x, t)
    L.backward()
    values = {"x": x.detach(), "t": t, "N": 6}
    formula("mse").holds({"L": L, **values})
    formula("mse-gradient").holds({r"\frac{\partial L}{\partial x}": x.grad, **values})
    formula("l1").holds({"L": F.l1_loss(x, t), **values})
    for e in (0.0, 0.4, -0.4, 0.7, 3.0, -3.0):
        error = torch.tensor(e, dtype=torch.float64)
        ell = F.huber_loss(error, torch.zeros_like(error), delta=0.7)
        formula("huber").holds({r"\ell": ell, "e": error, r"\delta": 0.7})


@pytest.mark.proves("mean-is-best")
def test_mean_is_best(formula: Formula) -> None:
    t = random(7)
    c = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    L = F.mse_loss(c.expand(7), t)
    (first,) = torch.autograd.grad(L, c, create_graph=True)
    (second,) = torch.autograd.grad(first, c)
    formula("mean-is-best").holds({"c": -first.detach() / second, "t": t, "N": 7})  # Newton's step from 0


@pytest.mark.proves("bce-with-logits")
def test_scores_of_yes_and_no(formula: Formula) -> None:
    for s in (-30.0, -0.5, 0.0, 0.5, 30.0, 800.0):
        for t in (0.0, 0.3, 1.0):
            score, target = torch.tensor(s).double(), torch.tensor(t).double()
            ell = F.binary_cross_entropy_with_logits(score, target)
            formula("bce-with-logits").holds({r"\ell": ell, "s": score, "t": target})


@pytest.mark.proves("kl")
def test_divergence(formula: Formula) -> None:
    p, q = torch.softmax(random(4), 0), torch.softmax(random(4, seed=1), 0)
    D = torch.distributions.kl_divergence(torch.distributions.Categorical(p), torch.distributions.Categorical(q))
    formula("kl").holds({r"D(p \,\|\, q)": D, "p": p, "q": q, "C": 4})
    torch.testing.assert_close(F.kl_div(q.log(), p, reduction="sum"), D, rtol=1e-12, atol=0)


@pytest.mark.proves("hinge", "multi-margin")
def test_margins(formula: Formula) -> None:
    for y in (-1, 1):
        for f in (-2.0, -0.3, 0.4, 2.0):
            yf = torch.tensor([y * f], dtype=torch.float64)
            ell = F.hinge_embedding_loss(yf, -torch.ones_like(yf))
            formula("hinge").holds({r"\ell": ell, "y": y, "f": f})
    x = random(5)
    for t in range(1, 6):
        ell = F.multi_margin_loss(x[None], torch.tensor([t - 1]), margin=0.7)
        formula("multi-margin").holds({r"\ell": ell, "x": x, "t": t, "m": 0.7, "C": 5})


@pytest.mark.proves("triplet")
def test_triplet(formula: Formula) -> None:
    costs = []
    for seed in range(8):
        a, p, n = (random(1, 3, seed=3 * seed + i) for i in range(3))
        ell = F.triplet_margin_loss(a, p, n, margin=0.7, eps=0.0)
        costs.append(ell.item())
        values = {r"\ell": ell, "m": 0.7, "a": a[0], "p": p[0], "n": n[0]}
        formula("triplet").holds({**values, "d": lambda u, v: F.pairwise_distance(u, v, eps=0.0)})
    assert min(costs) == 0 < max(costs)


@pytest.mark.proves("balanced")
def test_balanced_weights(formula: Formula, page: Page) -> None:
    """Each class has the same share of the weighted mean: a constant of all losses of one class shows it."""
    counts, each = torch.tensor([6, 3, 1]), torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    labels = torch.repeat_interleave(torch.arange(3), counts)
    weight = torch.tensor(compute_class_weight("balanced", classes=numpy.arange(3), y=labels.numpy()))
    for c in (1, 2, 3):
        formula("balanced").holds({"w_c": weight[c - 1], "N": 10, "C": 3, "n": counts.double(), "c": c})
    log_p = -each.expand(10, 3)
    mean = F.nll_loss(log_p, labels, weight=weight)
    torch.testing.assert_close(mean, each.mean(), rtol=1e-12, atol=0)


def test_the_page_shows_what_it_claims(page: Page) -> None:
    names = page(PAGE)
    assert names["right_side"] > 0.95
    assert names["active"] < 0.2
    slopes = {loss: names["fit"](getattr(F, loss))[0].item() for loss in ("mse_loss", "l1_loss", "huber_loss")}
    assert abs(slopes["mse_loss"] - 2) > 1
    assert abs(slopes["l1_loss"] - 2) < 0.1
    assert abs(slopes["huber_loss"] - 2) < 0.1
    plain, weighted = names["rates"](None), names["rates"](names["balanced"])
    assert plain[0] > weighted[0]
    assert plain[1] < 0.5 < weighted[1]
    assert plain[2] > weighted[2]


def check_quantile(answer: Callable[..., Tensor]) -> bool:
    for tau in (0.5, 0.9, 0.2):
        x, t = random(8).requires_grad_(), random(8, seed=1)
        (slope,) = torch.autograd.grad(answer(x, t, tau), x)
        expected = torch.where(x < t, torch.full_like(t, -tau), torch.full_like(t, 1 - tau)) / 8
        zero = answer(t, t, tau)
        if not torch.allclose(slope, expected, rtol=1e-10) or zero != 0:
            return False
    return True


def test_exercise_quantile(page: Page) -> None:
    assert check_quantile(page(PAGE)["quantile_loss"])
    assert not check_quantile(lambda x, t, tau: (x - t).abs().mean())
    assert not check_quantile(lambda x, t, tau: torch.maximum(tau * (x - t), (tau - 1) * (x - t)).mean())
    assert not check_quantile(lambda x, t, tau: torch.maximum(tau * (t - x), (tau - 1) * (t - x)).sum())


def check_focal(answer: Callable[..., Tensor]) -> bool:
    z, t = 3 * random(9), torch.tensor([0.0, 1, 1, 0, 1, 0, 0, 1, 1], dtype=torch.float64)
    return all(torch.allclose(answer(z, t, gamma), sigmoid_focal_loss(z, t, -1, gamma, "mean"), rtol=1e-10)
               for gamma in (0.0, 1.0, 2.5))


def test_exercise_focal(page: Page) -> None:
    assert check_focal(page(PAGE)["focal_loss"])
    assert not check_focal(lambda z, t, gamma: F.binary_cross_entropy_with_logits(z, t))

    def of_yes_only(z: Tensor, t: Tensor, gamma: float) -> Tensor:
        plain = F.binary_cross_entropy_with_logits(z, t, reduction="none")
        return ((1 - z.sigmoid()) ** gamma * plain).mean()

    assert not check_focal(of_yes_only)
