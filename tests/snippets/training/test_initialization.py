"""Proofs of the formulas of training/initialization, and its exercises."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAGE = "training/initialization"


def draws(count: int, size: float) -> Tensor:
    """All equally likely draws of `count` weights that are +size or -size: exact expectations, no sampling."""
    return torch.tensor(list(itertools.product((size, -size), repeat=count)), dtype=torch.float64)


@pytest.mark.proves("row-gradient")
def test_row_gradient(formula):
    torch.manual_seed(0)
    x, t = torch.randn(3, dtype=torch.float64), torch.tensor(0.3).double()
    hidden: Any = nn.Linear(3, 4, bias=False).double()
    output = nn.Linear(4, 1, bias=False).double()
    y = output(torch.tanh(hidden(x))).squeeze()
    y.retain_grad()
    ((y - t) ** 2).backward()
    for j in range(4):
        formula("row-gradient").holds({
            r"\frac{\partial L}{\partial w_j}": hidden.weight.grad[j], r"\delta": y.grad, "v_j": output.weight[0, j],
            "f'": lambda z: 1 - torch.tanh(z) ** 2, r"w_j^\top x": (hidden.weight[j] * x).sum(), "x": x})


def test_equal_rows_stay_equal():
    model: Any = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    for p in model.parameters():
        nn.init.constant_(p, 0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(30):
        optimizer.zero_grad()
        ((model(x) - x.sum(1, keepdim=True).sin()) ** 2).mean().backward()
        optimizer.step()
    rows = model[0].weight
    assert torch.allclose(rows, rows[:1].expand(4, 3), rtol=1e-12)
    assert not torch.allclose(rows, torch.full_like(rows, 0.3)), "they moved, together"
    for p in model.parameters():
        nn.init.zeros_(p)
    model.zero_grad()
    ((model(x) - 1) ** 2).mean().backward()
    assert not model[0].weight.grad.any()


@pytest.mark.proves("forward")
@pytest.mark.parametrize("x", [[1.0, 3.0], [0.5, -1.0, 2.0, 0.1]])
def test_forward(formula, x):
    entries = torch.tensor(x, dtype=torch.float64)
    w = draws(len(x), 0.7)
    formula("forward").holds({
        r"\operatorname{E}(y^2)": F.linear(w, entries[None]).square().mean(), "n": len(x),
        r"\operatorname{Var}(w)": w.var(correction=0), "x": entries, r"\overline{x^2}": entries.square().mean()})


@pytest.mark.proves("depth")
def test_depth(formula):
    """Two layers of two neurons, all 256 possible draws of their eight weights."""
    x, w = torch.tensor([1.0, 3.0], dtype=torch.float64), draws(8, 0.6)
    first, second = w[:, :4].reshape(-1, 2, 2), w[:, 4:].reshape(-1, 2, 2)
    y = second @ (first @ x[:, None])
    formula("depth").holds({
        r"\operatorname{E}(\overline{y_D^2})": y.square().mean(), "n": 2, "D": 2,
        r"\operatorname{Var}(w)": w.var(correction=0), r"\overline{x^2}": x.square().mean()})


@pytest.mark.proves("backward")
def test_backward(formula):
    g, w = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64), draws(6, 0.6)
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    squares = [torch.autograd.grad(F.linear(x, one.reshape(3, 2)), x, g)[0].square().mean() for one in w]
    formula("backward").holds({
        r"\operatorname{E}\left(\overline{(W^\top g)^2}\right)": torch.stack(squares).mean(), "m": 3,
        r"\operatorname{Var}(w)": w.var(correction=0), r"\overline{g^2}": g.square().mean()})


def sample(name: str, shape: tuple[int, ...] = (400, 600), **options: object) -> Tensor:
    tensor = torch.empty(shape, dtype=torch.float64)
    return getattr(nn.init, name)(tensor, generator=torch.Generator().manual_seed(0), **options)


def exact_bound(name: str, shape: tuple[int, int], **options: object) -> Tensor:
    """The b of PyTorch's U(-b, b): the same random numbers, drawn from U(-1, 1), are smaller by this factor."""
    unit = torch.empty(shape, dtype=torch.float64).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    return (sample(name, shape, **options) / unit).median()


@pytest.mark.proves("uniform")
def test_uniform(formula):
    variance = torch.distributions.Uniform(*torch.tensor([-0.3, 0.3], dtype=torch.float64)).variance
    formula("uniform").holds({r"\operatorname{Var}(w)": variance, "b": 0.3})


@pytest.mark.proves("xavier")
def test_xavier(formula):
    m, n = shape = (400, 600)
    b = exact_bound("xavier_uniform_", shape)
    formula("xavier").holds({r"\operatorname{Var}(w)": b**2 / 3, "b": b, "n": n, "m": m})
    for name in ("xavier_uniform_", "xavier_normal_"):
        assert sample(name, shape).var().item() == pytest.approx(2 / (n + m), rel=0.01)


@pytest.mark.proves("half")
@pytest.mark.parametrize("a", [0.0, 0.3])
def test_half(formula, a):
    y = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
    y = torch.cat([y, -y])  # as often negative as positive
    formula("half").holds({r"\overline{f(y)^2}": F.leaky_relu(y, a).square().mean(), "a": a,
                           r"\overline{y^2}": y.square().mean()})


