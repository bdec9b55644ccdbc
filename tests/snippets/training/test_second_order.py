"""Proofs of the formulas of training/second-order against torch in float64, and its exercises."""

import itertools
from unittest import mock

import pytest
import torch
from scipy.optimize import BFGS
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.optim import _muon as torch_muon

from tests.snippets.sums import check_sums

PAGE = "training/second-order"
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def positive(n: int) -> Tensor:
    root = numbers(n, n, seed=4)
    return root @ root.T + torch.eye(n, dtype=torch.float64)


def rosenbrock(w: Tensor) -> Tensor:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


@pytest.mark.proves("taylor")
def test_taylor(formula):
    A, b = positive(4), numbers(4)
    w, d = numbers(2, 4, seed=1)

    def loss(w):
        return w @ A @ w / 2 - b @ w

    formula("taylor").holds({
        "L": loss, "w": w, "d": d, "g": jacobian(loss, w), r"\nabla^2 L": hessian(loss, w)})


@pytest.mark.proves("newton")
def test_newton(formula):
    """One step leads to the minimum that a solver finds, from anywhere."""
    A, b = positive(4), numbers(4)

    def loss(w):
        return w @ A @ w / 2 - b @ w

    for seed in (1, 2):
        w = numbers(4, seed=seed)
        formula("newton").holds({
            "w_1": torch.linalg.solve(A, b), "w_0": w, r"(\nabla^2 L)^{-1}": torch.linalg.inv(hessian(loss, w)),
            r"\nabla L": lambda w: jacobian(loss, w)})


@pytest.mark.proves("saddle")
def test_saddle(formula):
    def two_valleys(w):
        return w[0] ** 2 / 2 - w[1] ** 2 / 2 + w[1] ** 4 / 4

    for y in (0.05, 0.3, -0.4, 1.7):
        w = torch.tensor([1.0, y], dtype=torch.float64)
        after = w - torch.linalg.solve(hessian(two_valleys, w), jacobian(two_valleys, w))
        formula("saddle").holds({"y'": after[1], "y": y})


@pytest.mark.proves("gauss-newton")
def test_gauss_newton(formula):
    def residuals(w):
        return torch.stack([w[0] * w[1], w[1].sin() + w[2], (w[0] - w[2]) ** 3])

    w = numbers(3)
    formula("gauss-newton").holds({
        r"\nabla^2 L": hessian(lambda w: (residuals(w) ** 2).sum() / 2, w), "J": jacobian(residuals, w), "m": 3,
        "r": residuals(w), "Q": torch.stack([hessian(lambda w, i=i: residuals(w)[i], w) for i in range(3)])})
    assert torch.linalg.eigvalsh(jacobian(residuals, w).T @ jacobian(residuals, w)).min() > -1e-12


@pytest.mark.proves("secant")
def test_secant(formula):
    A, b = positive(3), numbers(3)
    w, s = numbers(2, 3, seed=1)

    def slope(w):
        return jacobian(lambda w: w @ A @ w / 2 - b @ w, w)

    formula("secant").holds({"y": slope(w + s) - slope(w), r"\nabla L": slope, "w": w, "s": s, "A": A})


def pairs(n: int, count: int) -> list[tuple[Tensor, Tensor]]:
    A = positive(n)
    return [(s, A @ s) for s in numbers(count, n, seed=2)]


@pytest.mark.proves("bfgs", "secant-condition")
def test_bfgs_is_that_of_scipy(formula):
    theirs = BFGS(init_scale=0.7)
    theirs.initialize(4, "inv_hess")
    before = 0.7 * torch.eye(4, dtype=torch.float64)
    for s, y in pairs(4, 3):
        theirs.update(s.numpy(), y.numpy())
        after = torch.from_numpy(theirs.get_matrix())
        formula("bfgs").holds({
            "H'": after, "H": before, "I": torch.eye(4, dtype=torch.float64), "s": s, "y": y,
            r"\rho": 1 / torch.dot(s, y)}, rtol=1e-8)
        formula("secant-condition").holds({"H'": after, "y": y, "s": s}, rtol=1e-8)
        assert torch.linalg.eigvalsh(after).min() > 0
        before = after


