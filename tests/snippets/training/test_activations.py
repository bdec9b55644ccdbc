"""Proofs of the formulas of training/activations, and its exercises."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAGE = "training/activations"
X = torch.tensor([-5.0, -2.0, -1.1, -0.3, 0.4, 1.0, 2.5, 6.0], dtype=torch.float64)
G = torch.tensor([0.3, -1.2, 0.5, 2.0, -0.7, 1.1, 0.9, -0.4], dtype=torch.float64)
NORMAL = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())


def slope(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The derivative by autograd."""

    def at(x):
        leaf = torch.as_tensor(x, dtype=torch.float64).detach().clone().requires_grad_()
        return torch.autograd.grad(f(leaf).sum(), leaf)[0]

    return at


def cdf(x):
    return NORMAL.cdf(torch.as_tensor(x, dtype=torch.float64))


@pytest.mark.proves("collapse")
def test_collapse(formula):
    torch.manual_seed(0)
    first, second = nn.Linear(4, 6).double(), nn.Linear(6, 3).double()
    x = torch.randn(4, dtype=torch.float64)
    values = {"W_1": first.weight, "b_1": first.bias, "W_2": second.weight, "b_2": second.bias, "x": x}
    formula("collapse").holds(values)
    torch.testing.assert_close(formula("collapse").right(values), second(first(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.proves("sigmoid", "quarter", "sigmoid-stable")
def test_sigmoid(formula):
    values = {r"\sigma": lambda x: torch.sigmoid(torch.as_tensor(x)), r"\sigma'": slope(torch.sigmoid), "x": X}
    formula("sigmoid").holds(values)
    formula("quarter").holds(values)
    formula("sigmoid-stable").holds(values)
    assert torch.isfinite(formula("sigmoid-stable").right({**values, "x": torch.tensor([-1e4, 0, 1e4])})).all()


@pytest.mark.proves("tanh")
def test_tanh(formula):
    formula("tanh").holds({r"\tanh": torch.tanh, r"\tanh'": slope(torch.tanh), r"\sigma": torch.sigmoid,
                           r"\sigma'": slope(torch.sigmoid), "x": X})


@pytest.mark.proves("relu")
def test_relu(formula):
    for x in (X, torch.zeros(2, dtype=torch.float64)):
        formula("relu").holds({r"\operatorname{ReLU}": F.relu, r"\operatorname{ReLU}'": slope(F.relu), "x": x})


@pytest.mark.proves("leaky-relu")
def test_leaky_relu(formula):
    def f(x):
        return F.leaky_relu(x, 0.3)

    for x in (X, torch.zeros(2, dtype=torch.float64)):
        formula("leaky-relu").holds({"f": f, "f'": slope(f), "a": 0.3, "x": x})


@pytest.mark.proves("prelu-weight")
def test_prelu_weight(formula):
    a = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    (by_autograd,) = torch.autograd.grad(F.prelu(X, a), a, G)
    formula("prelu-weight").holds({r"\frac{\partial L}{\partial a}": by_autograd, "g": G, "x": X})


@pytest.mark.proves("elu")
@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_elu(formula, alpha):
    def f(x):
        return F.elu(x, alpha)

    for x in (X, torch.zeros(2, dtype=torch.float64)):
        formula("elu").holds({"f": f, "f'": slope(f), r"\alpha": alpha, "x": x})


def selu_constants() -> tuple[Tensor, Tensor]:
    """Alpha and lambda as PyTorch uses them: the values at minus infinity and at 1."""
    left, right = F.selu(torch.tensor([-1000.0, 1.0], dtype=torch.float64))
    return -left / right, right


@pytest.mark.proves("selu", "selu-constants")
def test_selu(formula):
    alpha, scale = selu_constants()
    formula("selu").holds({r"\operatorname{SELU}": F.selu, r"\alpha": alpha, r"\lambda": scale, "x": X})
    formula("selu-constants").holds({r"\alpha": alpha, r"\lambda": scale, r"\Phi": cdf})


@pytest.mark.proves("selu-square", "selu-moments")
def test_selu_integrals(formula):
    """For any two constants, against the integrals themselves; f is torch's ELU, scaled."""
    def density(v):
        return NORMAL.log_prob(v).exp()

    for k in (1.0, 2.0, -0.7):
        formula("selu-square").holds({"k": k, "z": X, r"\varphi": density})
        left = torch.linspace(-14, 0, 1_400_001, dtype=torch.float64)
        area = torch.trapezoid(torch.exp(k * left) * density(left), left).item()
        assert area == pytest.approx(math.exp(k**2 / 2) * cdf(-k).item(), rel=1e-9)
    z = torch.linspace(-14, 14, 2_800_001, dtype=torch.float64)
    alpha, scale = 0.7, 1.3
    f = scale * F.elu(z, alpha)
    mean, square = (torch.trapezoid(f**power * density(z), z) for power in (1, 2))
    formula("selu-moments").holds({
        r"\operatorname{E}(f(z))": mean, r"\operatorname{E}(f(z)^2)": square, r"\alpha": alpha, r"\lambda": scale,
        r"\Phi": cdf}, rtol=1e-9)


def test_selu_fixed_point():
    """The two integrals that the constants solve."""
    z = torch.linspace(-14, 14, 2_800_001, dtype=torch.float64)
    density = NORMAL.log_prob(z).exp()
    assert torch.trapezoid(F.selu(z) * density, z).item() == pytest.approx(0, abs=1e-10)
    assert torch.trapezoid(F.selu(z) ** 2 * density, z).item() == pytest.approx(1, abs=1e-10)


@pytest.mark.proves("softplus")
def test_softplus(formula):
    def f(x):
        return F.softplus(x, beta=1.7)

    formula("softplus").holds({"f": f, "f'": slope(f), r"\beta": 1.7, r"\sigma": torch.sigmoid, "x": X})


@pytest.mark.proves("silu")
def test_silu(formula):
    formula("silu").holds({"f": F.silu, "f'": slope(F.silu), r"\sigma": torch.sigmoid,
                           r"\sigma'": slope(torch.sigmoid), "x": X})


@pytest.mark.proves("silu-minimum")
def test_silu_minimum(formula):
    low, high = torch.tensor(-3.0).double(), torch.tensor(0.0).double()
    for _ in range(60):  # the slope changes its sign between them
        middle = (low + high) / 2
        low, high = (middle, high) if slope(F.silu)(middle) < 0 else (low, middle)
    assert F.silu(low) <= F.silu(torch.linspace(-20, 20, 100_001, dtype=torch.float64)).min()
    formula("silu-minimum").holds({"x_0": low, "f": F.silu, r"\sigma": torch.sigmoid})


@pytest.mark.proves("gelu", "gelu-tanh")
def test_gelu(formula):
    formula("gelu").holds({"f": F.gelu, "f'": slope(F.gelu), r"\Phi": cdf, "x": X,
                           r"\varphi": lambda x: NORMAL.log_prob(x).exp()})
    formula("gelu-tanh").holds({r"f_{\tanh}": lambda x: F.gelu(x, approximate="tanh"), "x": X})


@pytest.mark.proves("mish")
def test_mish(formula):
    formula("mish").holds({"f": F.mish, "f'": slope(F.mish), "s": F.softplus, r"\sigma": torch.sigmoid, "x": X})


@pytest.mark.proves("glu")
def test_glu(formula):
    a, b = X.clone().requires_grad_(), X.flip(0).clone().requires_grad_()
    da, db = torch.autograd.grad(F.glu(torch.cat([a, b])), (a, b), G)
    formula("glu").holds({
        r"\operatorname{GLU}": lambda a, b: F.glu(torch.cat([a, b])), "a": a, "b": b, "g": G,
        r"\frac{\partial L}{\partial a}": da, r"\frac{\partial L}{\partial b}": db,
        r"\sigma": torch.sigmoid, r"\sigma'": slope(torch.sigmoid)})


@pytest.mark.proves("swiglu")
def test_swiglu(formula):
    a, b = X.clone().requires_grad_(), X.flip(0).clone().requires_grad_()
    da, db = torch.autograd.grad(F.silu(a) * b, (a, b), G)
    formula("swiglu").holds({
        r"\operatorname{SwiGLU}": lambda a, b: F.silu(a) * b, "a": a, "b": b, "g": G,
        r"\frac{\partial L}{\partial a}": da, r"\frac{\partial L}{\partial b}": db,
        r"\operatorname{SiLU}": F.silu, r"\operatorname{SiLU}'": slope(F.silu)})


def check_hardswish(f: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor]) -> bool:
    x = torch.cat([X, torch.tensor([-3.0, 0.0, 3.0, -2.999, 2.999], dtype=torch.float64)])
    return torch.allclose(f(x), F.hardswish(x)) and torch.allclose(derivative(x), slope(F.hardswish)(x))


def test_exercise_hardswish(page):
    f, derivative = page(PAGE)["hardswish"], page(PAGE)["hardswish_derivative"]
    assert check_hardswish(f, derivative)
    assert not check_hardswish(f, lambda x: (x + 3).clamp(0, 6) / 6)  # the product rule forgotten
    assert not check_hardswish(f, lambda x: torch.where(x < -3, 0, torch.where(x > 3, 1, (2 * x + 3) / 6)))
    assert not check_hardswish(F.silu, derivative)


def check_geglu(backward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> bool:
    gate, value = X.clone().requires_grad_(), X.flip(0).clone().requires_grad_()
    wanted = torch.autograd.grad(F.gelu(gate) * value, (gate, value), G)
    found = backward(G, gate.detach(), value.detach())
    return all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))


def test_exercise_geglu(page):
    assert check_geglu(page(PAGE)["geglu_backward"])
    assert not check_geglu(lambda g, a, b: (g * slope(F.gelu)(a), g * F.gelu(a)))
    assert not check_geglu(lambda g, a, b: (g * F.gelu(a), g * b * slope(F.gelu)(a)))


def check_gain(gain: Callable[[Callable[[Tensor], Tensor]], float]) -> bool:
    cases: list[tuple[Callable[[Tensor], Tensor], float]] = [
        (torch.relu, math.sqrt(2)), (F.selu, 1.0), (lambda z: 2 * z, 0.5),
        (lambda z: F.leaky_relu(z, 0.3), math.sqrt(2 / (1 + 0.3**2)))]
    return all(math.isclose(gain(f), exact, rel_tol=1e-4) for f, exact in cases)


def test_exercise_gain(page):
    assert check_gain(page(PAGE)["gain"])
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    weights = NORMAL.log_prob(z).exp() * (z[1] - z[0])
    assert not check_gain(lambda f: (1 / (f(z).abs() * weights).sum()).item())
    assert not check_gain(lambda f: (1 / (f(z) ** 2 * weights).sum()).item())


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    gap = (F.gelu(X.new_tensor([2.6989]), approximate="tanh") - F.gelu(X.new_tensor([2.6989]))).abs().item()
    assert names["gap"].max().item() == pytest.approx(gap, rel=1e-4)
    assert gap < 0.0005
    assert (names["sigmoid_derivative"](torch.linspace(-50, 50, 10_001, dtype=torch.float64)) <= 0.25).all()
    assert names["gap"].argmax() in (33_011, 120_000 - 33_011)


def test_relu_does_not_suit_all_tasks():
    """Its slope is 0 at -1 and at 0; nothing it gives is negative."""
    assert slope(F.relu)(torch.tensor([-1.0, 0.0])).tolist() == [0.0, 0.0]
    assert (F.relu(X) >= 0).all()


def test_dead_unit_has_no_gradient():
    x, target = torch.tensor([[0.5, 1.0], [1.5, -0.5], [1.0, 2.0]]), torch.tensor([1.0, 2.0, 3.0])
    for f, moves in ((F.relu, False), (F.leaky_relu, True), (F.elu, True)):
        w = torch.ones(2, requires_grad=True)
        ((f(x @ w - 6) - target) ** 2).mean().backward()
        assert (w.grad.abs().sum() > 0) == moves
