"""Proofs of the formulas of training/momentum against torch.optim in float64, and its exercises."""

import functools
import itertools
import math

import pytest
import torch
from torch import Tensor

from dlguide import optim

PAGE = "training/momentum"
STEPS, ETA, MU = 6, 0.3, 0.7


def numbers(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def history(gradient, *, name="SGD", rates=(ETA,) * STEPS, **options) -> list[dict]:
    """What torch.optim does, step by step; `gradient` gets w and t."""
    w = numbers(4, seed=5).requires_grad_()
    optimizer = getattr(torch.optim, name)([w], lr=rates[0], **options)
    found = []
    for t, rate in enumerate(rates, 1):
        optimizer.param_groups[0]["lr"] = rate
        before, was = w.detach().clone(), dict(optimizer.state[w])
        was = {k: s.clone() for k, s in was.items() if torch.is_tensor(s)}
        w.grad = g = gradient(before, t)
        optimizer.step()
        now = {k: s.clone() for k, s in optimizer.state[w].items() if torch.is_tensor(s)}
        found.append({"t": t, "g_t": g, "w_{t-1}": before, "w_t": w.detach().clone(), "was": was, "now": now,
                      r"\eta": rate, r"\mu": options.get("momentum", 0)})
    return found


def given(w, t):
    """Gradients that do not depend on w."""
    return numbers(STEPS, 4)[t - 1]


def buffers(step: dict) -> dict:
    zeros = torch.zeros(4, dtype=torch.float64)
    return {**step, "b_t": step["now"]["momentum_buffer"], "b_{t-1}": step["was"].get("momentum_buffer", zeros)}


@pytest.mark.proves("momentum")
def test_momentum(formula):
    first, *later = history(given, momentum=MU, dampening=0.4)
    assert torch.equal(first["now"]["momentum_buffer"], first["g_t"])  # the first gradient enters whole
    for step in later:
        formula("momentum").holds({**buffers(step), r"\tau": 0.4})


@pytest.mark.proves("unrolled")
def test_unrolled(formula):
    for step in history(given, momentum=MU):
        formula("unrolled").holds({**buffers(step), "g": numbers(STEPS, 4)})


@pytest.mark.proves("effective")
def test_effective(formula):
    for step in history(lambda w, t: given(w, 1), momentum=MU):
        formula("effective").holds({**buffers(step), "g": given(None, 1)})


@pytest.mark.proves("nesterov")
def test_nesterov(formula):
    for step in history(given, momentum=MU, nesterov=True):
        formula("nesterov").holds(buffers(step))


def slope(w: Tensor) -> Tensor:
    """The gradient of a loss that is no parabola, by autograd."""
    w = w.detach().clone().requires_grad_()
    return torch.autograd.grad((torch.cosh(w) + w**4 / 4).sum(), w)[0]


@pytest.mark.proves("look-ahead")
def test_look_ahead(formula):
    """The run of torch, after the change of variable, obeys the textbook's equations."""
    for step in history(lambda w, t: slope(w), rates=(0.02,) * STEPS, momentum=MU, nesterov=True):
        values = buffers(step)
        v, before = -0.02 * values["b_t"], -0.02 * values["b_{t-1}"]
        formula("look-ahead").holds({
            **values, "v_t": v, "v_{t-1}": before, r"\theta_t": values["w_t"] - MU * v,
            r"\theta_{t-1}": values["w_{t-1}"] - MU * before, r"\nabla L": slope})


@pytest.mark.proves("change-of-variable")
def test_change_of_variable(formula):
    """A run of the textbook's method beside that of torch."""
    theta, v = numbers(4, seed=5), torch.zeros(4, dtype=torch.float64)
    for step in history(lambda w, t: slope(w), rates=(0.02,) * STEPS, momentum=MU, nesterov=True):
        v = MU * v - 0.02 * slope(theta + MU * v)
        theta = theta + v
        formula("change-of-variable").holds({**buffers(step), r"\theta_t": theta, "v_t": v})


@pytest.mark.proves("rate-change")
def test_rate_change(formula):
    rates = (0.3, 0.3, 0.05, 0.05, 0.2, 0.1)
    steps = history(given, rates=rates, momentum=MU)
    for before, step in itertools.pairwise(steps):
        v, old = (one["w_{t-1}"] - one["w_t"] for one in (step, before))
        values = {**step, "v_t": v, "v_{t-1}": old, r"\eta_t": step[r"\eta"], r"\eta_{t-1}": before[r"\eta"]}
        formula("rate-change").holds(values)
        inside = MU * old + step[r"\eta"] * step["g_t"]  # the rule with the rate inside
        assert torch.allclose(v, inside) == (step[r"\eta"] == before[r"\eta"])


@pytest.mark.proves("recursion")
def test_recursion(formula):
    for h in (0.5, 3.0):
        steps = history(lambda w, t, h=h: h * w, momentum=MU)
        for before, step in itertools.pairwise(steps):
            formula("recursion").holds({r"\mu": MU, r"\eta": ETA, "h": h, "w_{t-1}": before["w_{t-1}"],
                                        "w_t": before["w_t"], "w_{t+1}": step["w_t"]})


@pytest.mark.proves("nesterov-recursion")
def test_nesterov_recursion(formula):
    for h in (0.5, 3.0):
        steps = history(lambda w, t, h=h: h * w, momentum=MU, nesterov=True)
        for before, step in itertools.pairwise(steps):
            formula("nesterov-recursion").holds({r"\mu": MU, r"\eta": ETA, "h": h, "w_{t-1}": before["w_{t-1}"],
                                                 "w_t": before["w_t"], "w_{t+1}": step["w_t"]})


def radius(step: float, momentum: float, nesterov: bool = False) -> float:
    """The size of the larger eigenvalue of what torch does to (w, buffer) in a step, for h = 1."""
    columns = []
    for start, kept in ((1.0, 0.0), (0.0, 1.0)):
        w = torch.tensor([start], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=step, momentum=momentum, nesterov=nesterov)
        if momentum:
            optimizer.state[w]["momentum_buffer"] = torch.tensor([kept], dtype=torch.float64)
        w.grad = w.detach().clone()
        optimizer.step()
        columns.append([w.item(), optimizer.state[w]["momentum_buffer"].item() if momentum else 0.0])
    return torch.linalg.eigvals(torch.tensor(columns, dtype=torch.float64).T).abs().max().item()


@pytest.mark.proves("factor")
def test_factor(formula):
    complex_roots = 0
    for step, momentum in itertools.product((0.1, 1.2, 2.3, 3.4), (0.2, 0.5, 0.9)):
        r = radius(step, momentum)
        complex_roots += math.isclose(r, math.sqrt(momentum))
        formula("factor").holds({"r": r, r"\mu": momentum, r"\eta": step / 3, "h": 3.0}, rtol=1e-9)
    assert 0 < complex_roots < 12


def test_the_drawn_factor_is_that_of_torch(page):
    for step, momentum in itertools.product((0.1, 1.2, 2.3, 3.4), (0.0, 0.5, 0.9)):
        drawn = page(PAGE)["factor"](torch.tensor(step, dtype=torch.float64), momentum).item()
        assert drawn == pytest.approx(radius(step, momentum), rel=1e-9), (step, momentum)


@functools.cache
def largest_rate(momentum: float, nesterov: bool = False) -> float:
    """By bisection: where the radius passes 1, for h = 1."""
    low, high = 0.5, 5.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle, momentum, nesterov) < 1 else (low, middle)
    return low


