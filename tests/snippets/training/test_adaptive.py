"""Proofs of the formulas of training/adaptive against torch.optim in float64, and its exercises."""

import itertools
import math
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from dlguide import optim

PAGE = "training/adaptive"
STEPS = 6
ETA, EPS, BETAS = 0.3, 0.1, (0.7, 0.8)
COMMON = {r"\eta": ETA, r"\varepsilon": EPS, r"\beta_1": BETAS[0], r"\beta_2": BETAS[1]}


def numbers(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def history(name: str, gradients: Tensor | None = None, start: Tensor | None = None, **options: object) -> list[dict]:
    """What torch.optim does in each step: t, g, w and the state before and after it."""
    gradients = numbers(STEPS, 4) if gradients is None else gradients
    w = (numbers(*gradients.shape[1:], seed=5) if start is None else start).clone().requires_grad_()
    optimizer = getattr(torch.optim, name)([w], **options)
    found = []
    for t, g in enumerate(gradients, 1):
        was = {k: s.clone() for k, s in optimizer.state[w].items() if torch.is_tensor(s)}
        before = w.detach().clone()
        w.grad = g.to_sparse() if name == "SparseAdam" else g.clone()
        optimizer.step()
        now = {k: s.clone() for k, s in optimizer.state[w].items() if torch.is_tensor(s)}
        was = {k: was.get(k, torch.zeros_like(s)) for k, s in now.items()}
        found.append({"t": t, "g_t": g, "w_{t-1}": before, "w_t": w.detach().clone(), "was": was, "now": now})
    return found


def averages(step: dict) -> dict:
    """Adam's m and v, before and after."""
    return {**step, **COMMON, "m_t": step["now"]["exp_avg"], "m_{t-1}": step["was"]["exp_avg"],
            "v_t": step["now"]["exp_avg_sq"], "v_{t-1}": step["was"]["exp_avg_sq"]}


def corrected(step: dict) -> dict:
    values = averages(step)
    c1, c2 = (1 - beta ** step["t"] for beta in BETAS)
    return {**values, r"\hat m_t": values["m_t"] / c1, r"\hat v_t": values["v_t"] / c2}


@contextmanager
def doubles():
    """The numbers that an optimizer keeps as tensors, such as mu_product, in float64 too."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.proves("adagrad")
def test_adagrad(formula):
    for step in history("Adagrad", lr=ETA, eps=EPS):
        formula("adagrad").holds({**step, **COMMON, "s_t": step["now"]["sum"], "s_{t-1}": step["was"]["sum"]})


@pytest.mark.proves("rmsprop")
def test_rmsprop(formula):
    for step in history("RMSprop", lr=ETA, eps=EPS, alpha=0.8):
        v = {"v_t": step["now"]["square_avg"], "v_{t-1}": step["was"]["square_avg"]}
        formula("rmsprop").holds({**step, **COMMON, **v, r"\alpha": 0.8})


@pytest.mark.proves("rmsprop-centered")
def test_rmsprop_centered(formula):
    for step in history("RMSprop", lr=ETA, eps=EPS, alpha=0.8, centered=True):
        formula("rmsprop-centered").holds({
            **step, **COMMON, r"\alpha": 0.8, "v_t": step["now"]["square_avg"],
            r"\bar g_t": step["now"]["grad_avg"], r"\bar g_{t-1}": step["was"]["grad_avg"]})


@pytest.mark.proves("adadelta")
def test_adadelta(formula):
    for step in history("Adadelta", lr=ETA, eps=EPS, rho=0.8):
        was, now = step["was"], step["now"]
        formula("adadelta").holds({
            **step, **COMMON, r"\rho": 0.8, r"\Delta_t": (step["w_{t-1}"] - step["w_t"]) / ETA,
            "v_t": now["square_avg"], "v_{t-1}": was["square_avg"], "u_t": now["acc_delta"],
            "u_{t-1}": was["acc_delta"]})


@pytest.mark.proves("adam")
def test_adam(formula):
    for step in history("Adam", lr=ETA, eps=EPS, betas=BETAS):
        formula("adam").holds(corrected(step))


@pytest.mark.proves("adamw")
def test_adamw(formula):
    for step in history("AdamW", lr=ETA, eps=EPS, betas=BETAS, weight_decay=0.4):
        formula("adamw").holds({**corrected(step), r"\lambda": 0.4})


@pytest.mark.proves("unrolled")
def test_unrolled(formula):
    for step in history("Adam", lr=ETA, betas=BETAS):
        formula("unrolled").holds({"t": step["t"], r"\beta_1": BETAS[0], "g": numbers(STEPS, 4),
                                   "m_t": step["now"]["exp_avg"]})


@pytest.mark.proves("weights")
def test_weights(formula):
    """The mean of gradients that are all 1 is the sum of the weights."""
    for step in history("Adam", torch.ones(STEPS, 1, dtype=torch.float64), betas=BETAS):
        values = {"t": step["t"], r"\beta_1": BETAS[0]}
        formula("weights").holds(values)
        torch.testing.assert_close(step["now"]["exp_avg"].squeeze(), formula("weights").right(values))


@pytest.mark.proves("bias")
def test_bias(formula):
    """Exactly, over all sequences of gradients that are 1 or 4 with equal chance."""
    both = torch.tensor([1.0, 4.0], dtype=torch.float64)
    sequences = torch.cartesian_prod(*[both] * STEPS)  # one row for each sequence
    for step in history("Adam", sequences.T, betas=BETAS):
        formula("bias").holds({r"\mathbb{E}[m_t]": step["now"]["exp_avg"].mean(), r"\mathbb{E}[g]": both.mean(),
                               r"\beta_1": BETAS[0], "t": step["t"]})


@pytest.mark.proves("counterexample")
def test_counterexample(formula):
    """With the averages of torch.optim.Adam in the hundredth round."""
    gradients = torch.tensor([[3.0], [-1.0], [-1.0]] * 100, dtype=torch.float64)
    for amsgrad, kept in ((False, "exp_avg_sq"), (True, "max_exp_avg_sq")):
        last = history("Adam", gradients, betas=(0.0, 0.1), amsgrad=amsgrad)[-3:]
        v = {f"v_{i}": step["now"][kept] for i, step in enumerate(last, 1)}
        assert (last[-1]["w_t"] > last[0]["w_{t-1}"]) == (not amsgrad)
        if amsgrad:
            with pytest.raises(AssertionError, match="does not hold"):
                formula("counterexample").holds(v)
        else:
            formula("counterexample").holds(v)
            down, *up = (abs(step["w_t"] - step["w_{t-1}"]).item() / 1e-3 for step in last)  # torch's steps over lr
            assert formula("counterexample").left(v).item() == pytest.approx(down, rel=1e-6)
            assert formula("counterexample").right(v).item() == pytest.approx(sum(up), rel=1e-6)


@pytest.mark.proves("amsgrad")
def test_amsgrad(formula):
    for step in history("Adam", lr=ETA, eps=EPS, betas=BETAS, amsgrad=True):
        formula("amsgrad").holds({**averages(step), r"\bar v_t": step["now"]["max_exp_avg_sq"],
                                  r"\bar v_{t-1}": step["was"]["max_exp_avg_sq"]})


@pytest.mark.proves("adamax")
def test_adamax(formula):
    for step in history("Adamax", lr=ETA, eps=EPS, betas=BETAS):
        formula("adamax").holds({**step, **COMMON, "m_t": step["now"]["exp_avg"], "x_t": step["now"]["exp_inf"],
                                 "x_{t-1}": step["was"]["exp_inf"]})


def nadam() -> tuple[list[dict], Tensor]:
    with doubles():
        steps = history("NAdam", numbers(STEPS + 1, 4), lr=ETA, eps=EPS, betas=BETAS, momentum_decay=0.9)
    products = torch.stack([torch.ones((), dtype=torch.float64), *(step["now"]["mu_product"] for step in steps)])
    return steps[:-1], products[1:] / products[:-1]  # the momentum of each step


@pytest.mark.proves("nadam-momentum")
def test_nadam_momentum(formula):
    for t, mu in enumerate(nadam()[1], 1):
        formula("nadam-momentum").holds({r"\mu_t": mu, "t": t, r"\psi": 0.9, r"\beta_1": BETAS[0]})


@pytest.mark.proves("nadam")
def test_nadam(formula):
    steps, mu = nadam()
    for step in steps:
        values = averages(step)
        root = (values["v_t"] / (1 - BETAS[1] ** step["t"])).sqrt() + EPS
        ahead = (step["w_{t-1}"] - step["w_t"]) * root / ETA  # from the step itself
        formula("nadam").holds({**values, r"\mu": mu, r"\hat m_t": ahead})


def ages(t: int) -> float:
    """The average age of the gradients in a fading mean: the newest is 0 steps old."""
    weights = [BETAS[1] ** age for age in range(t)]
    return sum(age * weight for age, weight in enumerate(weights)) / sum(weights)


@pytest.mark.proves("radam-length")
def test_radam_length(formula):
    """A plain mean of n values has the average age (n - 1) / 2."""
    for t in (1, 2, 5, 20):
        formula("radam-length").holds({r"\rho_t": 2 * ages(t) + 1, r"\rho_\infty": 2 * ages(400) + 1,
                                       r"\beta_2": BETAS[1], "t": t})


def radam() -> list[dict]:
    """The steps of torch.optim.RAdam; in some of the twelve rho is above 5."""
    steps = history("RAdam", numbers(12, 4), lr=ETA, eps=EPS, betas=BETAS)
    most = 2 * ages(400) + 1
    return [{**averages(step), r"\rho_t": 2 * ages(step["t"]) + 1, r"\rho_\infty": most} for step in steps]


def factor(step: dict) -> Tensor:
    """How much torch shortens the step."""
    t = step["t"]
    full = ETA * step["m_t"] / (1 - BETAS[0] ** t) * (1 - BETAS[1] ** t) ** 0.5 / (step["v_t"].sqrt() + EPS)
    return ((step["w_{t-1}"] - step["w_t"]) / full).mean()


@pytest.mark.proves("radam-factor")
def test_radam_factor(formula):
    late = [step for step in radam() if step[r"\rho_t"] > 5]
    assert 0 < len(late) < 12
    for step in late:
        formula("radam-factor").holds({**step, "r_t": factor(step)})


@pytest.mark.proves("radam-factor", "radam")
def test_radam(formula):
    """With the factor of the other formula, not with one that is measured in the step."""
    for step in radam():
        r = formula("radam-factor").right(step | {"r_t": 0.0}) if step[r"\rho_t"] > 5 else 0.0
        formula("radam").holds({**step, "r_t": r})


@pytest.mark.proves("rprop")
def test_rprop(formula):
    gradients = numbers(12, 5, seed=1)
    gradients[3, 0] = 0.0
    limits = {r"\eta^-": 0.5, r"\eta^+": 1.7, r"\delta_{\min}": 0.1, r"\delta_{\max}": 0.6}
    for step in history("Rprop", gradients, lr=ETA, etas=(0.5, 1.7), step_sizes=(0.1, 0.6)):
        was, now = step["was"], step["now"]
        formula("rprop").holds({
            **step, **limits, r"\delta_t": now["step_size"], "p_t": now["prev"], "p_{t-1}": was["prev"],
            r"\delta_{t-1}": was["step_size"] if step["t"] > 1 else torch.full_like(step["g_t"], ETA)})


def rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def adafactor(**options: float) -> list[dict]:
    growing = torch.arange(1.0, STEPS + 1, dtype=torch.float64)[:, None, None]
    return history("Adafactor", growing * numbers(STEPS, 3, 4), lr=ETA, eps=(None, 0.2), weight_decay=0.4, **options)


@pytest.mark.proves("adafactor-means")
def test_adafactor_means(formula):
    for step in adafactor():
        was, now, squares = step["was"], step["now"], step["g_t"] ** 2
        rows, columns = squares.mean(1, keepdim=True), squares.mean(0, keepdim=True)
        kept = ((now["row_var"] - rows) / (was["row_var"] - rows)).mean()  # the weight that torch gave the old mean
        formula("adafactor-means").holds({
            "t": step["t"], r"\beta_t": kept, "R_t": now["row_var"], "R_{t-1}": was["row_var"], "C_t": now["col_var"],
            "C_{t-1}": was["col_var"], "G_t": step["g_t"], r"\operatorname{rows}": lambda x: x.mean(1, keepdim=True),
            r"\operatorname{columns}": lambda x: x.mean(0, keepdim=True)})
        torch.testing.assert_close(now["col_var"], kept * was["col_var"] + (1 - kept) * columns)


def rate(step: dict) -> float:
    return max(0.2, rms(step["w_{t-1}"]).item()) * min(ETA, step["t"] ** -0.5)


@pytest.mark.proves("rank-one")
def test_rank_one(formula):
    """What torch divided by, from the step itself; d so large that nothing is limited."""
    for step in adafactor(d=1e9):
        moved = (1 - ETA * 0.4) * step["w_{t-1}"] - step["w_t"]
        v = (rate(step) * step["g_t"] / moved) ** 2
        formula("rank-one").holds({"V_t": v, "R_t": step["now"]["row_var"], "C_t": step["now"]["col_var"]})
        torch.testing.assert_close(v.mean(1, keepdim=True), step["now"]["row_var"])
        torch.testing.assert_close(v.mean(0, keepdim=True), step["now"]["col_var"])
        assert torch.linalg.matrix_rank(v, rtol=1e-10) == 1


@pytest.mark.proves("adafactor")
def test_adafactor(formula):
    limited = set()
    for d in (1.1, 2.0):
        for step in adafactor(d=d):
            r, c = step["now"]["row_var"], step["now"]["col_var"]
            u = step["g_t"] / (r @ c / r.mean()).sqrt()
            limited.add(bool(rms(u) > d))
            formula("adafactor").holds({
                **step, r"\eta": ETA, r"\lambda": 0.4, r"\varepsilon_2": 0.2, "d": d, "U_t": u,
                r"\operatorname{RMS}": rms})
    assert limited == {True, False}


@pytest.mark.proves("sparse-adam")
def test_sparse_adam(formula):
    for step in history("SparseAdam", lr=ETA, eps=EPS, betas=BETAS):
        formula("sparse-adam").holds(corrected(step))


@pytest.mark.proves("trace")
def test_trace(formula):
    gradients = torch.ones(STEPS, 1, dtype=torch.float64)
    gradients[0] = -100.0
    spike, *after = history("Adam", gradients, betas=BETAS)
    for n, step in enumerate(after, 1):
        formula("trace").holds({
            "n": n, r"\beta_1": BETAS[0], r"\beta_2": BETAS[1], "m_0": spike["now"]["exp_avg"],
            "v_0": spike["now"]["exp_avg_sq"], "m_n": step["now"]["exp_avg"], "v_n": step["now"]["exp_avg_sq"]})


def test_the_spike_moves_what_the_page_says(page):
    after_spike = page(PAGE)["after_spike"]
    assert after_spike(-1e6)[-1] == pytest.approx(0.050, abs=5e-4)
    assert after_spike(-1e6, clip=1.0)[-1] == pytest.approx(-0.96, abs=5e-3)
    assert after_spike(1.0)[-1] == pytest.approx(-1.0, abs=5e-3)
    assert math.isnan(after_spike(math.inf)[-1])
    assert 1e5 * 0.9**110 < 1 < 1e5 * 0.9**109
    assert 1e9 * 0.999**21_000 < 1 < 1e9 * 0.999**20_000


def test_the_misprints_are_not_adam(page):
    """The right version is torch's first step; each misprint is another."""
    first_step = page(PAGE)["first_step"]
    for g in (0.01, 100.0):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=1.0)
        w.grad = torch.full_like(w, g)
        optimizer.step()
        assert first_step(g) == pytest.approx(-w.item())
        assert first_step(g, root=False) != pytest.approx(-w.item(), rel=0.5)
        assert first_step(g, corrected=False) != pytest.approx(-w.item(), rel=0.5)