@pytest.mark.proves("he")
def test_he(formula):
    m, n = shape = (400, 600)
    a = 0.4
    b = exact_bound("kaiming_uniform_", shape, a=a)
    formula("he").holds({r"\gamma": nn.init.calculate_gain("leaky_relu", a), r"\operatorname{Var}(w)": b**2 / 3,
                         "a": a, "n": n})
    backward = exact_bound("kaiming_uniform_", shape, a=a, mode="fan_out")
    assert (backward**2 / b**2).item() == pytest.approx(n / m)


@pytest.mark.proves("default")
def test_default(formula):
    torch.manual_seed(0)
    layer = nn.Linear(37, 50, dtype=torch.float64)
    torch.manual_seed(0)
    unit = torch.empty(50, 37, dtype=torch.float64).uniform_(-1, 1)
    b = (layer.weight / unit).median()
    formula("default").holds({"b": b, "n": 37, r"\operatorname{Var}(w)": b**2 / 3})
    assert layer.bias.abs().max() <= b


@pytest.mark.proves("orthogonal")
def test_orthogonal(formula):
    W = sample("orthogonal_", (5, 5))
    x = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    formula("orthogonal").holds({"W": W, "I": torch.eye(5, dtype=torch.float64), "x": x})


@pytest.mark.proves("truncated")
@pytest.mark.parametrize("c", [2.0, 0.7])
def test_truncated(formula, c):
    """Against the integral of the cut density."""
    normal, s = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double()), 0.02
    z = torch.linspace(-c, c, 2_000_001, dtype=torch.float64)
    density = normal.log_prob(z).exp()
    variance = s**2 * torch.trapezoid(z**2 * density, z) / torch.trapezoid(density, z)
    formula("truncated").holds({
        r"\operatorname{Var}(w)": variance, "s": s, "c": torch.tensor(c, dtype=torch.float64), r"\Phi": normal.cdf,
        r"\varphi": lambda v: normal.log_prob(v).exp()}, rtol=1e-9)
    torchs = nn.init.trunc_normal_(torch.empty(200_000).double(), std=s, a=-c * s, b=c * s,
                                   generator=torch.Generator().manual_seed(0))
    assert torchs.var().item() == pytest.approx(variance.item(), rel=0.02)


def test_default_loses_a_factor_of_six():
    """The mean square of a signal falls by 6 in each ReLU layer without bias."""
    torch.manual_seed(0)
    h = torch.randn(200, 400, dtype=torch.float64)
    for _ in range(5):
        before = h.square().mean()
        h = torch.relu(F.linear(h, nn.Linear(400, 400).double().weight))
        assert (h.square().mean() / before).item() == pytest.approx(1 / 6, rel=0.2)


def test_least_stretch_is_no_rounding_noise(page):
    """The logarithms of the stretches of a normal matrix add up to that of its determinant."""
    names = page(PAGE)
    torch.manual_seed(0)
    torch.randn(64, dtype=torch.float64)
    W = torch.stack([torch.empty(64, 64, dtype=torch.float64).normal_(0, 1 / 8) for _ in range(30)])
    q, logs = torch.eye(64, dtype=torch.float64), torch.zeros(64, dtype=torch.float64)
    for one in W:  # by QR at every step, so that nothing cancels
        q, r = torch.linalg.qr(one @ q)
        logs += r.diagonal().abs().log()
    inverse = torch.eye(64, dtype=torch.float64)
    for one in W:
        inverse = inverse @ torch.linalg.inv(one)
    least = -torch.linalg.svdvals(inverse)[0].log().item()
    assert least == pytest.approx(logs[-1].item(), rel=0.05)
    assert names["least"].item() == pytest.approx(1, abs=1e-9)  # of the orthogonal matrices


def check_lecun(lecun_normal: Callable[[Tensor, torch.Generator | None], Tensor]) -> bool:
    for shape in ((300, 200), (64, 32, 3, 3), (200, 30, 5)):
        tensor = torch.empty(shape)
        result = lecun_normal(tensor, torch.Generator().manual_seed(0))
        if result is not tensor or not math.isclose(tensor.var() * tensor[0].numel(), 1, rel_tol=0.05):
            return False
    return True


def test_exercise_lecun(page):
    assert check_lecun(page(PAGE)["lecun_normal_"])
    assert not check_lecun(lambda t, g: t.normal_(0, t.shape[1] ** -0.5, generator=g))  # the kernel forgotten
    assert not check_lecun(lambda t, g: t.normal_(0, t.shape[0] ** -0.5, generator=g))  # fan-out
    assert not check_lecun(lambda t, g: torch.randn(t.shape, generator=g) / t[0].numel() ** 0.5)  # not in place


def check_branch(scale: Callable[[int], float]) -> bool:
    return all(math.isclose((1 + scale(depth) ** 2) ** depth, 2, rel_tol=1e-9) for depth in (1, 2, 7, 100, 5000))


def test_exercise_branch(page):
    assert check_branch(page(PAGE)["branch_scale"])
    assert not check_branch(lambda depth: 1 / math.sqrt(depth))
    assert not check_branch(lambda depth: math.sqrt(math.log(2) / depth))
    assert not check_branch(lambda depth: 2 ** (1 / depth) - 1)


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    ends = {name: names["sizes"](draw, torch.relu) for name, draw in names["starts"].items()}
    for signal, gradient in (ends["He"],):
        assert 0.1 < signal[-1] < 10
        assert 0.1 < gradient[0] < 10
    for name, power in (("Xavier", -5), ("default", -12), ("normal, 0.01", -33)):
        signal, gradient = ends[name]
        assert power - 1 <= math.log10(signal[-1]) <= power + 1, name
        assert power - 1 <= math.log10(gradient[0]) <= power + 1, name