@pytest.mark.proves("limit")
def test_limit(formula):
    for momentum in (0.0, 0.5, 0.9):
        formula("limit").holds({r"\eta_{\max}": largest_rate(momentum) / 3, r"\mu": momentum, "h": 3}, rtol=1e-9)


@pytest.mark.proves("nesterov-limit")
def test_nesterov_limit(formula):
    for momentum in (0.3, 0.5, 0.9):
        largest = largest_rate(momentum, nesterov=True) / 3
        formula("nesterov-limit").holds({r"\eta_{\max}": largest, r"\mu": momentum, "h": 3}, rtol=1e-9)


def worst(rates: Tensor, momenta: Tensor, h: list[float]) -> Tensor:
    """The slowest factor over the curvatures: eigenvalues of the map of (w, buffer), as `radius` finds it in torch."""
    maps = [torch.stack([torch.stack([1 - rates * one, -rates * momenta], -1),
                         torch.stack([torch.full_like(rates, one), momenta], -1)], -2) for one in h]
    return torch.linalg.eigvals(torch.stack(maps)).abs().amax(-1).amax(0)


@functools.cache
def search(h: tuple[float, ...], with_momentum: bool) -> tuple[float, float, float]:
    """The best rate, momentum and factor, by a grid that is refined twenty times."""
    rate, momentum, size = 2 / h[-1], 0.5 if with_momentum else 0.0, 0.5
    for _ in range(20):
        offsets = torch.linspace(-size, size, 21, dtype=torch.float64)
        rates = (rate * (1 + offsets)).clamp(min=1e-6)
        momenta = (momentum + offsets).clamp(0, 0.999) if with_momentum else torch.zeros(1, dtype=torch.float64)
        grid = torch.cartesian_prod(rates, momenta)
        factors = worst(grid[:, 0], grid[:, 1], [*h])
        rate, momentum = grid[factors.argmin()].tolist()
        size /= 2
    return rate, momentum, factors.min().item()


