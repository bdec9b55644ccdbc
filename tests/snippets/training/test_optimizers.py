"""Proofs of the formulas of training/optimizers, and its exercises."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

PAGE = "training/optimizers"
T = 60  # steps
GENERATOR = torch.Generator().manual_seed(3)
START = torch.randn(4, generator=GENERATOR, dtype=torch.float64)
GRADIENTS = torch.randn(T, 4, generator=GENERATOR, dtype=torch.float64)


def by_torch(name: str, gradients: Tensor = GRADIENTS, **options: object) -> Tensor:
    """Where torch.optim goes from START when these gradients arrive."""
    w = START.clone().requires_grad_()
    optimizer = getattr(torch.optim, name)([w], **options)
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
    return w.detach()


def close(a: Tensor, b: Tensor) -> bool:
    return (a - b).abs().max().item() < 1e-12


@pytest.mark.proves("gradient-descent", tex=r"w_t = w_{t-1} - \eta\, g_t")
def test_gradient_descent():
    w, lr = START, 0.1
    for g in GRADIENTS:
        w = w - lr * g
    assert close(w, by_torch("SGD", lr=lr))


@pytest.mark.proves("batch-gradient", tex=r"g_t = \frac{1}{|B|} \sum_{i \in B} \nabla L_i(w_{t-1})")
def test_batch_gradient():
    x = torch.randn(12, 4, generator=GENERATOR, dtype=torch.float64)
    y = torch.randn(12, generator=GENERATOR, dtype=torch.float64)
    w = START.clone().requires_grad_()

    def gradient(rows: Tensor) -> Tensor:
        return torch.autograd.grad(((x[rows] @ w - y[rows]) ** 2).mean(), w)[0]

    one_by_one = torch.stack([gradient(torch.tensor([i])) for i in range(12)])
    rows = torch.tensor([7, 2, 5])
    assert close(gradient(rows), one_by_one[rows].sum(0) / 3)
    batches = torch.randperm(12, generator=GENERATOR).split(3)
    assert close(torch.stack([gradient(b) for b in batches]).mean(0), gradient(torch.arange(12)))


@pytest.mark.proves("momentum", tex=r"b_t = \mu\, b_{t-1} + g_t, \qquad w_t = w_{t-1} - \eta\, b_t")
@pytest.mark.proves("momentum-2", tex=r"w_t = w_{t-1} - \eta\, (g_t + \mu\, b_t)")
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov):
    w, b, lr, mu = START, torch.zeros(4, dtype=torch.float64), 0.05, 0.9
    for g in GRADIENTS:
        b = mu * b + g
        w = w - lr * (g + mu * b if nesterov else b)
    assert close(w, by_torch("SGD", lr=lr, momentum=mu, nesterov=nesterov))


@pytest.mark.proves("momentum-limit", tex=r"\eta\, (1 + \mu + \mu^2 + \dots)\, g = \frac{\eta}{1 - \mu}\, g")
def test_momentum_limit():
    """With equal gradients the steps approach lr * g / (1 - mu)."""
    equal = torch.ones(400, 4, dtype=torch.float64)
    before, after = (by_torch("SGD", equal[:n], lr=0.05, momentum=0.9) for n in (399, 400))
    assert close(before - after, torch.full_like(START, 0.05 / (1 - 0.9)))


@pytest.mark.proves("adagrad", tex=r"s_t = s_{t-1} + g_t^2, \qquad w_t = w_{t-1} - \eta\, \frac{g_t}{\sqrt{s_t} + \varepsilon}")
def test_adagrad():
    w, s, lr, eps = START, torch.zeros(4, dtype=torch.float64), 0.3, 1e-10
    for g in GRADIENTS:
        s = s + g**2
        w = w - lr * g / (s.sqrt() + eps)
    assert close(w, by_torch("Adagrad", lr=lr, eps=eps))


@pytest.mark.proves("rmsprop", tex=r"v_t = \alpha\, v_{t-1} + (1 - \alpha)\, g_t^2, \qquad w_t = w_{t-1} - \eta\, \frac{g_t}{\sqrt{v_t} + \varepsilon}")
def test_rmsprop():
    w, v, lr, alpha, eps = START, torch.zeros(4, dtype=torch.float64), 0.02, 0.95, 1e-8
    for g in GRADIENTS:
        v = alpha * v + (1 - alpha) * g**2
        w = w - lr * g / (v.sqrt() + eps)
    assert close(w, by_torch("RMSprop", lr=lr, alpha=alpha, eps=eps))


def adam(decoupled: float = 0.0, l2: float = 0.0) -> Tensor:
    w, m, v = START, torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    lr, b1, b2, eps = 0.03, 0.8, 0.97, 1e-8
    for t, gradient in enumerate(GRADIENTS, 1):
        g = gradient + l2 * w
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        w = (1 - lr * decoupled) * w - lr * m_hat / (v_hat.sqrt() + eps)
    return w


@pytest.mark.proves("adam", tex=r"m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2, \qquad w_t = w_{t-1} - \eta\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \varepsilon}")
def test_adam():
    assert close(adam(), by_torch("Adam", lr=0.03, betas=(0.8, 0.97)))


@pytest.mark.proves("adam-first-step", tex=r"w_1 = w_0 - \eta\, \frac{g_1}{|g_1| + \varepsilon} \approx w_0 - \eta\, \operatorname{sign}(g_1)")
def test_adam_first_step():
    first = by_torch("Adam", GRADIENTS[:1], lr=0.03)
    assert close(START - 0.03 * GRADIENTS[0] / (GRADIENTS[0].abs() + 1e-8), first)


@pytest.mark.proves("adamw", tex=r"w_t = (1 - \eta \lambda)\, w_{t-1} - \eta\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \varepsilon}")
def test_adamw():
    assert close(adam(decoupled=0.4), by_torch("AdamW", lr=0.03, betas=(0.8, 0.97), weight_decay=0.4))


@pytest.mark.proves("l2", tex=r"L + \frac{\lambda}{2} \lVert w \rVert^2 \qquad \Rightarrow \qquad g_t = \nabla L(w_{t-1}) + \lambda\, w_{t-1}")
def test_l2():
    assert close(adam(l2=0.4), by_torch("Adam", lr=0.03, betas=(0.8, 0.97), weight_decay=0.4))
    w = START.clone().requires_grad_()
    (0.5 * 0.4 * (w**2).sum()).backward()
    assert w.grad is not None
    assert close(w.grad, 0.4 * START)


@pytest.mark.proves("sgd-decay", tex=r"w_t = w_{t-1} - \eta\, (\nabla L(w_{t-1}) + \lambda\, w_{t-1}) = (1 - \eta \lambda)\, w_{t-1} - \eta\, \nabla L(w_{t-1})")
def test_sgd_decay():
    """For plain SGD the penalty and the shrinking are the same."""
    w, lr, decay = START, 0.05, 0.4
    for g in GRADIENTS:
        w = (1 - lr * decay) * w - lr * g
    assert close(w, by_torch("SGD", lr=lr, weight_decay=decay))


@pytest.mark.proves("quadratic", tex=r"w_t = (1 - \eta h)^t\, w_0")
@pytest.mark.parametrize("lr", [0.1, 0.39, 0.41])
def test_quadratic(lr):
    w = START.clone().requires_grad_()
    optimizer = torch.optim.SGD([w], lr=lr)
    for _ in range(T):
        optimizer.zero_grad()
        (0.5 * 5 * w**2).sum().backward()
        optimizer.step()
    assert torch.allclose(w.detach(), (1 - 5 * lr) ** T * START, rtol=1e-9, atol=0)
    assert (w.detach().abs().max() < START.abs().max()) == (lr < 2 / 5)


@pytest.mark.proves("clipping", tex=r"g \leftarrow g \cdot \min\!\left(1,\; \frac{c}{\lVert g \rVert + 10^{-6}}\right)")
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping(limit):
    w = START.clone().requires_grad_()
    w.grad = GRADIENTS[0].clone()
    nn.utils.clip_grad_norm_([w], limit)
    g = GRADIENTS[0]
    assert close(w.grad, g * min(1.0, limit / (g.norm().item() + 1e-6)))


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


def check_adamax(rule: Callable[..., None]) -> bool:
    w = START.clone()
    state: dict[str, Tensor] = {}
    for g in GRADIENTS:
        rule(w, g.clone(), state, lr=0.05)
    return close(w, by_torch("Adamax", lr=0.05))


def test_exercise_adamax(page):
    solution = page(PAGE)["adamax"]
    assert check_adamax(solution)

    def uncorrected(w, g, state, lr):
        before = w.clone()
        solution(w, g, state, lr)
        w.copy_(before + (w - before) * (1 - 0.9 ** state["step"].item()))

    def sum_of_squares(w, g, state, lr):
        state["s"] = state.get("s", 0) + g * g
        w -= lr * g / state["s"].sqrt()

    assert not check_adamax(uncorrected)
    assert not check_adamax(sum_of_squares)


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


def test_the_page_shows_what_it_claims(page):
    names = page(PAGE)
    assert len(names["names"]) == 15
    assert names["after_spike"](-1e6) == pytest.approx(0.050, abs=5e-4)
    assert names["after_spike"](-1e6, clip=1.0) == pytest.approx(-0.96, abs=5e-3)
    assert names["after_spike"](1.0) == pytest.approx(-1.0, abs=5e-3)
    m, v = -0.1e6, 0.001e12  # Adam's averages after the spike
    assert abs(m) * 0.9**110 < 1 < abs(m) * 0.9**109
    assert v * 0.999**21_000 < 1 < v * 0.999**20_000
    assert (names["first"] - names["start"]).abs().max().item() == 0.0
