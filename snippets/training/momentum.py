"""The program of training/momentum: what a memory of gradients does to the steps."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt
import torch
from torch import Tensor


def path(lr, momentum):
    """Down 0.5 * (x^2 + 50 y^2), until both numbers are below 0.01."""
    w = torch.tensor([-4.0, 0.6], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr, momentum=momentum)
    points = [w.tolist()]
    while max(map(abs, points[-1])) > 0.01:
        optimizer.zero_grad()
        (0.5 * (w[0] ** 2 + 50 * w[1] ** 2)).backward()
        optimizer.step()
        points.append(w.tolist())
    return points


fig, axes = plt.subplots(2, 1, figsize=(7, 4.2), sharex=True, layout="constrained")
x, y = torch.linspace(-4.3, 1.5, 59), torch.linspace(-0.8, 0.8, 41)
height = 0.5 * (x**2 + 50 * y[:, None] ** 2)
for ax, momentum in zip(axes, (0.0, 0.7), strict=True):
    points = path(lr=0.036, momentum=momentum)
    print(f"momentum {momentum}: {len(points) - 1} steps")
    ax.contour(x, y, height, [0.1, 0.5, 2, 5, 9, 14], colors="gray", linewidths=0.5)
    ax.plot(*zip(*points, strict=True), "o-", markersize=3, linewidth=1)
    ax.set_ylabel(f"momentum {momentum}")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:walk]
from typing import Any

from dlguide import optim


def walk(label: str, **options: Any):
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, **options)
    print(label)
    for g in (1.0, 2.0, 3.0):
        w.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        b: Tensor | None = optimizer.state[w].get("momentum_buffer")
        print(f"g {g:g}  w {w.item():+.4f}", "" if b is None else f"  b {b.item():.3f}")


walk("plain")
walk("momentum 0.9", momentum=0.9)
walk("momentum 0.9, dampening 0.5", momentum=0.9, dampening=0.5)
walk("momentum 0.9, Nesterov", momentum=0.9, nesterov=True)
# --8<-- [end:walk]

# --8<-- [start:effective]
for momentum in (0.0, 0.9, 0.99):
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=momentum)
    lengths = []
    for _ in range(1000):
        before = w.item()
        w.grad = torch.ones_like(w)
        optimizer.step()
        lengths.append(before - w.item())
    shown = " ".join(f"{lengths[t - 1]:.3f}" for t in (1, 2, 10, 1000))
    print(f"momentum {momentum:4}: {shown}")
# --8<-- [end:effective]

# --8<-- [start:look-ahead]
def slope(w):
    """The gradient of cosh(w) + w^4 / 4, and of nothing simpler."""
    return torch.sinh(w) + w**3


mu, lr = 0.9, 0.02
w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=lr, momentum=mu, nesterov=True)
theta, v = w.detach().clone(), torch.zeros(1, dtype=torch.float64)
for _ in range(4):
    v = mu * v - lr * slope(theta + mu * v)  # the textbook looks ahead
    theta = theta + v
    w.grad = slope(w.detach())  # PyTorch looks where it stands
    optimizer.step()
    ahead = (theta + mu * v).item()
    print(f"theta {theta.item():.6f}  theta + mu v {ahead:.6f}  w {w.item():.6f}")
# --8<-- [end:look-ahead]

# --8<-- [start:rate]
def steps_after_a_drop(inside):
    """Gradients of 1; the rate falls from 0.1 to 0.01 after 200 steps."""
    b, lengths = 0.0, []
    for t in range(205):
        lr = 0.1 if t < 200 else 0.01
        b = 0.9 * b + (lr if inside else 1.0)
        lengths.append(b if inside else lr * b)
    return lengths[199:]


for inside in (False, True):
    lengths = " ".join(f"{length:.3f}" for length in steps_after_a_drop(inside))
    print("inside " if inside else "outside", lengths)
# --8<-- [end:rate]

# --8<-- [start:hand]
def descend(h, lr, momentum, steps, nesterov=False):
    """From 1 down the parabola h / 2 * w^2."""
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr, momentum=momentum, nesterov=nesterov)
    for _ in range(steps):
        optimizer.zero_grad()
        (h / 2 * w**2).sum().backward()
        optimizer.step()
    return w.item()


for h in (1.0, 9.0):
    a, before, now = 1 + 0.25 - 0.25 * h, 1.0, 1.0 - 0.25 * h
    for t in (1, 2, 3):
        print(f"h {h:g}  t {t}  {now:+.4f}  torch {descend(h, 0.25, 0.25, t):+.4f}")
        before, now = now, a * now - 0.25 * before
# --8<-- [end:hand]

# --8<-- [start:factors]
def factor(step, momentum):
    """The larger root in size; `step` is the learning rate times h."""
    a = 1 + momentum - step
    root = (a**2 - 4 * momentum).clamp(min=0).sqrt()
    real = (a.abs() + root) / 2
    return torch.where(a**2 < 4 * momentum, momentum**0.5, real)


step = torch.linspace(0, 4, 201, dtype=torch.float64)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for momentum in (0.0, 0.25, 0.5, 0.9):
    r = factor(step, momentum)
    ax.plot(step, r, label=f"momentum {momentum}")
    print(f"momentum {momentum:4}: 1 is reached at {step[r < 1 + 1e-9][-1].item():g}")
ax.axhline(1, color="gray", linewidth=0.5)
ax.set(xlabel="learning rate times h", ylabel="factor per step", ylim=(0, 1.4))
ax.legend(loc="lower right")
plt.show()
# --8<-- [end:factors]

# --8<-- [start:limit]
for momentum in (0.0, 0.5, 0.9):
    limit = 2 * (1 + momentum) / 5.0
    ends = [descend(5.0, c * limit, momentum, 600) for c in (0.99, 1.01)]
    print(f"limit {limit:.2f}: below {abs(ends[0]):.0e}, above {abs(ends[1]):.0e}")
# --8<-- [end:limit]

# --8<-- [start:best]
from math import log, sqrt

for kappa in (9, 100, 10_000):
    plain = (kappa - 1) / (kappa + 1)
    best = (sqrt(kappa) - 1) / (sqrt(kappa) + 1)
    steps = [round(log(10) / -log(r)) for r in (plain, best)]
    print(f"kappa {kappa:5}: {plain:.4f} {best:.4f}, steps for a factor 10:", *steps)
# --8<-- [end:best]

# --8<-- [start:curves]
from functools import partial


def distances(lr, momentum, nesterov=False):
    """How far from the bottom; 20 curvatures from 1 to 100."""
    h = torch.logspace(0, 2, 20, dtype=torch.float64)
    w = torch.ones(20, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr, momentum=momentum, nesterov=nesterov)
    found = []
    for _ in range(150):
        found.append(w.detach().norm().item())
        w.grad = h * w.detach()
        optimizer.step()
    return found


fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for label, run in {
    "plain, best": partial(distances, 2 / 101, 0.0),
    "momentum, best": partial(distances, (2 / 11) ** 2, (9 / 11) ** 2),
    "momentum 0.95, same rate": partial(distances, (2 / 11) ** 2, 0.95),
    "Nesterov": partial(distances, 1 / 100, 9 / 11, nesterov=True),
}.items():
    found = run()
    ax.plot(found, label=label)
    print(f"{label:25} after 100 steps {found[100]:.0e}")
ax.set(xlabel="step", ylabel="distance", yscale="log")
ax.legend()
plt.show()
# --8<-- [end:curves]

# --8<-- [start:asgd]
torch.manual_seed(0)
w = torch.full((500,), 3.0, dtype=torch.float64, requires_grad=True)  # 500 runs at once
optimizer = optim.ASGD([w], lr=0.2, lambd=0.0, t0=50)
for step in range(1, 401):
    w.grad = w.detach() - 1 + torch.randn(500, dtype=torch.float64)  # the bottom is 1
    optimizer.step()
    if step in (20, 100, 400):
        mean = optimizer.state[w]["ax"]
        size = [(x - 1).square().mean().sqrt().item() for x in (w.detach(), mean)]
        print(f"step {step:3}: w is off by {size[0]:.2f}, the mean by {size[1]:.2f}")
# --8<-- [end:asgd]

# --8<-- [start:nesterov-limit]
for nesterov in (False, True):
    end = descend(5.0, 0.4, 0.9, 100, nesterov=nesterov)
    print(f"nesterov {nesterov!s:5}: w = {end:.0e}")
# --8<-- [end:nesterov-limit]

# --8<-- [start:never]
w = torch.ones(1, requires_grad=True)
optimizer = torch.optim.ASGD([w], lr=0.1)  # t0 is 1e6
for _ in range(1000):
    w.grad = w.detach() + torch.randn(1)
    optimizer.step()
print("the mean is w itself:", torch.equal(optimizer.state[w]["ax"], w.detach()))
# --8<-- [end:never]

# --8<-- [start:exercise-matched]
def matched_rate(lr, momentum, new_momentum):
    """The rate that keeps the length of the steps when the momentum changes."""
    return lr * (1 - new_momentum) / (1 - momentum)


print(f"{matched_rate(0.1, 0.9, 0.99):.3f} {matched_rate(0.01, 0.9, 0.0):.3f}")
# --8<-- [end:exercise-matched]


# --8<-- [start:exercise-best]
def best(a):
    """Rate and momentum for the loss w a w / 2 with a symmetric, positive a."""
    h = torch.linalg.eigvalsh(a)
    low, high = h.min().sqrt().item(), h.max().sqrt().item()
    return (2 / (high + low)) ** 2, ((high - low) / (high + low)) ** 2


lr, momentum = best(torch.tensor([[5.0, 4.0], [4.0, 5.0]], dtype=torch.float64))
print(f"lr {lr:.2f}, momentum {momentum:.2f}")
# --8<-- [end:exercise-best]