def test_the_searched_map_is_that_of_torch():
    for step, momentum in itertools.product((0.1, 1.2, 3.4), (0.2, 0.9)):
        point = torch.tensor([[step / 3], [momentum]], dtype=torch.float64)
        ours = worst(point[0], point[1], [3.0])
        assert ours.item() == pytest.approx(radius(step, momentum), rel=1e-9)


@pytest.mark.proves("best-plain")
def test_best_plain(formula):
    for h in ((1.0, 9.0), (0.5, 0.9, 10.0)):
        rate, _, factor = search(h, with_momentum=False)
        values = {r"\eta": rate, "r": factor, "h_1": h[0], "h_n": h[-1], r"\kappa": h[-1] / h[0]}
        formula("best-plain").holds(values, rtol=1e-4)


@pytest.mark.proves("best-momentum")
def test_best_momentum(formula):
    for h in ((1.0, 9.0), (0.5, 2.0, 10.0)):
        rate, momentum, factor = search(h, with_momentum=True)
        values = {r"\eta": rate, r"\mu": momentum, "r": factor, "h_1": h[0], "h_n": h[-1], r"\kappa": h[-1] / h[0]}
        formula("best-momentum").holds(values, rtol=2e-3)


def asgd(start: float) -> list[dict]:
    torch.set_default_dtype(torch.float64)  # eta and mu in the state are tensors of this type
    try:
        options = {"lambd": 0.4, "alpha": 0.6, "t0": start}
        return history(lambda w, t: numbers(12, 4)[t - 1], name="ASGD", rates=(ETA,) * 12, **options)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.proves("asgd")
def test_asgd(formula):
    for before, step in itertools.pairwise(asgd(3)):
        formula("asgd").holds({
            **step, r"\Lambda": 0.4, r"\eta_t": before["now"]["eta"], r"\nu_t": before["now"]["mu"],
            r"\bar w_t": step["now"]["ax"], r"\bar w_{t-1}": before["now"]["ax"]})


@pytest.mark.proves("asgd-rates")
def test_asgd_rates(formula):
    for step in asgd(3):
        formula("asgd-rates").holds({
            r"\eta": ETA, r"\Lambda": 0.4, r"\alpha": 0.6, "t": step["t"], "t_0": 3,
            r"\eta_{t+1}": step["now"]["eta"], r"\nu_{t+1}": step["now"]["mu"]})


