"""Proofs of the formulas of training/weight-decay against torch in float64, and its exercises."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

PAGE = "training/weight-decay"
LR, DECAY, MU, EPS = 0.07, 0.6, 0.8, 0.1


def path(name: str, start: Tensor, gradients: Tensor, **options) -> list[Tensor]:
    """The places to which torch.optim goes from start when these gradients arrive."""
    w = start.clone().requires_grad_()
    optimizer = getattr(torch.optim, name)([w], **options)
    places = [start]
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
        places.append(w.detach().clone())
    return places


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def average(values: Tensor, beta: float) -> Tensor:
    """The running average with bias correction, by its definition as a weighted mean."""
    weights = beta ** torch.arange(len(values) - 1, -1, -1, dtype=torch.float64)
    return (weights[:, None] * values).sum(0) / weights.sum()


@pytest.mark.proves("penalty")
def test_penalty(formula):
    w = numbers(4).requires_grad_()
    loss = (w**3).sum()
    formula("penalty").holds({
        "L": loss, "w": w, r"\lambda": DECAY, r"\nabla L": 3 * w.detach() ** 2,
        r"\nabla": lambda total: torch.autograd.grad(total, w, retain_graph=True)[0]})


@pytest.mark.proves("sgd-equal")
def test_sgd_equal(formula):
    start, g = numbers(2, 4)
    after = path("SGD", start, g[None], lr=LR, weight_decay=DECAY)[1]
    formula("sgd-equal").holds({
        "w_t": after, "w_{t-1}": start, r"\eta": LR, r"\lambda": DECAY, r"\nabla L": g})


@pytest.mark.proves("momentum-l2")
def test_momentum_l2(formula):
    start, *gradients = numbers(4, 5)
    w = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([w], lr=LR, momentum=MU, weight_decay=DECAY)
    for t, g in enumerate(gradients):
        before = w.detach().clone(), optimizer.state[w].get("momentum_buffer", torch.zeros(5)).clone()
        w.grad = g.clone()
        optimizer.step()
        if t:  # the buffer of the first step is the gradient
            formula("momentum-l2").holds({
                "b_t": optimizer.state[w]["momentum_buffer"], "b_{t-1}": before[1], "w_t": w, "w_{t-1}": before[0],
                r"\mu": MU, r"\eta": LR, r"\lambda": DECAY, r"\nabla L": g})


@pytest.mark.proves("heavy-ball")
def test_heavy_ball(formula):
    start = numbers(5)
    places = path("SGD", start, torch.zeros(6, 5, dtype=torch.float64), lr=LR, momentum=MU, weight_decay=DECAY)
    for t in range(2, 7):
        formula("heavy-ball").holds({
            "w_t": places[t], "w_{t-1}": places[t - 1], "w_{t-2}": places[t - 2],
            r"\eta": LR, r"\lambda": DECAY, r"\mu": MU})


@pytest.mark.proves("sgdw")
def test_sgdw(formula):
    """torch has no SGDW: its SGD without decay, after the weight was shrunk by hand."""
    start, *gradients = numbers(4, 5)
    w = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([w], lr=LR, momentum=MU)
    for t, g in enumerate(gradients):
        before = w.detach().clone(), optimizer.state[w].get("momentum_buffer", torch.zeros(5)).clone()
        w.data -= LR * DECAY * w.data
        w.grad = g.clone()
        optimizer.step()
        if t:
            formula("sgdw").holds({
                "b_t": optimizer.state[w]["momentum_buffer"], "b_{t-1}": before[1], "w_t": w, "w_{t-1}": before[0],
                r"\mu": MU, r"\eta": LR, r"\lambda": DECAY, r"\nabla L": g})


@pytest.mark.proves("adam-split")
def test_adam_split(formula):
    start, *rest = numbers(6, 4)
    gradients = torch.stack(rest)
    places = torch.stack(path("Adam", start, gradients, lr=LR, betas=(0.8, 0.9), eps=EPS, weight_decay=DECAY))
    for t in (1, 2, 5):
        squares = (gradients[:t] + DECAY * places[:t]) ** 2
        formula("adam-split").holds({
            "w_t": places[t], "w_{t-1}": places[t - 1], r"\eta": LR, r"\lambda": DECAY, r"\varepsilon": EPS,
            r"\hat m_t": average(gradients[:t], 0.8), r"\bar w_t": average(places[:t], 0.8),
            r"\hat v_t": average(squares, 0.9)})


@pytest.mark.proves("adam-dead")
def test_adam_dead(formula):
    start = numbers(4)
    first = path("Adam", start, torch.zeros(1, 4, dtype=torch.float64), lr=LR, eps=EPS, weight_decay=DECAY)[1]
    formula("adam-dead").holds({"w_1": first, "w_0": start, r"\eta": LR, r"\lambda": DECAY, r"\varepsilon": EPS})


@pytest.mark.proves("adamw")
def test_adamw(formula):
    start, *rest = numbers(6, 4)
    gradients = torch.stack(rest)
    places = path("AdamW", start, gradients, lr=LR, betas=(0.8, 0.9), eps=EPS, weight_decay=DECAY)
    for t in (1, 3, 5):
        formula("adamw").holds({
            "w_t": places[t], "w_{t-1}": places[t - 1], r"\eta": LR, r"\lambda": DECAY, r"\varepsilon": EPS,
            r"\hat m_t": average(gradients[:t], 0.8), r"\hat v_t": average(gradients[:t] ** 2, 0.9)})


@pytest.mark.proves("paper")
def test_paper(formula):
    """With lr = s_t alpha and the paper's decay divided by alpha, torch's AdamW is the paper's."""
    start, *gradients = numbers(6, 4)
    alpha, decay = 0.3, 0.05
    w = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([w], lr=alpha, betas=(0.8, 0.9), eps=EPS, weight_decay=decay / alpha)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 7)
    for t, g in enumerate(gradients, 1):
        before = w.detach().clone()
        w.grad = g.clone()
        optimizer.step()
        scheduler.step()
        seen = torch.stack(gradients[:t])
        formula("paper").holds({
            "w_t": w, "w_{t-1}": before, "s_t": 1 - (t - 1) / 7, r"\alpha": alpha, r"\lambda'": decay,
            r"\varepsilon": EPS, r"\hat m_t": average(seen, 0.8), r"\hat v_t": average(seen**2, 0.9)})


