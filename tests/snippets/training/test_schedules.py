"""Proofs of the formulas of training/schedules against torch.optim in float64, and its exercises."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, lr_scheduler
from torch.utils.data import TensorDataset

PAGE = "training/schedules"


def descend(w, lr, slope, steps):
    """Where torch's SGD goes; slope(w, t) is the gradient."""
    w = torch.as_tensor(w, dtype=torch.float64).clone().requires_grad_()
    path, optimizer = [w.detach().clone()], SGD([w], lr=lr)
    for t in range(steps):
        w.grad = torch.as_tensor(slope(w.detach(), t), dtype=torch.float64)
        optimizer.step()
        path.append(w.detach().clone())
    return path


def rates(make, steps=40, lr=0.7):
    """The learning rates of torch's schedule."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.proves("step-factor")
def test_step_factor(formula):
    lowest, h = 1.7, 2.5
    path = descend(-0.4, 0.3, lambda w, t: h * (w - lowest), 6)
    for before, after in itertools.pairwise(path):
        formula("step-factor").holds({"w_t": after, "w_{t-1}": before, "w^*": lowest, r"\eta": 0.3, "h": h})


@pytest.mark.proves("step-limit")
def test_step_limit(formula):
    """The rates that the formula allows are those with which SGD comes nearer."""
    for h, lr in itertools.product([0.4, 1.0, 11.093], [-0.1, 0.0, 0.01, 0.18, 0.19, 1.9, 2.1, 4.9, 5.1]):
        def slope(w, t, h=h):
            return h * w
        start, *_, end = (descend(1.0, lr, slope, 3) if lr >= 0 else descend(1.0, -lr, lambda w, t: -slope(w, t), 3))
        try:
            formula("step-limit").holds({r"\eta": lr, "h": h})
            allowed = True
        except AssertionError:
            allowed = False
        assert allowed == (abs(end) < abs(start)), (h, lr)


def all_signs(steps):
    return torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * steps)


@pytest.mark.proves("noise-variance", "noise-floor")
def test_noise(formula):
    """Exactly: SGD on all sequences of signs at once. With eta*h = 0.9 ten steps reach the floor."""
    h, lr, sigma, noise = 1.5, 0.6, 2.0, all_signs(12)
    path = descend(torch.full((len(noise),), 3.0), lr, lambda w, t: h * w + sigma * noise[:, t], 12)
    names = {r"\eta": lr, "h": h, r"\sigma": sigma}
    for before, after in itertools.pairwise([w.var(correction=0) for w in path]):
        formula("noise-variance").holds({"v_t": after, "v_{t-1}": before, **names})
    formula("noise-floor").holds({"v": path[-1].var(correction=0), **names})


@pytest.mark.proves("step-decay")
def test_step_decay(formula):
    for t, rate in enumerate(rates(lambda o: lr_scheduler.StepLR(o, 7, gamma=0.6))):
        formula("step-decay").holds({r"\eta_t": rate, r"\eta_0": 0.7, r"\gamma": 0.6, "t": t, "s": 7})


@pytest.mark.proves("exponential")
def test_exponential(formula):
    for t, (before, rate) in enumerate(itertools.pairwise(rates(lambda o: lr_scheduler.ExponentialLR(o, 0.9))), 1):
        formula("exponential").holds(
            {r"\eta_t": rate, r"\eta_0": 0.7, r"\gamma": 0.9, "t": t, r"\eta_{t-1}": before})


@pytest.mark.proves("linear")
def test_linear(formula):
    for a, b in [(0.2, 1.0), (0.9, 0.3)]:
        for t, rate in enumerate(rates(lambda o, a=a, b=b: lr_scheduler.LinearLR(o, a, b, 25))):
            formula("linear").holds({r"\eta_t": rate, r"\eta_0": 0.7, "a": a, "b": b, "t": t, "T": 25})


@pytest.mark.proves("cosine", "cosine-step")
def test_cosine(formula):
    found = rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 50, 0.1))
    for t, (before, rate) in enumerate(itertools.pairwise(found), 1):
        names = {r"\eta_t": rate, r"\eta_{t-1}": before, r"\eta_0": 0.7, r"\eta_{\min}": 0.1, "t": t, "T": 50}
        formula("cosine").holds(names)
        formula("cosine-step").holds(names)


def test_restarts_count_from_the_last_one():
    found = rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 2))
    once = rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 20))
    assert found[10:30] == pytest.approx(once[:20])


@pytest.mark.proves("one-cycle")
def test_one_cycle(formula):
    found = rates(lambda o: lr_scheduler.OneCycleLR(
        o, 2.0, total_steps=41, pct_start=0.25, div_factor=4.0, final_div_factor=10.0))
    turn = 0.25 * 41 - 1
    for t, rate in enumerate(found):
        a, b, ta, tb = (0.5, 2.0, 0.0, turn) if t <= turn else (2.0, 0.05, turn, 40.0)
        formula("one-cycle").holds({r"\eta_t": rate, "a": a, "b": b, "t": t, "t_a": ta, "t_b": tb})


@pytest.mark.proves("plateau")
def test_plateau(formula):
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.4, patience=0, min_lr=0.05)
    scheduler.step(1.0)
    for _ in range(5):
        before = optimizer.param_groups[0]["lr"]
        scheduler.step(1.0)
        formula("plateau").holds({r"\eta \leftarrow": optimizer.param_groups[0]["lr"], r"\eta": before, "f": 0.4,
                                  r"\eta_{\min}": 0.05})


@pytest.mark.proves("adam-noise")
def test_adam_noise(formula):
    """Exactly: Adam on all sequences of signs; with beta_1 = 0.1 twelve steps are the long run."""
    noise = all_signs(12)
    w = torch.zeros(len(noise), dtype=torch.float64, requires_grad=True)
    optimizer = Adam([w], lr=0.1, betas=(0.1, 0.999))
    for t in range(12):
        w.grad = 3 * noise[:, t]
        optimizer.step()
    mean = optimizer.state[w]["exp_avg"]
    formula("adam-noise").holds({r"\operatorname{Var}(m)": mean.var(correction=0), r"\beta_1": 0.1, r"\sigma": 3.0})


@pytest.mark.proves("range-factor")
def test_range_factor(formula):
    steps = np.geomspace(1e-3, 100, 41)
    for ratio in steps[1:] / steps[:-1]:
        formula("range-factor").holds({r"\gamma": ratio, r"\eta_{\max}": 100, r"\eta_{\min}": 1e-3, "N": 40})


@pytest.mark.proves("batch-noise")
def test_batch_noise(formula):
    """Over all batches, each drawn with replacement; the gradients come from autograd."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 4, dtype=torch.float64)
    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    alone = torch.stack([torch.autograd.grad((w * a - b) ** 2, w)[0] for a, b in zip(x, y, strict=True)])
    for size in (1, 2, 3):
        found = []
        for rows in itertools.product(range(4), repeat=size):
            found.append(torch.autograd.grad(((w * x[list(rows)] - y[list(rows)]) ** 2).mean(), w)[0])
        formula("batch-noise").holds({r"\operatorname{Var}(g)": torch.stack(found).var(correction=0),
                                      r"\sigma": alone.std(correction=0), "B": size})


