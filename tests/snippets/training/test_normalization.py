"""Proofs of the formulas of training/normalization, and its exercises."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

PAGE = "training/normalization"
EPS = 0.1  # large enough to be noticed
GENERATOR = torch.Generator().manual_seed(4)


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64).mul(2).add(1)


class Batch:
    """One channel over a batch of 5, step by step and in torch, with every gradient."""

    def __init__(self):
        self.m = 5
        self.gamma, self.beta = numbers(1).requires_grad_(), numbers(1).requires_grad_()
        self.x = numbers(self.m).requires_grad_()
        self.mu = self.x.mean()
        self.variance = ((self.x - self.mu) ** 2).mean()
        for middle in (self.mu, self.variance):
            middle.retain_grad()
        self.s = (self.variance + EPS).sqrt()
        self.x_hat = (self.x - self.mu) / self.s
        self.x_hat.retain_grad()
        self.y = self.x_hat * self.gamma + self.beta
        self.g = numbers(self.m)
        self.y.backward(self.g)
        column = self.x.detach()[:, None].clone().requires_grad_()
        theirs = F.batch_norm(column, None, None, self.gamma.detach(), self.beta.detach(), True, eps=EPS)
        theirs.backward(self.g[:, None])
        torch.testing.assert_close(theirs[:, 0], self.y)
        self.grad = column.grad[:, 0]
        torch.testing.assert_close(self.grad, self.x.grad)
        self.values = {
            r"\mu": self.mu.detach(), r"\sigma^2": self.variance.detach(), "m": self.m, "x": self.x.detach(),
            r"\varepsilon": EPS, "s": self.s.detach(), r"\hat x": self.x_hat.detach(), "g": self.g,
            r"\gamma": self.gamma.item(), r"\beta": self.beta.item(), r"\hat g": self.x_hat.grad,
        }


@pytest.mark.proves("mean-variance")
def test_mean_and_variance(formula):
    batch = Batch()
    var, mean = torch.var_mean(batch.x.detach(), correction=0)
    formula("mean-variance").holds({**batch.values, r"\mu": mean, r"\sigma^2": var})


@pytest.mark.proves("normalize")
def test_normalize(formula):
    batch = Batch()
    x = batch.x.detach()[:, None]
    x_hat = F.batch_norm(x, None, None, training=True, eps=EPS)
    y = F.batch_norm(x, None, None, batch.gamma.detach(), batch.beta.detach(), True, eps=EPS)
    s = (x[0] - x.mean()) / x_hat[0]
    formula("normalize").holds({**batch.values, "s": s, r"\hat x": x_hat[:, 0], "y": y[:, 0]})


@pytest.mark.proves("bound")
def test_bound(formula):
    for x in (numbers(7, 1), torch.tensor([[0.0]] * 9 + [[100.0]], dtype=torch.float64)):
        x_hat = F.batch_norm(x, None, None, training=True)[:, 0]
        formula("bound").holds({r"\hat x": x_hat, "m": len(x)})
    assert x_hat.max().item() == pytest.approx(3, abs=1e-6)  # the bound is reached


@pytest.mark.proves("affine-gradients")
def test_affine_gradients(formula):
    batch = Batch()
    formula("affine-gradients").holds({
        **batch.values, r"\frac{\partial L}{\partial \gamma}": batch.gamma.grad[0],
        r"\frac{\partial L}{\partial \beta}": batch.beta.grad[0]})


@pytest.mark.proves("through-mean", "through-variance", "three-ways", "backward")
def test_backward(formula):
    batch = Batch()
    values = {**batch.values, r"\frac{\partial L}{\partial \mu}": batch.mu.grad,
              r"\frac{\partial L}{\partial \sigma^2}": batch.variance.grad,
              r"\frac{\partial L}{\partial x}": batch.grad}
    for name in ("through-mean", "through-variance", "three-ways", "backward"):
        formula(name).holds(values)


@pytest.mark.proves("no-shift-no-scale")
def test_no_shift_no_scale(formula):
    batch = Batch()
    formula("no-shift-no-scale").holds({**batch.values, "d": batch.grad})


@pytest.mark.proves(  # any shift is forgotten, so another sign is as true
    "layer-invariance",
    equivalent=[r"\operatorname{LN}_{\varepsilon}(a x - b) = \operatorname{LN}_{\varepsilon / a^2}(x)"])
def test_layer_invariance(formula):
    x, a, b = numbers(6), 3.0, -2.0
    formula("layer-invariance").holds({
        r"\operatorname{LN}_{\varepsilon}": lambda v: F.layer_norm(v, [6], eps=EPS),
        r"\operatorname{LN}_{\varepsilon / a^2}": lambda v: F.layer_norm(v, [6], eps=EPS / a**2),
        "a": a, "b": b, "x": x})


@pytest.mark.proves("rms", "rms-backward")
def test_rms(formula):
    x, gamma, g = numbers(6).requires_grad_(), numbers(6), numbers(6)
    y = F.rms_norm(x, [6], gamma, EPS)
    x_hat = F.rms_norm(x.detach(), [6], None, EPS)
    [grad] = torch.autograd.grad(y, x, g)
    rho = (x[0] / x_hat[0]).detach()
    values = {r"\rho": rho, "m": 6, "x": x.detach(), r"\varepsilon": EPS, "y": y.detach(), r"\gamma": gamma}
    formula("rms").holds(values)
    formula("rms-backward").holds({
        **values, r"\hat x": x_hat, r"\hat g": gamma * g, r"\frac{\partial L}{\partial x}": grad})


@pytest.mark.proves("local-response")
def test_local_response(formula):
    alpha, beta, k = 2.0, 0.75, 1.5
    for size, channels in ((3, 5), (4, 5), (1, 2), (9, 3)):
        x = numbers(channels)
        y = F.local_response_norm(x.reshape(1, channels, 1), size, alpha, beta, k).flatten()
        for c in range(1, channels + 1):
            first, last = max(1, c - size // 2), min(channels, c + (size - 1) // 2)
            formula("local-response").holds({
                "y_c": y[c - 1], "x_c": x[c - 1], "x": x, "k": k, r"\alpha": alpha, r"\beta": beta, "n": size,
                "a": first, "b": last, "c": c, "C": channels})


@pytest.mark.proves("running", "evaluation")
def test_running_statistics(formula):
    alpha, m = 0.3, 6
    norm = nn.BatchNorm1d(1, eps=EPS, momentum=alpha).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    for _ in range(3):
        x, r, v = numbers(m), norm.running_mean.clone(), norm.running_var.clone()
        norm(x[:, None])
        formula("running").holds({
            "r_t": norm.running_mean, "r_{t-1}": r, "v_t": norm.running_var, "v_{t-1}": v, r"\alpha": alpha, "m": m,
            r"\mu_t": x.mean(), r"\sigma_t^2": x.var(correction=0)})
    y = norm.eval()(x[:, None])[:, 0].detach()
    formula("evaluation").holds({
        "y": y, "x": x, "r": norm.running_mean, "v": norm.running_var, r"\varepsilon": EPS,
        r"\gamma": norm.weight.item(), r"\beta": norm.bias.item()})


@pytest.mark.proves("running-after")
def test_running_after(formula):
    norm, x = nn.BatchNorm1d(1, momentum=0.2).double(), numbers(5, 1)
    for t in range(1, 5):
        norm(x)
        formula("running-after").holds({"r_t": norm.running_mean, "t": t, r"\alpha": 0.2, r"\mu": x.mean()})
    norm, ones = nn.BatchNorm1d(1).double(), torch.tensor([[0.0], [2.0]], dtype=torch.float64)  # mean 1
    for t in range(1, 45):
        norm(ones)
        assert (norm.running_mean.item() >= 0.99) == (t == 44)  # 44 batches, as the page says


@pytest.mark.proves("weight-scale")
def test_weight_scale(formula):
    W, x, a = numbers(3, 4), numbers(4, 6), 2.5
    target = numbers(3, 6)

    def normalized(z):  # columns are examples
        return F.batch_norm(z.T, None, None, training=True, eps=1e-300).T

    grads = []
    for weight in (W, a * W):
        leaf = weight.clone().requires_grad_()
        ((normalized(leaf @ x) - target) ** 2).sum().backward()
        grads.append(leaf.grad)
    formula("weight-scale").holds({
        r"\operatorname{BN}": normalized, "a": a, "W": W, "x": x, r"\frac{\partial L}{\partial W}": grads[0],
        r"\frac{\partial L}{\partial (a W)}": grads[1]})


@pytest.mark.proves("growth")
def test_growth(formula):
    """The two expectations by a fine sum over the density of the normal distribution."""
    z = torch.linspace(0, 12, 2_000_001, dtype=torch.float64)  # ReLU is 0 below
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    mean, square, half = (torch.trapezoid(f * density, z) for f in (z, z**2, torch.ones_like(z)))
    formula("growth").holds({r"E[f'(z)^2]": half, r"\operatorname{Var}[f(z)]": square - mean**2})


def test_gradients_grow_as_predicted(page):
    names = page(PAGE)
    ratios = {}
    for normalize in (False, True):
        lengths = names["gradients"](30, 64, normalize)
        ratios[normalize] = lengths[0] / lengths[-1]
    assert 0.1 < ratios[False] < 10
    assert 100 < ratios[True] < 1000
    assert 100 < names["factor"] ** 29 < 1000


def check_fold(fold):
    torch.manual_seed(1)
    linear, norm = nn.Linear(5, 3).double(), nn.BatchNorm1d(3, eps=EPS).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    norm(linear(numbers(16, 5)))
    norm.eval()
    x = numbers(4, 5)
    return torch.allclose(fold(linear, norm)(x), norm(linear(x)), rtol=1e-10)


def test_exercise_fold(page):
    fold = page(PAGE)["fold"]
    assert check_fold(fold)

    def without_eps(linear, norm):
        norm = copy.deepcopy(norm)
        norm.eps = 0.0
        return fold(linear, norm)

    def bias_left_alone(linear, norm):
        one = fold(linear, norm)
        one.bias.data = norm.weight / torch.sqrt(norm.running_var + norm.eps) * linear.bias + norm.bias
        return one

    assert not check_fold(without_eps)
    assert not check_fold(bias_left_alone)


def check_layer(function):
    return all(torch.allclose(function(x, eps), F.layer_norm(x, x.shape[1:], eps=eps), rtol=1e-10, atol=1e-12)
               for x in (numbers(3, 6), numbers(5, 2), numbers(1, 4)) for eps in (1e-5, EPS))


def test_exercise_layer(page):
    assert check_layer(page(PAGE)["layer_norm_by_batch_norm"])
    assert not check_layer(lambda x, eps: F.batch_norm(x, None, None, training=True, eps=eps) if len(x) > 1 else x)
    assert not check_layer(lambda x, eps: F.batch_norm(x.T, None, None, training=True).T)