def test_only_adam_goes_to_the_wrong_end(page):
    climb = page(PAGE)["climb"]
    assert climb()[0][-1] > 0.97
    assert climb(amsgrad=True)[0][-1] < -0.97


def check_epsilon(same_epsilon):
    for eps, t, beta2 in itertools.product((0.1, 0.3), (1, 4), (0.8, 0.95)):
        sparse = history("SparseAdam", numbers(t, 4), lr=ETA, eps=eps, betas=(0.7, beta2))[-1]
        values = history("Adam", numbers(t, 4), lr=ETA, eps=same_epsilon(eps, t, beta2), betas=(0.7, beta2))[-1]
        moved = [step["w_t"] - step["w_{t-1}"] for step in (sparse, values)]
        torch.testing.assert_close(*moved, rtol=1e-9, atol=1e-12)


def test_exercise_epsilon(page):
    check_epsilon(page(PAGE)["same_epsilon"])


@pytest.mark.parametrize("wrong", [
    lambda eps, t, beta2: eps, lambda eps, t, beta2: eps / (1 - beta2**t),
    lambda eps, t, beta2: eps * (1 - beta2**t) ** 0.5,
], ids=["the same", "no root", "inverted"])
def test_exercise_epsilon_rejects(wrong):
    with pytest.raises(AssertionError):
        check_epsilon(wrong)