@pytest.mark.proves("half-life")
def test_half_life(formula):
    """A rate at which AdamW halves the weight after exactly eight steps."""
    decay = (1 - 0.5 ** (1 / 8)) / LR
    places = path("AdamW", numbers(3), torch.zeros(8, 3, dtype=torch.float64), lr=LR, weight_decay=decay)
    torch.testing.assert_close(places[8], places[0] / 2, rtol=1e-12, atol=0)
    formula("half-life").holds({"n": 8, r"\eta": LR, r"\lambda": decay})
    for product in (1e-5, 0.01, 0.3):
        exact = formula("half-life").chains({"n": 8, r"\eta": 1, r"\lambda": product})[0][1][1]
        above = formula("half-life").right({"n": 8, r"\eta": 1, r"\lambda": product})
        assert 0 < above - exact < math.log(2)


@pytest.mark.proves("equilibrium")
def test_equilibrium(formula):
    """Independent steps add their squares, each as far as SGD has decayed it since: a single gradient shows it."""
    once = torch.zeros(2000, 1, dtype=torch.float64)
    once[0] = 1.7
    answer = torch.stack(path("SGD", torch.zeros(1, dtype=torch.float64), once, lr=LR, weight_decay=DECAY))
    formula("equilibrium").holds({
        r"\operatorname{E}[w^2]": (answer**2).sum(), r"\eta": LR, r"\lambda": DECAY, r"\sigma": 1.7})


