"""Proofs of the formulas of training/vanishing-gradients, its measured claims, and its exercises."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAGE = "training/vanishing-gradients"


def slope(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The derivative by autograd."""

    def at(x):
        leaf = torch.as_tensor(x, dtype=torch.float64).detach().clone().requires_grad_()
        return torch.autograd.grad(f(leaf).sum(), leaf)[0]

    return at


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.proves("product")
def test_product(formula):
    w = torch.tensor([1.5, -0.7, 2.0, 0.9], dtype=torch.float64)
    start = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    h, sums = start, []
    for one in w:
        sums.append(one * h)
        h = torch.tanh(sums[-1])
    (by_autograd,) = torch.autograd.grad(h, start)
    formula("product").holds({r"\frac{\partial h_D}{\partial h_0}": by_autograd, "w": w, "f'": slope(torch.tanh),
                              "z": torch.stack(sums).detach(), "D": len(w)})


@pytest.mark.proves("step-back", "bound")
@pytest.mark.parametrize("seed", range(3))
def test_step_back(formula, seed):
    """Two layers with sigmoid and any loss behind them."""
    h0 = randn(4, seed=seed)
    W1, W2 = (randn(4, 4, seed=10 * seed + i).requires_grad_() for i in (1, 2))
    z1 = F.linear(h0, W1)
    z2 = F.linear(torch.sigmoid(z1), W2)
    z1.retain_grad()
    z2.retain_grad()
    torch.sigmoid(z2).sin().sum().backward()
    formula("step-back").holds({
        r"\delta_{l}": z1.grad, r"\delta_{l+1}": z2.grad, "W_{l+1}": W2, "f'": slope(torch.sigmoid), "z_l": z1,
        r"\frac{\partial L}{\partial W_l}": W1.grad, "h_{l-1}": h0})
    formula("bound").holds({
        r"\delta_l": z1.grad, r"\delta_{l+1}": z2.grad, r"\lVert W_{l+1} \rVert": torch.linalg.matrix_norm(W2, 2)})


@pytest.mark.proves("residual")
def test_residual(formula):
    before, W = randn(4).requires_grad_(), randn(4, 4, seed=1)
    z = F.linear(before, W)
    after = before + torch.tanh(z)
    after.retain_grad()
    (after**3).sum().backward()
    formula("residual").holds({
        "h_l": after, "h_{l-1}": before, "W_l": W, "z_l": z, "f": torch.tanh, "f'": slope(torch.tanh),
        r"\frac{\partial L}{\partial h_{l-1}}": before.grad, r"\frac{\partial L}{\partial h_l}": after.grad})


