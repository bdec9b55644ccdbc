"""Proofs of the formulas of training/optimizers, and its exercises."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlguide import optim
from tests.snippets.sums import check_sums

PAGE = "training/optimizers"
T = 60  # steps
GENERATOR = torch.Generator().manual_seed(3)
START = torch.randn(4, generator=GENERATOR, dtype=torch.float64)
GRADIENTS = torch.randn(T, 4, generator=GENERATOR, dtype=torch.float64)


def history(name: str, gradients: Tensor = GRADIENTS[:6], **options: object) -> list[dict]:
    """What torch.optim does from START in each step: t, g, w and the state before and after it."""
    w = START.clone().requires_grad_()
    optimizer = getattr(torch.optim, name)([w], **options)
    found = []
    for t, g in enumerate(gradients, 1):
        was = {k: s.clone() for k, s in optimizer.state[w].items() if torch.is_tensor(s)}
        before = w.detach().clone()
        w.grad = g.clone()
        optimizer.step()
        now = {k: s.clone() for k, s in optimizer.state[w].items() if torch.is_tensor(s)}
        was = {k: was.get(k, torch.zeros_like(s)) for k, s in now.items()}
        found.append({"t": t, "g_t": g, "w_{t-1}": before, "w_t": w.detach().clone(), "was": was, "now": now})
    return found


def by_torch(name: str, gradients: Tensor = GRADIENTS, **options: object) -> Tensor:
    """Where torch.optim goes from START when these gradients arrive."""
    return history(name, gradients, **options)[-1]["w_t"]


def close(a: Tensor, b: Tensor) -> bool:
    return (a - b).abs().max().item() < 1e-12


COMMON = {r"\eta": 0.3, r"\varepsilon": 0.1, r"\beta_1": 0.7, r"\beta_2": 0.8}
ADAM = {"lr": 0.3, "eps": 0.1, "betas": (0.7, 0.8)}


def averages(step: dict) -> dict:
    """Adam's m and v, before and after."""
    return {**step, **COMMON, "m_t": step["now"]["exp_avg"], "m_{t-1}": step["was"]["exp_avg"],
            "v_t": step["now"]["exp_avg_sq"], "v_{t-1}": step["was"]["exp_avg_sq"]}


@pytest.mark.proves("gradient-descent")
def test_gradient_descent(formula):
    for step in history("SGD", lr=0.3):
        formula("gradient-descent").holds({**step, **COMMON})


@pytest.mark.proves("batch-gradient")
def test_batch_gradient(formula):
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(12, generator=generator, dtype=torch.float64)
    w = START.clone().requires_grad_()

    def gradient(rows: Tensor) -> Tensor:
        return torch.autograd.grad(((x[rows] @ w - y[rows]) ** 2).mean(), w)[0]

    one_by_one = torch.stack([gradient(torch.tensor([i])) for i in range(12)])
    batch = torch.tensor([7, 2, 5])
    formula("batch-gradient").holds(
        {"g_t": gradient(batch), "|B|": 3, "B": batch.tolist(), r"\nabla L": one_by_one}, first=0)
    batches = torch.randperm(12, generator=generator).split(3)
    assert close(torch.stack([gradient(b) for b in batches]).mean(0), gradient(torch.arange(12)))


@pytest.mark.proves("momentum")
def test_momentum(formula):
    for step in history("SGD", lr=0.3, momentum=0.7):
        before = step["was"]["momentum_buffer"]
        formula("momentum").holds({
            **step, **COMMON, r"\mu": 0.7, "b_t": step["now"]["momentum_buffer"], "b_{t-1}": before})


def test_steps_grow_tenfold():
    """With equal gradients the steps approach lr * g / (1 - mu), as the page says."""
    last = history("SGD", torch.ones(400, 4, dtype=torch.float64), lr=0.05, momentum=0.9)[-1]
    assert close(last["w_{t-1}"] - last["w_t"], torch.full_like(START, 0.5))