@pytest.mark.proves("scaling-gap")
def test_scaling_gap(formula):
    h, lowest, start = 0.5, 1.0, 3.0
    for k, lr in itertools.product((2, 3, 8), (0.125, 0.5, 2.0)):
        def slope(w, t):
            return h * (w - lowest)
        values = {"w_k": descend(start, lr, slope, k)[-1], r"\hat w": descend(start, k * lr, slope, 1)[-1],
                  "k": k, r"\eta": lr, "h": h, "w_0": start, "w^*": lowest}
        formula("scaling-gap").holds(values)
        if k == 2:  # the bound is reached
            gap = abs(values["w_k"] - values[r"\hat w"])
            assert math.isclose(gap, formula("scaling-gap").right(values), rel_tol=1e-9)


@pytest.mark.proves("total-norm", "clip-norm", "clip-value")
def test_clipping(formula):
    for seed, c in itertools.product(range(3), (0.5, 2.0, 100.0)):
        torch.manual_seed(seed)
        weights = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in [(3, 2), (4,), ()]]
        before = [torch.randn_like(w) for w in weights]

        def flat(tensors):
            return torch.cat([x.flatten() for x in tensors])

        def clipped(clip, weights=weights, before=before, c=c):
            for w, g in zip(weights, before, strict=True):
                w.grad = g.clone()
            clip(weights, c)
            return flat(w.grad for w in weights)

        g = flat(before)
        norm = nn.utils.get_total_norm(before)
        formula("total-norm").holds({r"\lVert g \rVert_2": norm, "g": g})
        formula("clip-norm").holds({
            r"g \leftarrow": clipped(nn.utils.clip_grad_norm_), "g": g, "c": c,
            r"\lVert g \rVert_2": norm, r"\varepsilon": 1e-6})
        formula("clip-value").holds({
            r"g_i \leftarrow": clipped(nn.utils.clip_grad_value_), "g_i": g, "c": c})