@pytest.mark.proves("relu-variance")
def test_relu_variance(formula):
    z = torch.linspace(-12, 12, 1_200_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    mean, square = (torch.trapezoid(torch.relu(z) ** power * density, z) for power in (1, 2))
    formula("relu-variance").holds({r"\operatorname{Var}(\operatorname{ReLU}(z))": square - mean**2})


@pytest.mark.proves("batch-norm-growth")
def test_batch_norm_growth(formula):
    """One wide block: how much longer a gradient is in front of it than behind it."""
    n, samples = 600, 1500
    z = randn(samples, n).float().requires_grad_()
    W = randn(n, n, seed=1).float() * math.sqrt(2 / n)
    g = randn(samples, n, seed=2).float()
    out = F.batch_norm(torch.relu(z) @ W.T, None, None, training=True)
    (back,) = torch.autograd.grad(out, z, g)
    formula("batch-norm-growth").holds({
        r"\kappa": back.norm() / g.norm(), r"\operatorname{Var}(\operatorname{ReLU}(z))": torch.relu(z).var(),
    }, rtol=0.01)


@pytest.mark.proves("clip")
@pytest.mark.parametrize("limit", [1.0, 5000.0])
def test_clip(formula, limit):
    g = torch.tensor([1200.0, 1600.0, -3.0], dtype=torch.float64)
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    w.grad = g.clone()
    length = nn.utils.clip_grad_norm_([w], limit)
    formula("clip").holds({r"\lVert g \rVert": length, "g": g, r"\hat g": w.grad, "c": limit})


def test_clipping_brings_2000_to_1():
    w = torch.zeros(2, requires_grad=True)
    w.grad = torch.tensor([1200.0, 1600.0])
    assert nn.utils.clip_grad_norm_([w], 1.0).item() == 2000
    assert w.grad.norm().item() == pytest.approx(1)
    torch.testing.assert_close(w.grad, torch.tensor([0.6, 0.8]))
    assert torch.equal(w, torch.zeros(2)), "gradient clipping leaves the weights alone"


@pytest.mark.parametrize("seed", range(3))
def test_thirty_layers_for_other_seeds(seed):
    """The powers of ten that the page names do not depend on its seed."""

    def lengths(size, f, skip=0):
        Ws = [(size * randn(64, 64, seed=100 * seed + i) / 8).requires_grad_() for i in range(30)]
        h, target = randn(100, 64, seed=seed + 7), randn(100, 64, seed=seed + 8)
        for W in Ws:
            h = f(F.linear(h, W)) + skip * h
        return [g.norm().item() for g in torch.autograd.grad(F.mse_loss(h, target), Ws)]

    he = math.sqrt(2)
    vanished, skipped = lengths(1.0, torch.sigmoid), lengths(1.0, torch.sigmoid, skip=1)
    assert vanished[0] < 1e-18, "the layers near the input starve"
    assert 0.01 < vanished[-1] < 1
    assert all(a < b for a, b in zip(vanished, vanished[5:], strict=False))
    assert 0.005 < skipped[0] / skipped[-1] < 0.2
    small, right, large = (lengths(size, F.relu) for size in (1.0, he, 2 * he))
    assert 1e-8 < small[0] < 1e-4
    assert 0.01 < right[0] < 10
    assert 1e15 < large[0] < 1e19


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    norms = [g.norm().item() for g in names["gradients"](*names["start"](30, 1.0), torch.sigmoid, slope(torch.sigmoid))]
    assert 1e-21 < norms[0] < 1e-18
    assert 0.05 < norms[-1] < 0.5
    assert names["model"][0].weight.grad.abs().max().item() == 0
    assert torch.equal(names["before"], names["model"][0].weight)
    assert names["moved"](1.0) == pytest.approx(-1, abs=5e-3)
    assert names["moved"](-1e6) == pytest.approx(0.05, abs=5e-3)
    assert names["moved"](-1e6, limit=1.0) == pytest.approx(-0.96, abs=5e-3)
    assert math.isnan(names["moved"](math.inf))
    assert 0.1 < names["ratio"](30, 0) < 3
    for depth in (30, 60):
        derived = (math.pi / (math.pi - 1)) ** ((depth - 1) / 2)
        assert 0.5 < names["ratio"](depth, 1) / derived < 2


def test_skip_connections_weaken_the_explosion_of_batch_norm():
    ratios = []
    for skip in (0, 1):
        Ws = [(math.sqrt(2) * randn(64, 64, seed=i) / 8).requires_grad_() for i in range(30)]
        h, target = randn(100, 64, seed=77), randn(100, 64, seed=78)
        for W in Ws:
            h = torch.relu(F.batch_norm(F.linear(h, W), None, None, training=True)) + skip * h
        found = torch.autograd.grad(F.mse_loss(h, target), Ws)
        ratios.append((found[0].norm() / found[-1].norm()).item())
    assert ratios[0] > 100
    assert ratios[1] < 10


def check_underflow(layers_to_zero: Callable[[float], int]) -> bool:
    return [layers_to_zero(factor) for factor in (0.5, 0.25, 0.125)] == [150, 75, 50]


def test_exercise_underflow(page):
    assert check_underflow(page(PAGE)["layers_to_zero"])

    def in_float64(factor):
        gradient, layers = 1.0, 0
        while gradient > 0:
            gradient, layers = gradient * factor, layers + 1
        return layers

    assert not check_underflow(in_float64)
    assert not check_underflow(lambda factor: math.ceil(math.log(torch.finfo(torch.float32).tiny, factor)))
    assert not check_underflow(lambda factor: page(PAGE)["layers_to_zero"](factor) - 1)


def check_size(size_for_gradients: Callable[[Callable[[Tensor], Tensor]], float]) -> bool:
    cases: list[tuple[Callable[[Tensor], Tensor], float]] = [
        (slope(torch.relu), math.sqrt(2)), (lambda z: torch.ones_like(z), 1.0),
        (slope(lambda z: F.leaky_relu(z, 0.5)), math.sqrt(2 / 1.25)), (lambda z: z, 1.0)]
    return all(math.isclose(size_for_gradients(f), exact, rel_tol=1e-3) for f, exact in cases)


def test_exercise_size(page):
    assert check_size(page(PAGE)["size_for_gradients"])
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    weights = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    assert not check_size(lambda f: 1 / (f(z) * weights).sum().item())  # the mean slope
    assert not check_size(lambda f: 1 / (f(z) ** 2 * weights).sum().item())  # the root forgotten