@pytest.mark.proves("adagrad")
def test_adagrad(formula):
    for step in history("Adagrad", lr=0.3, eps=0.1):
        formula("adagrad").holds({**step, **COMMON, "s_t": step["now"]["sum"], "s_{t-1}": step["was"]["sum"]})


@pytest.mark.proves("rmsprop")
def test_rmsprop(formula):
    for step in history("RMSprop", lr=0.3, eps=0.1, alpha=0.8):
        v = {"v_t": step["now"]["square_avg"], "v_{t-1}": step["was"]["square_avg"]}
        formula("rmsprop").holds({**step, **COMMON, **v, r"\alpha": 0.8})


@pytest.mark.proves("adam")
def test_adam(formula):
    for step in history("Adam", **ADAM):
        formula("adam").holds(averages(step))


@pytest.mark.proves("adam-first-step")
def test_adam_first_step(formula):
    first = history("Adam", **ADAM)[0]
    formula("adam-first-step").holds({**COMMON, "w_0": START, "w_1": first["w_t"], "g_1": first["g_t"]})
    tiny = history("Adam", lr=0.3, eps=1e-12)[0]
    assert torch.allclose(tiny["w_t"], START - 0.3 * tiny["g_t"].sign())


@pytest.mark.proves("adamw")
def test_adamw(formula):
    for step in history("AdamW", weight_decay=0.4, **ADAM):
        formula("adamw").holds({**averages(step), r"\lambda": 0.4})


def slope(w: Tensor) -> Tensor:
    w = w.detach().clone().requires_grad_()
    return torch.autograd.grad(torch.cosh(w).sum(), w)[0]


@pytest.mark.proves("l2")
def test_l2(formula):
    """The gradient of the loss with its penalty, by autograd; torch's option is the same."""
    w = START.clone().requires_grad_()
    (torch.cosh(w).sum() + 0.4 / 2 * w.norm() ** 2).backward()
    assert w.grad is not None
    formula("l2").holds({"g_t": w.grad, r"\nabla L": slope, r"\lambda": 0.4, "w_{t-1}": START})
    for name in ("SGD", "Adagrad", "RMSprop", "Adam"):
        plain = history(name, torch.stack([w.grad]), lr=0.3)[0]["w_t"]
        assert close(plain, history(name, slope(START)[None], lr=0.3, weight_decay=0.4)[0]["w_t"]), name


@pytest.mark.parametrize(("name", "same"), [("SGD", True), ("Adam", False)])
def test_decay_is_shrinking_only_for_plain_sgd(name, same):
    decayed = by_torch(name, GRADIENTS[:1], lr=0.05, weight_decay=0.4)
    moved = by_torch(name, GRADIENTS[:1], lr=0.05) - START
    assert close(decayed, (1 - 0.05 * 0.4) * START + moved) == same


@pytest.mark.proves("quadratic")
@pytest.mark.parametrize("lr", [0.1, 0.39, 0.41])
def test_quadratic(lr, formula):
    w = START.clone().requires_grad_()
    optimizer = torch.optim.SGD([w], lr=lr)
    for t in range(1, T + 1):
        optimizer.zero_grad()
        (0.5 * 5 * w**2).sum().backward()
        optimizer.step()
        formula("quadratic").holds({"w_t": w.detach(), r"\eta": lr, "h": 5, "t": t, "w_0": START}, rtol=1e-9)
    assert (w.detach().abs().max() < START.abs().max()) == (lr < 2 / 5)


@pytest.mark.proves("clipping")
def test_clipping(formula):
    for limit in (0.5, 100.0):
        w = START.clone().requires_grad_()
        w.grad = GRADIENTS[0].clone()
        nn.utils.clip_grad_norm_([w], limit)
        formula("clipping").holds({r"g \leftarrow": w.grad, "g": GRADIENTS[0], "c": limit})