def test_the_warm_up_helps_every_seed(page):
    final_loss = page(PAGE)["final_loss"]
    assert final_loss(0, 60) < final_loss(0, 0)


def test_the_range_test_walks_to_the_highest_rate(page):
    rates, losses = page(PAGE)["range_test"](page(PAGE)["network"](0), 1e-3, 1e-2, steps=10)
    assert len(rates) == len(losses) == 10
    assert rates == pytest.approx(np.geomspace(1e-3, 1e-2, 11)[:10].tolist())


def check_noam(noam):
    for warm_up in (1, 4, 10):
        factors = [noam(t, warm_up) for t in range(50)]
        assert max(factors) == factors[warm_up - 1] == 1
        for t, factor in enumerate(factors, 1):
            assert math.isclose(factor, t / warm_up if t <= warm_up else math.sqrt(warm_up / t))


def test_exercise_noam(page):
    check_noam(page(PAGE)["noam"])


@pytest.mark.parametrize("wrong", [
    lambda t, n: min((t + 1) / n, 1.0), lambda t, n: min((t + 1) ** -0.5, (t + 1) * n**-1.5),
    lambda t, n: min(t / n, (n / max(t, 1)) ** 0.5),
], ids=["no fall", "not scaled to 1", "from 0"])
def test_exercise_noam_rejects(wrong):
    with pytest.raises(AssertionError):
        check_noam(wrong)


def check_groups(build):
    body, head = nn.Linear(3, 2), nn.Linear(2, 1)
    optimizer, scheduler = build(body, head, 0.4)
    assert len(optimizer.param_groups) == 2
    for t in range(11):
        by_parameter = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
        expected = 0.4 * (1 + math.cos(math.pi * t / 10)) / 2
        for module, factor in [(body, 0.1), (head, 1)]:
            for p in module.parameters():
                assert math.isclose(by_parameter[p], factor * expected, abs_tol=1e-12)
        optimizer.step()
        scheduler.step()


def test_exercise_groups(page):
    check_groups(page(PAGE)["build_optimizer"])


def one_rate(body, head, lr):
    optimizer = SGD([{"params": body.parameters()}, {"params": head.parameters()}], lr=lr)
    return optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 10)


def other_length(body, head, lr):
    optimizer = SGD([{"params": body.parameters(), "lr": lr / 10}, {"params": head.parameters()}], lr=lr)
    return optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 5)


@pytest.mark.parametrize("wrong", [one_rate, other_length])
def test_exercise_groups_rejects(wrong):
    with pytest.raises(AssertionError):
        check_groups(wrong)


def check_clipped(clipped):
    for seed, limit in itertools.product(range(3), (0.5, 50.0)):
        torch.manual_seed(seed)
        gradients = [torch.randn(3, 2), torch.randn(4)]
        weights = [torch.zeros_like(g, requires_grad=True) for g in gradients]
        for w, g in zip(weights, gradients, strict=True):
            w.grad = g.clone()
        nn.utils.clip_grad_norm_(weights, limit)
        for w, g in zip(weights, clipped(gradients, limit), strict=True):
            torch.testing.assert_close(g, w.grad)


def test_exercise_clipped(page):
    check_clipped(page(PAGE)["clipped"])


@pytest.mark.parametrize("wrong", [
    lambda gs, c: [g * min(1.0, c / g.norm().item()) for g in gs],
    lambda gs, c: [g.clamp(-c, c) for g in gs],
    lambda gs, c: [g * (c / torch.cat([x.flatten() for x in gs]).norm()) for g in gs],
], ids=["each alone", "by value", "lengthens"])
def test_exercise_clipped_rejects(wrong):
    with pytest.raises(AssertionError):
        check_clipped(wrong)


def test_the_loader_has_the_batches_of_the_page(page):
    assert isinstance(page(PAGE)["loader"].dataset, TensorDataset)
    assert len(page(PAGE)["loader"]) == math.ceil(1797 / 32)