def steps_of_lbfgs(**options):
    """torch's L-BFGS on Rosenbrock's function, one step at a time: places, gradients, state."""
    w = torch.tensor([-1.5, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=1, max_eval=40, line_search_fn="strong_wolfe", **options)

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    for _ in range(12):
        before = w.detach().clone()
        optimizer.step(closure)
        yield before, w.detach().clone(), optimizer.state[w]


@pytest.mark.proves("bfgs", "start")
def test_two_loops_are_the_matrix(formula):
    """The matrix by the formula times the gradient is the direction that torch's two loops found."""
    one, compared = torch.eye(2, dtype=torch.float64), 0
    for _, _, state in steps_of_lbfgs(history_size=4):
        s, y = state.get("old_stps", []), state.get("old_dirs", [])
        if not s:
            continue
        formula("start").holds({r"\gamma": state["H_diag"], "s": s[-1], "y": y[-1]})
        H = state["H_diag"] * one
        for step, change in zip(s, y, strict=True):
            values = {"H'": H, "H": H, "I": one, "s": step, "y": change, r"\rho": 1 / torch.dot(step, change)}
            H = formula("bfgs").chains(values)[0][1][1]
        torch.testing.assert_close(-H @ state["prev_flat_grad"], state["d"], rtol=1e-8, atol=1e-10)
        compared += 1
    assert compared > 8


@pytest.mark.proves("wolfe")
def test_wolfe(formula):
    """torch's steps are good by these conditions, and much longer ones are not."""
    refused = 0
    for before, _, state in steps_of_lbfgs():
        def f(t, before=before, d=state["d"]):
            return rosenbrock(before + t * d)

        def slope(t, before=before, d=state["d"]):
            return jacobian(rosenbrock, before + t * d) @ d

        values = {"f": f, "f'": slope, "c_1": 1e-4, "c_2": 0.9}
        formula("wolfe").holds({**values, "t": float(state["t"])})
        try:
            formula("wolfe").holds({**values, "t": 20 * float(state["t"])})
        except AssertionError:
            refused += 1
    assert refused == 12


@pytest.mark.proves("cubic")
def test_cubic(formula):
    """Against the root of the derivative of the cubic that has these values and slopes."""
    compared = 0
    for seed in range(4):
        k3, k2, k1, k0 = numbers(4, seed=seed).abs()
        k2 = -3 * k2
        for t1, t2 in [(0.0, 2.5), (-1.0, 4.0)]:
            f = {t: k3 * t**3 + k2 * t**2 + k1 * t + k0 for t in (t1, t2)}
            slope = {t: 3 * k3 * t**2 + 2 * k2 * t + k1 for t in (t1, t2)}
            square = 4 * k2**2 - 12 * k3 * k1
            if square <= 0:
                continue
            lowest = (-2 * k2 + square.sqrt()) / (6 * k3)  # the root where the curvature is positive
            a = slope[t1] + slope[t2] - 3 * (f[t1] - f[t2]) / (t1 - t2)
            formula("cubic").holds({
                "t": lowest, "t_1": t1, "t_2": t2, "f_1": f[t1], "f_2": f[t2], "f'_1": slope[t1], "f'_2": slope[t2],
                r"\alpha": a, r"\beta": (a**2 - slope[t1] * slope[t2]).sqrt()}, rtol=1e-8)
            compared += 1
    assert compared >= 4


def run_muon(steps=3, shape=(5, 3), **options):
    """torch's Muon, and what it gives to the iteration of Newton and Schulz."""
    given, returned = [], []
    real = torch_muon._zeropower_via_newtonschulz

    def record(grad, *rest):
        given.append(grad.clone())
        returned.append(real(grad, *rest))
        return returned[-1]

    w = numbers(*shape).requires_grad_()
    optimizer = torch.optim.Muon([w], momentum=0.8, **options)
    with mock.patch.object(torch_muon, "_zeropower_via_newtonschulz", record):
        for t in range(steps):
            before = w.detach().clone(), optimizer.state[w].get("momentum_buffer", torch.zeros(shape)).clone()
            w.grad = numbers(*shape, seed=t + 1)
            optimizer.step()
            yield before, w.detach().clone(), optimizer.state[w]["momentum_buffer"], w.grad, given[-1], returned[-1]


@pytest.mark.proves("muon-momentum")
def test_muon_momentum(formula):
    for (_, buffer), _, after, g, given, _ in run_muon():
        formula("muon-momentum").holds({
            "B_t": after, "B_{t-1}": buffer.double(), "G_t": g, r"\tilde B_t": given, r"\mu": 0.8})


@pytest.mark.proves("muon")
def test_muon_step(formula):
    for name, shape in itertools.product(("original", "match_rms_adamw", "spectral_unclamped"), ((5, 3), (3, 5))):
        n, m = shape
        scale = {"original": max(1, n / m) ** 0.5, "match_rms_adamw": 0.2 * max(n, m) ** 0.5}.get(name, (n / m) ** 0.5)
        options = {"lr": 0.3, "weight_decay": 0.4, "adjust_lr_fn": name}
        for (before, _), after, _, _, given, returned in run_muon(shape=shape, **options):
            formula("muon").holds({
                "w_t": after, "w_{t-1}": before, r"\eta": 0.3, r"\lambda": 0.4, r"\kappa": scale, r"\tilde B_t": given,
                r"\operatorname{NS}": lambda _, returned=returned: returned.double()}, rtol=1e-7)


@pytest.mark.proves("steepest")
def test_steepest(formula):
    G = numbers(4, 6)
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    most = (G * (U @ Vh)).sum()
    formula("steepest").holds({"G": G, "U": U, "V": Vh.T, "r": 4, r"\sigma": torch.linalg.svdvals(G)})
    for seed in range(100):  # steps that stretch nothing to more than its length
        other = numbers(4, 6, seed=seed)
        other = other / torch.linalg.matrix_norm(other, 2)
        assert (G * other).sum() < most


@pytest.mark.proves("newton-schulz")
def test_newton_schulz(formula):
    a, b, c = 3.4445, -4.7750, 2.0315
    for shape in ((3, 5), (5, 3)):
        X = numbers(*shape)
        X = X / X.norm()
        U, sigma, Vh = torch.linalg.svd(X, full_matrices=False)
        p = a * sigma + b * sigma.pow(3) + c * sigma.pow(5)
        truth = (U * p) @ Vh
        for i in (1, 2, 3):
            formula("newton-schulz").holds({
                "X'": truth, "X": X, "a": a, "b": b, "c": c, "U": U, "V": Vh.T, "p": p, r"\sigma": sigma, "i": i})
        found = torch_muon._zeropower_via_newtonschulz(X, COEFFICIENTS, 1, 1e-7)
        torch.testing.assert_close(found.double(), truth, rtol=0, atol=0.03)


@pytest.mark.proves("shape")
def test_shape(formula):
    for n, m in [(4, 6), (6, 4), (5, 5)]:
        U, _, Vh = torch.linalg.svd(numbers(n, m), full_matrices=False)
        formula("shape").holds({"U": U, "V": Vh.T, "n": n, "m": m})


@pytest.mark.proves("shampoo")
def test_shampoo(formula):
    G = numbers(4, 4)

    def root(a):
        values, vectors = torch.linalg.eigh(a)
        return (vectors * values**-0.25) @ vectors.T

    U, _, Vh = torch.linalg.svd(G)
    formula("shampoo").holds({
        r"(G G^\top)^{-1/4}": root(G @ G.T), r"(G^\top G)^{-1/4}": root(G.T @ G), "G": G, "U": U, "V": Vh.T}, rtol=1e-8)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_sums_in_the_text_are_right(lang):
    assert check_sums(PAGE, lang) >= 1


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    values = torch.linalg.svdvals(names["newton_schulz"](names["G"], 5))
    assert values[:-1].min() > 0.65
    assert 0.3 < values[-1] < 0.5
    assert values.max() < 1.2
    curves = names["curves"]
    best = {name: min(c[-1] for (n, _), c in curves.items() if n == name) for name in ("AdamW", "Muon + AdamW")}
    assert best["Muon + AdamW"] < best["AdamW"] / 2 + 0.01
    assert abs(names["difference"]) < 0.03
    assert names["loss"] < 1e-8
    assert names["ends"][0] == [-1.5, 2.0]


def check_saddle_free(step):
    def two_valleys(w):
        return w[0] ** 2 / 2 - w[1] ** 2 / 2 + w[1] ** 4 / 4

    w = torch.tensor([1.0, 0.3], dtype=torch.float64)
    for _ in range(20):
        w = w + step(jacobian(two_valleys, w), hessian(two_valleys, w))
    torch.testing.assert_close(w, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-8)
    g, A = numbers(5), positive(5)
    torch.testing.assert_close(step(g, A), -torch.linalg.solve(A, g), rtol=1e-9, atol=1e-12)


def test_exercise_saddle(page):
    check_saddle_free(page(PAGE)["saddle_free"])


@pytest.mark.parametrize("wrong", [
    lambda g, H: -torch.linalg.solve(H, g), lambda g, H: -torch.linalg.solve(H.abs(), g), lambda g, H: -0.3 * g],
    ids=["Newton", "absolute entries", "descent"])
def test_exercise_saddle_rejects(wrong):
    with pytest.raises(AssertionError):
        check_saddle_free(wrong)


def check_orthogonalize(orthogonalize):
    for shape in ((3, 5), (5, 3), (4, 4)):
        x = numbers(*shape, seed=3)
        U, sigma, Vh = torch.linalg.svd(x, full_matrices=False)
        torch.testing.assert_close(orthogonalize(x, 40), U @ Vh, rtol=0, atol=1e-10)
        sigma = sigma / sigma.norm()
        once = (U * (1.5 * sigma - 0.5 * sigma**3)) @ Vh
        torch.testing.assert_close(orthogonalize(x, 1), once, rtol=1e-9, atol=1e-12)


def test_exercise_classic(page):
    check_orthogonalize(page(PAGE)["orthogonalize"])


@pytest.mark.parametrize("wrong", [
    lambda x, steps: x / x.norm(), lambda x, steps: torch.linalg.qr(x)[0],
    lambda x, steps: torch.linalg.svd(x, full_matrices=False)[0] @ torch.linalg.svd(x, full_matrices=False)[2]],
    ids=["only divided", "qr", "svd at once"])
def test_exercise_classic_rejects(wrong):
    with pytest.raises(AssertionError):
        check_orthogonalize(wrong)


def check_names(names_for_muon):
    model = nn.Sequential()
    for name, module in {
        "table": nn.Embedding(7, 4), "first": nn.Linear(4, 4), "conv": nn.Conv1d(4, 4, 3), "norm": nn.LayerNorm(4),
        "second": nn.Linear(4, 4, bias=False), "head": nn.Linear(4, 7), "heads": nn.Linear(4, 4)}.items():
        model.add_module(name, module)
    assert list(names_for_muon(model, "head")) == ["first.weight", "second.weight", "heads.weight"]


def test_exercise_names(page):
    check_names(page(PAGE)["names_for_muon"])


@pytest.mark.parametrize("wrong", [
    lambda model, head: [name for name, p in model.named_parameters() if p.ndim == 2],
    lambda model, head: [n for n, p in model.named_parameters() if n.endswith("weight") and not n.startswith(head)],
], ids=["all matrices", "all weights"])
def test_exercise_names_rejects(wrong):
    with pytest.raises(AssertionError):
        check_names(wrong)