@pytest.mark.proves("mean")
def test_mean(formula):
    for start in (0, 3):
        steps = asgd(start)
        places = torch.stack([step["w_t"] for step in steps])
        for last in range(start + 2, 13):
            formula("mean").holds({r"\bar w_T": steps[last - 1]["now"]["ax"], "T": last, "t_0": start, "w": places})


def test_the_shown_rules_are_those_of_torch():
    for name, options in [("SGD", {"momentum": 0.7, "dampening": 0.3, "weight_decay": 0.2}),
                          ("SGD", {"momentum": 0.7, "nesterov": True}), ("ASGD", {"t0": 2, "lambd": 0.3})]:
        last = history(given, name=name, **options)[-1]
        w = numbers(4, seed=5).requires_grad_()
        optimizer = getattr(optim, name)([w], lr=ETA, **options)
        for t in range(1, STEPS + 1):
            w.grad = given(w, t).clone()
            optimizer.step()
        near = {"rtol": 1e-6, "atol": 1e-8}  # ASGD keeps its rate in float32
        torch.testing.assert_close(w.detach(), last["w_t"], **near)
        kept = "ax" if name == "ASGD" else "momentum_buffer"
        torch.testing.assert_close(optimizer.state[w][kept], last["now"][kept], **near)


def test_best_momentum_is_faster_than_others(page):
    distances = page(PAGE)["distances"]
    best = distances((2 / 11) ** 2, (9 / 11) ** 2)[100]
    assert best < 1e-5 < distances(1 / 100, 9 / 11, nesterov=True)[100] < distances(2 / 101, 0.0)[100]
    for momentum in (0.5, 0.95):
        assert distances((2 / 11) ** 2, momentum)[100] > 1000 * best


def check_matched(matched_rate):
    """Steps of torch under gradients of 1, in the end."""
    for momentum, new in itertools.product((0.0, 0.5, 0.8), (0.0, 0.6)):
        lengths = []
        for lr, mu in ((0.3, momentum), (matched_rate(0.3, momentum, new), new)):
            w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.SGD([w], lr=lr, momentum=mu)
            w.grad = torch.ones_like(w)
            for _ in range(200):
                before = w.item()
                optimizer.step()
            lengths.append(before - w.item())
        assert lengths[0] == pytest.approx(lengths[1])


def test_exercise_matched(page):
    check_matched(page(PAGE)["matched_rate"])


@pytest.mark.parametrize("wrong", [
    lambda lr, old, new: lr, lambda lr, old, new: lr * (1 - old) / (1 - new), lambda lr, old, new: lr * (1 - new),
], ids=["the same", "inverted", "from zero"])
def test_exercise_matched_rejects(wrong):
    with pytest.raises(AssertionError):
        check_matched(wrong)


def check_best(best):
    """No neighbor shrinks the slowest direction faster."""
    for seed in range(3):
        root = numbers(3, 3, seed=seed)
        a = root @ root.T + torch.eye(3, dtype=torch.float64)
        lr, momentum = best(a)
        h = torch.linalg.eigvalsh(a).tolist()
        near = torch.linspace(-0.3, 0.3, 13, dtype=torch.float64)  # with 0
        grid = torch.cartesian_prod(lr * (1 + near), (momentum + near / 2).clamp(0, 0.99))
        one = torch.tensor([[lr], [momentum]], dtype=torch.float64)
        found = worst(one[0], one[1], h).item()
        assert found <= worst(grid[:, 0], grid[:, 1], h).min().item() + 1e-6


def test_exercise_best(page):
    check_best(page(PAGE)["best"])


def plain(a):
    h = torch.linalg.eigvalsh(a)
    return 2 / (h.min() + h.max()).item(), 0.0


def no_square(a):
    h = torch.linalg.eigvalsh(a)
    low, high = h.min().sqrt().item(), h.max().sqrt().item()
    return (2 / (high + low)) ** 2, (high - low) / (high + low)


@pytest.mark.parametrize("wrong", [plain, no_square, lambda a: (0.1, 0.9)], ids=["plain", "no square", "0.9"])
def test_exercise_best_rejects(wrong):
    with pytest.raises(AssertionError):
        check_best(wrong)