def check_factored(factored):
    for shape in ((1, 1), (2, 3), (5, 4)):
        squares = numbers(*shape) ** 2
        found = factored(squares)
        torch.testing.assert_close(found.mean(1), squares.mean(1))
        torch.testing.assert_close(found.mean(0), squares.mean(0))
        assert torch.linalg.matrix_rank(found) == 1


def test_exercise_factored(page):
    check_factored(page(PAGE)["factored"])


@pytest.mark.parametrize("wrong", [
    lambda s: s, lambda s: s.mean(1, keepdim=True) * s.mean(0, keepdim=True),
    lambda s: (s.mean(1, keepdim=True) + s.mean(0, keepdim=True)) / 2,
], ids=["full", "not divided", "added"])
def test_exercise_factored_rejects(wrong):
    with pytest.raises(AssertionError):
        check_factored(wrong)


def check_lion(lion):
    state: dict[str, torch.Tensor] = {}
    w = torch.zeros(4, dtype=torch.float64)
    by_hand, means = [0.0] * 4, [0.0] * 4
    for gradient in numbers(20, 4):
        lion(w, gradient.clone(), state, lr=0.1)
        for i, g in enumerate(gradient.tolist()):
            by_hand[i] -= math.copysign(0.1, 0.9 * means[i] + 0.1 * g)
            means[i] = 0.99 * means[i] + 0.01 * g
    torch.testing.assert_close(w, torch.tensor(by_hand, dtype=torch.float64))