class Invariant:
    """A layer in front of a normalization, as a function of the flat weights, and its gradient by autograd."""

    def __init__(self):
        self.x, self.y = numbers(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
        self.start = numbers(20)[5:]

    def loss(self, w: Tensor) -> Tensor:
        hidden = F.layer_norm(self.x @ w.reshape(5, 3).repeat(1, 2)[:, :4].T, (5,), eps=0)
        return F.cross_entropy(hidden[:, :3], self.y)

    def gradient(self, w: Tensor) -> Tensor:
        w = w.detach().clone().requires_grad_()
        return torch.autograd.grad(self.loss(w), w)[0]


@pytest.mark.proves("scale-invariance")
def test_scale_invariance(formula):
    net = Invariant()
    for c in (0.3, 2.5):
        formula("scale-invariance").holds({"L": net.loss, r"\nabla L": net.gradient, "w": net.start, "c": c})


@pytest.mark.proves("effective-rate")
def test_effective_rate(formula):
    net = Invariant()
    formula("effective-rate").holds({
        "w": net.start, r"\hat w": F.normalize(net.start, dim=0), r"\eta": LR, r"\nabla L": net.gradient})


@pytest.mark.proves("norm-grows")
def test_norm_grows(formula):
    net = Invariant()
    g = net.gradient(net.start)
    after = path("SGD", net.start, g[None], lr=3.0)[1]
    formula("norm-grows").holds({"w_t": after, "w_{t-1}": net.start, r"\eta": 3.0, r"\nabla L": g})


@pytest.mark.proves("exponential")
def test_exponential(formula):
    net, lr, decay = Invariant(), 0.3, 0.4
    w, x = net.start.clone().requires_grad_(), net.start.clone().requires_grad_()
    for t in range(1, 5):
        before = x.detach().clone()
        for p, rate, own in ((w, lr, decay), (x, lr / (1 - lr * decay) ** (2 * t - 1), 0.0)):
            p.grad = net.gradient(p)
            torch.optim.SGD([p], lr=rate, weight_decay=own).step()
        formula("exponential").holds({
            "w_t": w, "x_t": x, "x_{t-1}": before, "t": t, r"\eta": lr, r"\lambda": decay, r"\nabla L": net.gradient})


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    assert min(names["paths"]["momentum"]) < -0.05  # rolls through 0
    assert torch.allclose(torch.tensor(names["paths"]["plain"]), torch.tensor(names["paths"]["decoupled"]))
    curves = {key: curve[-1] for key, curve in names["curves"].items()}
    assert curves["Adam", 0.003] < curves["Adam", 0.0]
    assert curves["AdamW", 0.3] < curves["Adam", 0.0]
    small = names["MLP"](64, hidden=(64,)).double()
    F.cross_entropy(small(names["images"][:200]), names["noisy"]).backward()
    first, second = (p.grad.square().mean() for p in small.parameters() if p.ndim == 2)
    assert first < second / 3  # for any start; why Adam shrinks the first matrix more
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Embedding(5, 2))
    decayed, kept = names["groups"](model, 0.3)
    assert [list(p.shape) for p in decayed["params"]] == [[3, 4], [5, 2]]
    assert len(kept["params"]) == 3


def check_decay_for(decay_for):
    for half_life, lr in [(10, 0.1), (100, 1e-3)]:
        zeros = torch.zeros(half_life, 1, dtype=torch.float64)
        places = path("AdamW", torch.ones(1, dtype=torch.float64), zeros, lr=lr, weight_decay=decay_for(half_life, lr))
        torch.testing.assert_close(places[-1], torch.full((1,), 0.5, dtype=torch.float64), rtol=1e-9, atol=0)


def test_exercise_half(page):
    check_decay_for(page(PAGE)["decay_for"])


@pytest.mark.parametrize("wrong", [
    lambda n, lr: math.log(2) / (n * lr), lambda n, lr: 1 - 0.5 ** (1 / n), lambda n, lr: 1 / (2 * n * lr)],
    ids=["approximately", "no rate", "linear"])
def test_exercise_half_rejects(wrong):
    with pytest.raises(AssertionError):
        check_decay_for(wrong)


def check_sgdw(sgdw):
    """Against torch's SGD without decay, the weight shrunk before."""
    start, *gradients = numbers(5, 3)
    state: dict[str, Tensor] = {}
    w, theirs = start.clone(), start.clone().requires_grad_()
    optimizer = torch.optim.SGD([theirs], lr=LR, momentum=MU)
    for g in gradients:
        theirs.data.mul_(1 - LR * DECAY)
        theirs.grad = g.clone()
        optimizer.step()
        sgdw(w, g.clone(), state, LR, MU, DECAY)
        torch.testing.assert_close(w, theirs.detach(), rtol=1e-10, atol=1e-12)


def coupled(w, g, state, lr, momentum, weight_decay):
    state["buffer"] = momentum * state.get("buffer", torch.zeros_like(w)) + g + weight_decay * w
    w -= lr * state["buffer"]


def without_rate(w, g, state, lr, momentum, weight_decay):
    state["buffer"] = momentum * state.get("buffer", torch.zeros_like(w)) + g
    w *= 1 - weight_decay
    w -= lr * state["buffer"]


def test_exercise_sgdw(page):
    check_sgdw(page(PAGE)["sgdw"])


@pytest.mark.parametrize("wrong", [coupled, without_rate])
def test_exercise_sgdw_rejects(wrong):
    with pytest.raises(AssertionError):
        check_sgdw(wrong)


def check_left_over(left_over):
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([w], lr=0.2, weight_decay=0.7)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        w.grad = torch.zeros_like(w)
        optimizer.step()
        scheduler.step()
    assert left_over(copy.copy(rates), 0.7) == pytest.approx(w.item(), rel=1e-10)


def test_exercise_left(page):
    check_left_over(page(PAGE)["left_over"])


@pytest.mark.parametrize("wrong", [
    lambda rates, decay: math.exp(-decay * sum(rates)), lambda rates, decay: (1 - rates[0] * decay) ** len(rates),
    lambda rates, decay: 1 - decay * sum(rates)], ids=["continuous", "first rate", "sum"])
def test_exercise_left_rejects(wrong):
    with pytest.raises(AssertionError):
        check_left_over(wrong)