def check_clip(clip: Callable[[list[Tensor], float], list[Tensor]]) -> bool:
    gradients = [GRADIENTS[0], GRADIENTS[1:3], GRADIENTS[3, :1]]
    for limit in (0.5, 2.0, 100.0):
        parameters = [torch.zeros_like(g).requires_grad_() for g in gradients]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.clone()
        nn.utils.clip_grad_norm_(parameters, limit)
        for p, g in zip(parameters, clip(gradients, limit), strict=True):
            if p.grad is None or not close(p.grad, g):
                return False
    return True


def test_exercise_clip(page):
    assert check_clip(page(PAGE)["clip"])

    def each_alone(gradients, limit):
        return [g * min(1.0, limit / (g.norm().item() + 1e-6)) for g in gradients]

    def always(gradients, limit):
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        return [g * limit / (norm + 1e-6) for g in gradients]

    assert not check_clip(each_alone)
    assert not check_clip(always)


def check_adam(rule: Callable[..., None]) -> bool:
    w = START.clone()
    state: dict[str, Any] = {}
    for g in GRADIENTS:
        rule(w, g.clone(), state, lr=0.05)
    return close(w, by_torch("Adam", lr=0.05))


def test_exercise_adam(page):
    solution = page(PAGE)["adam"]
    assert check_adam(solution)

    def uncorrected(w, g, state, lr):
        before = w.clone()
        solution(w, g, state, lr)
        w.copy_(before + (w - before) * (1 - 0.9 ** state["t"]))

    def without_root(w, g, state, lr):
        state["t"] = state.get("t", 0) + 1
        state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
        state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
        w -= lr * state["m"] / (1 - 0.9 ** state["t"]) / (state["v"] / (1 - 0.999 ** state["t"]) + 1e-8)

    def inside_the_root(w, g, state, lr):
        solution(w, g, state, lr)
        m, v = state["m"] / (1 - 0.9 ** state["t"]), state["v"] / (1 - 0.999 ** state["t"])
        w += lr * m / (v.sqrt() + 1e-8) - lr * m / (v + 1e-8).sqrt()

    assert not check_adam(inside_the_root)
    assert not check_adam(uncorrected)
    assert not check_adam(without_root)


def check_limit(largest_rate: Callable[[Tensor], float]) -> bool:
    for seed in range(3):
        root = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        a = root @ root.T + torch.eye(3, dtype=torch.float64)
        for factor, converges in ((0.99, True), (1.01, False)):
            steps = torch.eye(3, dtype=torch.float64) - factor * largest_rate(a) * a
            end = torch.linalg.matrix_power(steps, 1000) @ torch.ones(3, dtype=torch.float64)
            if (end.norm().item() < 1e-3) != converges:
                return False
    return True


def test_exercise_limit(page):
    assert check_limit(page(PAGE)["largest_rate"])
    assert not check_limit(lambda a: 1 / torch.linalg.eigvalsh(a).max().item())
    assert not check_limit(lambda a: 2 / torch.linalg.eigvalsh(a).min().item())
    assert not check_limit(lambda a: 2 / a.diagonal().max().item())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_sums_in_the_text_are_right(lang):
    assert check_sums(PAGE, lang) >= 3


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    assert len(names["names"]) == 15
    sgd, asgd = by_torch("SGD", lr=0.1), by_torch("ASGD", lr=0.1)
    assert torch.allclose(sgd, asgd, rtol=1e-2, atol=1e-2)  # almost one path, and not quite
    assert not torch.equal(sgd, asgd)
    assert (names["first"] - names["start"]).abs().max().item() == 0.0


def test_the_rules_are_those_of_torch(page):
    """All the optimizers whose state the page counts, three steps each on a matrix."""
    for label, options in page(PAGE)["choices"].items():
        ends = []
        for library in (optim, torch.optim):
            w = GRADIENTS[:4].clone().requires_grad_()
            optimizer = getattr(library, label.split(",")[0])([w], lr=0.1, **options)
            for i in (4, 8, 12):
                w.grad = GRADIENTS[i : i + 4].clone()
                optimizer.step()
            ends.append(w.detach())
        torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-8, msg=label)