def test_exercise_lion(page):
    check_lion(page(PAGE)["lion"])


def new_mean_first(w, g, state, lr):
    m = state.setdefault("m", torch.zeros_like(w))
    m.copy_(0.99 * m + 0.01 * g)
    w -= lr * (0.9 * m + 0.1 * g).sign()


def one_beta(w, g, state, lr):
    m = state.setdefault("m", torch.zeros_like(w))
    m.copy_(0.9 * m + 0.1 * g)
    w -= lr * m.sign()


@pytest.mark.parametrize("wrong", [new_mean_first, one_beta])
def test_exercise_lion_rejects(wrong):
    with pytest.raises(AssertionError):
        check_lion(wrong)


def test_the_shown_rules_are_those_of_torch():
    """Each rule of this page from dlguide beside torch, with an epsilon that counts."""
    plain = {"lr": ETA, "eps": EPS}
    for name, options in {
        "Adagrad": plain, "RMSprop": {**plain, "centered": True}, "Adadelta": plain, "Adam": {**plain, "amsgrad": True},
        "AdamW": {**plain, "weight_decay": 0.4}, "Adamax": plain, "RAdam": {**plain, "betas": BETAS}, "NAdam": plain,
        "Rprop": {"lr": ETA}, "Adafactor": {"lr": ETA}, "SparseAdam": plain,
    }.items():
        gradients = numbers(12, 3, 4)
        with doubles():
            theirs = history(name, gradients, **options)[-1]["w_t"]
            w = numbers(3, 4, seed=5).requires_grad_()
            optimizer = getattr(optim, name)([w], **options)
            for g in gradients:
                w.grad = g.to_sparse(1) if name == "SparseAdam" else g.clone()
                optimizer.step()
        torch.testing.assert_close(w.detach(), theirs, rtol=1e-10, atol=1e-12, msg=name)
