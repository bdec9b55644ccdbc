"""Proofs of the formulas of training/regularization, and its exercises."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlguide.functional.dropout import dropout_backward, dropout_mask

PAGE = "training/regularization"
GENERATOR = torch.Generator().manual_seed(6)


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.proves("polynomial", "error")
def test_polynomial_and_error(formula):
    w, xs, ys = numbers(4), numbers(5), numbers(5)

    def value(x):
        return torch.tensor(np.polyval(w.numpy()[::-1], float(x)))

    for x in xs:
        formula("polynomial").holds({"f": value, "d": 3, "w": w, "x": x}, first=0)
    mean = F.mse_loss(torch.stack([value(x) for x in xs]), ys)
    formula("error").holds({"E": mean, "n": 5, "f": value, "x": xs, "y": ys})


def torch_step(w, slope, **options):
    leaf = w.clone().requires_grad_()
    leaf.grad = slope.clone()
    torch.optim.SGD([leaf], lr=0.1, **options).step()
    return leaf.detach()


@pytest.mark.proves("l2-step")
def test_l2_step(formula):
    w, slope = numbers(5), numbers(5)
    formula("l2-step").holds({"w_t": torch_step(w, slope, weight_decay=0.7), "w_{t-1}": w, r"\eta": 0.1,
                              r"\nabla L": slope, r"\lambda": 0.7})


@pytest.mark.proves("ridge")
def test_ridge(formula):
    """The least squares of the data, stretched by rows that ask each weight to be 0."""
    X, y, decay = numbers(7, 4), numbers(7), 0.3
    rows = torch.cat([X, decay**0.5 * torch.eye(4, dtype=torch.float64)])
    w = torch.linalg.lstsq(rows, torch.cat([y, torch.zeros(4, dtype=torch.float64)])[:, None]).solution[:, 0]
    leaf = w.clone().requires_grad_()
    (((X @ leaf - y) ** 2).sum() / 2 + decay / 2 * (leaf**2).sum()).backward()
    assert leaf.grad.abs().max() < 1e-12  # it is the minimum
    formula("ridge").holds({"w": w, "X": X, "y": y, r"\lambda": decay, "I": torch.eye(4, dtype=torch.float64)})


@pytest.mark.proves("l1-step")
def test_l1_step(formula):
    w, target, decay = numbers(5), numbers(5), 0.7
    leaf = w.clone().requires_grad_()
    (((leaf - target) ** 2).sum() + decay * leaf.abs().sum()).backward()
    formula("l1-step").holds({"w_t": torch_step(w, leaf.grad), "w_{t-1}": w, r"\eta": 0.1, r"\lambda": decay,
                              r"\nabla L": 2 * (w - target)})


@pytest.mark.proves("soft-threshold")
def test_soft_threshold(page, formula):
    u = 3 * torch.cat([numbers(9), torch.zeros(1, dtype=torch.float64)])
    formula("soft-threshold").holds(
        {"S": lambda v: F.softshrink(v, 0.4 * 2), "u": u, r"\eta": 0.4, r"\lambda": 2.0})
    torch.testing.assert_close(page(PAGE)["soft_threshold"](u, 0.8), F.softshrink(u, 0.8))


def minimum(slope):
    """Where a rising slope crosses 0, by halving."""
    low, high = -10.0, 10.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


@pytest.mark.proves("shrink")
def test_shrink(formula):
    """Against the minimum of (w - a)^2 / 2 plus the penalty, found by halving."""
    for a, decay in itertools.product((-3.0, -0.4, 0.7, 2.5), (0.5, 2.0)):
        formula("shrink").holds({
            "a": a, r"\lambda": decay, "u": minimum(lambda w, a=a, d=decay: w - a + d * w),
            "s": minimum(lambda w, a=a, d=decay: w - a + d * ((w > 0) - (w < 0)))})


@pytest.mark.proves("dropout-values", "dropout-gradient")
def test_dropout_values(formula):
    p, x, g = 0.3, numbers(20).requires_grad_(), numbers(20)
    torch.manual_seed(0)
    y = F.dropout(x, p)
    [grad] = torch.autograd.grad(y, x, g)
    torch.manual_seed(0)
    b = dropout_mask(x.detach(), p)
    assert 0 < b.sum() < 20
    values = {"y": y.detach(), "b": b, "x": x.detach(), "p": p, "g": g, r"\frac{\partial L}{\partial x}": grad}
    formula("dropout-values").holds(values)
    formula("dropout-gradient").holds(values)
    torch.testing.assert_close(dropout_backward(g, b, p), grad)


@pytest.mark.proves("dropout-mean", "dropout-variance")
def test_dropout_mean_and_variance(formula):
    """The two values that torch gives, weighed by their probabilities."""
    for p, x in ((0.2, 3.0), (0.7, -1.5)):
        torch.manual_seed(0)
        zero, kept = sorted(F.dropout(torch.full((100,), x, dtype=torch.float64), p).unique().tolist(), key=abs)
        mean, square = p * zero + (1 - p) * kept, p * zero**2 + (1 - p) * kept**2
        formula("dropout-mean").holds({"E[y]": mean, "p": p, "x": x})
        formula("dropout-variance").holds(
            {r"\operatorname{Var}[y]": square - mean**2, "E[y^2]": square, "p": p, "x": x})


def test_errors_against_the_degree(page):
    errors = page(PAGE)["errors"]
    train, test = zip(*errors, strict=True)
    assert all(b <= a for a, b in itertools.pairwise(train))  # more powers never fit worse
    best = min(range(11), key=lambda i: test[i])
    assert best + 1 == 5
    assert test[0] > 4 * test[best]  # too few
    assert test[10] > 10 * test[best]  # too many


def test_more_data_lowers_the_test_error(page):
    train, test = zip(*page(PAGE)["medians"], strict=True)
    assert all(b < a for a, b in itertools.pairwise(test))
    assert all(b > a for a, b in itertools.pairwise(train))


def test_only_the_proximal_step_gives_exact_zeros(page):
    names = page(PAGE)
    zeros = {kind: (names["descend"](kind, 0.2) == 0).sum().item() for kind in ("L2", "L1", "L1, proximal")}
    assert zeros == {"L2": 0, "L1": 0, "L1, proximal": 16}
    assert (names["descend"]("L1, proximal", 0.2)[:4] != 0).all()


def test_every_method_narrows_the_gap(page):
    table = dict(page(PAGE)["compared"])
    start, end = table.pop("nothing")
    assert len(table) == 6
    for name, (training, test) in table.items():
        assert test - training < 0.8 * (end - start), name
        assert test < end, name


def test_early_stopping_restores_the_best_weights(page):
    names = page(PAGE)
    *_, net, curve = names["learn"](stop=True)
    best = min(loss for _, loss in curve)
    assert names["loss_of"](net, *names["validation"]) == pytest.approx(best, rel=1e-12)
    assert curve[-1][1] > 1.5 * best


def check_patience(stop_at):
    cases = [
        ([1.0, 0.8, 0.9, 0.7, 0.75, 0.72, 0.71, 0.6], 3, (3, 6)), ([3.0, 2.0, 1.0], 2, (2, 2)),
        ([1.0, 2.0, 3.0, 0.5], 2, (0, 2)), ([1.0, 1.0, 1.0, 1.0], 3, (0, 3)), ([1.0], 1, (0, 0)),
        ([5.0, 4.0, 4.5, 3.0, 3.5, 3.5], 2, (3, 5)),
    ]
    return all(tuple(stop_at(losses, patience)) == answer for losses, patience, answer in cases)


def test_exercise_patience(page):
    assert check_patience(page(PAGE)["stop_at"])

    def never_counts_anew(losses, patience):
        worse = 0
        best = 0
        for epoch, loss in enumerate(losses):
            worse += loss > losses[best]
            best = epoch if loss < losses[best] else best
            if worse == patience:
                return best, epoch
        return best, len(losses) - 1

    def at_the_first_rise(losses, patience):
        for epoch in range(1, len(losses)):
            if losses[epoch] > losses[epoch - 1]:
                return epoch - 1, epoch
        return len(losses) - 1, len(losses) - 1

    assert not check_patience(never_counts_anew)
    assert not check_patience(at_the_first_rise)


def check_elastic(step):
    """Many steps end where the slope of the whole loss is 0, or its jump holds 0."""
    a = torch.tensor([3.0, -2.0, 0.2, -0.1], dtype=torch.float64)
    w, l1, l2 = torch.zeros(4, dtype=torch.float64), 0.5, 0.3
    for _ in range(500):
        w = step(w, w - a, 0.1, l1, l2)
    return torch.allclose(w, F.softshrink(a, l1) / (1 + l2), atol=1e-12) and (w[2:] == 0).all().item()


def test_exercise_elastic(page):
    assert check_elastic(page(PAGE)["elastic"])
    soft = page(PAGE)["soft_threshold"]
    assert not check_elastic(lambda w, slope, lr, l1, l2: w - lr * (slope + l2 * w + l1 * w.sign()))
    assert not check_elastic(lambda w, slope, lr, l1, l2: soft(w - lr * (slope + l2 * w), l1))
    assert not check_elastic(lambda w, slope, lr, l1, l2: soft(w - lr * slope, lr * l1))


def test_what_goes_wrong_does(page):
    names = page(PAGE)
    assert names["reference"]["weight"].item() == 100
    assert names["copied"]["weight"].item() == 1
    assert isinstance(names["net"][1], nn.LayerNorm)
    assert [len(group["params"]) for group in names["options"]] == [2, 4]
