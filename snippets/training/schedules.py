"""The program of training/schedules: the learning rate, schedules, clipping."""
# ruff: noqa: F401, the rules that the page includes use these names

# --8<-- [start:picture]
import matplotlib.pyplot as plt
import torch

fig, axes = plt.subplots(1, 3, figsize=(7, 2.3), sharey=True, layout="constrained")
grid = torch.linspace(-1.2, 1.2, 41)
for ax, lr in zip(axes, (0.1, 0.9, 2.05), strict=True):
    w = [1.0]
    for _ in range(6):
        w.append(w[-1] - lr * w[-1])  # the loss w^2 / 2 has the slope w and h = 1
    ax.plot(grid, grid**2 / 2, alpha=0.5)
    ax.plot(w, [v * v / 2 for v in w], "o-", markersize=4)
    ax.set(title=f"lr {lr}", xlabel="w", xticks=[0], yticks=[])
axes[0].set_ylabel("loss")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:limit]
from torch import nn

x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])
X = torch.cat([x, torch.ones(3, 1)], 1)
h = torch.linalg.eigvalsh(2 * X.T @ X / 3)[-1].item()  # the largest curvature
print(f"h = {h:.3f}, limit 2/h = {2 / h:.4f}")
for lr in (0.01, 0.1, 0.18, 0.19):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(100):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"lr {lr:.2f}  factor {1 - lr * h:7.3f}  loss {loss.item():.1g}")
# --8<-- [end:limit]

# --8<-- [start:floor]
def walk(rates, runs=4000):
    """The mean of w^2 at each step, from w = 5 down w^2 / 2 with noisy gradients."""
    torch.manual_seed(0)
    w, squares = torch.full((runs,), 5.0), []
    for lr in rates:
        squares.append((w**2).mean().item())
        w = w - lr * (w + torch.randn(runs))  # sigma = 1
    return squares


for lr in (0.4, 0.1, 0.05):
    measured = walk([lr] * 300)[-1]
    print(f"lr {lr:<4}  measured {measured:.3f}  formula {lr / (2 - lr):.3f}")
# --8<-- [end:floor]

# --8<-- [start:noise]
decay = [0.4 / (1 + 0.2 * t) for t in range(200)]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for label, rates, style in [
    ("0.4", [0.4] * 200, ":"),
    ("0.05", [0.05] * 200, "--"),
    ("0.4 / (1 + 0.2 t)", decay, "-"),
]:
    squares = walk(rates)
    print(f"lr {label:<18} step 15: {squares[15]:.1f}  step 199: {squares[-1]:.2f}")
    ax.semilogy(squares, style, label=f"lr {label}")
ax.set(xlabel="step", ylabel="mean of w²")
ax.legend()
plt.show()
# --8<-- [end:noise]

# --8<-- [start:imports]
import math
from bisect import bisect_right
from typing import Any

Rate = float  # what the rules below compute with
# --8<-- [end:imports]

# --8<-- [start:prints]
from dlguide.optim import SGD
from dlguide.optim import lr_scheduler as ours

model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=0.1)
scheduler = ours.StepLR(optimizer, step_size=2, gamma=0.5)
for epoch in range(6):
    # ... the batches of this epoch, each with optimizer.step() ...
    optimizer.step()
    print(f"epoch {epoch}  lr {scheduler.get_last_lr()[0]:.4f}")
    scheduler.step()
# --8<-- [end:prints]

# --8<-- [start:curves]
def rates_of(make, steps=100, lr=1.0):
    """The learning rate of each step."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


rules = {
    "StepLR": lambda o: ours.StepLR(o, 25, gamma=0.5),
    "MultiStepLR": lambda o: ours.MultiStepLR(o, [40, 80], gamma=0.3),
    "ExponentialLR": lambda o: ours.ExponentialLR(o, gamma=0.97),
    "LinearLR": lambda o: ours.LinearLR(o, 0.05, total_iters=30),
    "CosineAnnealingLR": lambda o: ours.CosineAnnealingLR(o, 100),
    "…WarmRestarts": lambda o: ours.CosineAnnealingWarmRestarts(o, 14, 2),
    "OneCycleLR": lambda o: ours.OneCycleLR(o, 1.0, total_steps=101),
    "LambdaLR": lambda o: ours.LambdaLR(o, lambda t: (1 + t) ** -0.5),
}
fig, axes = plt.subplots(
    2, 4, figsize=(7, 3), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, make) in zip(axes.flat, rules.items(), strict=True):
    ax.plot(rates_of(make))
    ax.set_title(name, fontsize="small")
plt.show()
# --8<-- [end:curves]

# --8<-- [start:same]
from functools import partial

from torch.optim import lr_scheduler as theirs

pairs = {
    "StepLR": {"step_size": 7, "gamma": 0.5},
    "MultiStepLR": {"milestones": [5, 30], "gamma": 0.3},
    "ExponentialLR": {"gamma": 0.97},
    "LinearLR": {"start_factor": 0.1, "total_iters": 20},
    "CosineAnnealingLR": {"T_max": 60, "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 10, "T_mult": 2},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 100},
    "LambdaLR": {"lr_lambda": lambda t: (1 + t) ** -0.5},
}
for name, options in pairs.items():
    a = rates_of(partial(getattr(ours, name), **options))
    b = rates_of(partial(getattr(theirs, name), **options))
    print(f"{name:<28}", max(abs(p - q) for p, q in zip(a, b, strict=True)) < 1e-12)
# --8<-- [end:same]

# --8<-- [start:hand]
x = math.cos(math.pi * 2 / 8)
print(f"t = 2: cos {x:.4f}  1 + cos {1 + x:.4f}  rate {(1 + x) / 2:.4f}")
rates = rates_of(lambda o: ours.CosineAnnealingLR(o, 8), steps=9)
print("cosine  ", [round(r, 4) for r in rates])
rates = rates_of(lambda o: ours.LinearLR(o, 0.25, total_iters=3), steps=5)
print("linear  ", [round(r, 4) for r in rates])
# --8<-- [end:hand]

# --8<-- [start:plateau]
optimizer = SGD(model.parameters(), lr=0.1)
plateau = ours.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
for epoch, value in enumerate([1.0, 0.8, 0.8, 0.81, 0.8, 0.7, 0.71]):
    optimizer.step()
    plateau.step(value)  # the loss on the validation set
    print(f"epoch {epoch}  {value:.2f}  lr {optimizer.param_groups[0]['lr']}")
# --8<-- [end:plateau]

# --8<-- [start:chain]
optimizer = SGD(model.parameters(), lr=1.0)
warm = ours.LinearLR(optimizer, 0.25, total_iters=3)
cosine = ours.CosineAnnealingLR(optimizer, T_max=4)
scheduler = ours.SequentialLR(optimizer, [warm, cosine], milestones=[3])
for _ in range(8):
    print(f"{scheduler.get_last_lr()[0]:.3f}", end=" ")
    optimizer.step()
    scheduler.step()
print()
# --8<-- [end:chain]

# --8<-- [start:adam-noise]
torch.manual_seed(0)
w = torch.zeros(20000, requires_grad=True)
optimizer = torch.optim.Adam([w], lr=1.0)
for t in range(1, 201):
    before = w.detach().clone()
    w.grad = torch.randn_like(w)  # nothing but noise
    optimizer.step()
    if t in (1, 2, 5, 10, 50, 200):
        print(f"step {t:3}  typical step {(w - before).square().mean().sqrt():.2f}")
print(f"in the long run {(0.1 / 1.9) ** 0.5:.3f}")
# --8<-- [end:adam-noise]

# --8<-- [start:digits]
from sklearn.datasets import load_digits

digits = load_digits()
data = torch.tensor(digits.data / 16)  # float64, so that any machine prints the same
labels = torch.tensor(digits.target)


def network(seed, depth=1):
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 64), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10)).double()


def train(model, optimizer, steps, size, scheduler=None):
    """The loss of each step."""
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(data), (size,))
        loss = nn.functional.cross_entropy(model(data[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses
# --8<-- [end:digits]

# --8<-- [start:warm-up]
def final_loss(seed, steps, lr=0.02, depth=6):
    """Adam on a deep network; the rate rises over the first steps."""
    model = network(seed, depth)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    warm = ours.LinearLR(optimizer, 0.01, total_iters=steps) if steps else None
    return sum(train(model, optimizer, 120, 64, warm)[-20:]) / 20


for steps in (0, 60):
    found = [round(final_loss(seed, steps), 1) for seed in range(4)]
    print(f"warm-up {steps:2}: {found}")
# --8<-- [end:warm-up]

# --8<-- [start:range-test]
def range_test(model, lowest=1e-3, highest=100.0, steps=100):
    optimizer = torch.optim.SGD(model.parameters(), lr=lowest)
    gamma = (highest / lowest) ** (1 / steps)
    scheduler = ours.ExponentialLR(optimizer, gamma)
    rates, losses = [], []
    while not losses or (losses[-1] < 4 * losses[0] and len(losses) < steps):
        rates += scheduler.get_last_lr()
        losses += train(model, optimizer, 1, 64, scheduler)
    return rates, losses


rates, losses = range_test(network(0))
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.semilogx(rates, losses)
ax.set(xlabel="learning rate", ylabel="loss of the batch", ylim=(0, 5))
plt.show()
# --8<-- [end:range-test]

# --8<-- [start:scaling-one]
print("eta*h   k   k small steps   one step of k times the size")
for eta_h, k in [(0.01, 2), (0.01, 10), (0.1, 10), (0.3, 10)]:
    print(f"{eta_h:5.2f}  {k:2}  {(1 - eta_h) ** k:14.3f}  {1 - k * eta_h:14.3f}")
# --8<-- [end:scaling-one]

# --8<-- [start:scaling]
def after_epochs(size, lr, seeds=2, examples=16384):
    """The loss on all data after the same number of examples."""
    found = []
    for seed in range(seeds):
        model = network(seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        train(model, optimizer, examples // size, size)
        with torch.no_grad():
            found.append(nn.functional.cross_entropy(model(data), labels).item())
    return sum(found) / seeds


print("batch   lr stays 0.1   lr grows with the batch")
for k in (1, 4, 8, 16, 32):
    a, b = after_epochs(16 * k, 0.1), after_epochs(16 * k, 0.1 * k)
    print(f"{16 * k:5}   {a:12.1f}   {b:12.1f}  (lr {0.1 * k:.1f})")
# --8<-- [end:scaling]

# --8<-- [start:loader]
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(data, labels), batch_size=32, shuffle=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
print("batches of an epoch:", len(loader))
print("the optimizer knows:", *list(optimizer.param_groups[0])[1:5])
# --8<-- [end:loader]

# --8<-- [start:gradients]
from torch import Tensor

gradients = [torch.tensor([2000.0]), torch.tensor([20.0])]  # of two layers
max_norm = clip_value = 1.0
# --8<-- [end:gradients]

# --8<-- [start:total]
from dlguide.optim import get_total_norm

total = get_total_norm(gradients)
print(f"{torch.cat(gradients).norm().item():.1f} {total.item():.1f}")
# --8<-- [end:total]

# --8<-- [start:clipped]
print(gradients)
# --8<-- [end:clipped]

# --8<-- [start:clip]
from dlguide.optim import clip_grad_norm_, clip_grad_value_

W = torch.zeros(2, requires_grad=True)
spike = torch.tensor([2000.0, 20.0])
for clip in (clip_grad_norm_, clip_grad_value_):
    W.grad = spike.clone()
    clip([W], 1.0)
    cosine = nn.functional.cosine_similarity(W.grad, spike, dim=0).item()
    print(f"norm {W.grad.norm().item():.3f}  {W.grad.numpy()}  cosine {cosine:.2f}")
W.grad = torch.tensor([0.3, 0.4])
print("norm before:", clip_grad_norm_([W], 1.0).item(), " after:", W.grad.numpy())
# --8<-- [end:clip]

# --8<-- [start:clip-torch]
from torch.nn import utils

for seed in range(3):
    torch.manual_seed(seed)
    grads = [torch.randn(4, 3).double() * 5, torch.randn(4).double()]
    a, b = ([torch.zeros_like(g, requires_grad=True) for g in grads] for _ in range(2))
    for p, q, g in zip(a, b, grads, strict=True):
        p.grad, q.grad = g.clone(), g.clone()
    clip_grad_norm_(a, 1.0)
    utils.clip_grad_norm_(b, 1.0)
    same = [torch.allclose(p.grad, q.grad) for p, q in zip(a, b, strict=True)]
    print(same)
# --8<-- [end:clip-torch]

# --8<-- [start:spike]
def distance(limit):
    """How far 100 equal gradients move w with Adam, after one of 2000."""
    w = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=0.01)
    for t in range(101):
        w.grad = torch.tensor([2000.0 if t == 0 else -1.0])
        if limit:
            clip_grad_norm_([w], limit)
        optimizer.step()
    return w.item()


print(f"clipped to 1: {distance(1.0):.2f}   not clipped: {distance(None):.2f}")
# --8<-- [end:spike]

# --8<-- [start:order]
import warnings


def first_rates(right):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs.ExponentialLR(optimizer, gamma=0.5)
    used = []
    for _ in range(3):
        if not right:
            scheduler.step()
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if right:
            scheduler.step()
    return used


print("right:", first_rates(True))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print("wrong:", first_rates(False))
print(str(caught[0].message)[:66])
# --8<-- [end:order]

# --8<-- [start:per-epoch]
epochs, batches = 5, 29
optimizer = SGD(model.parameters(), lr=1.0)
scheduler = ours.CosineAnnealingLR(optimizer, T_max=epochs)  # meant: once per epoch
for epoch in range(epochs):
    rates = []
    for _ in range(batches):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()  # but called once per batch
    print(f"epoch {epoch}", [round(r, 2) for r in rates[:8]])
# --8<-- [end:per-epoch]

# --8<-- [start:restore]
def build():
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    return optimizer, ours.CosineAnnealingLR(optimizer, T_max=10)


optimizer, scheduler = build()
for _ in range(4):
    optimizer.step()
    scheduler.step()
saved = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}

for what in (("optimizer",), ("optimizer", "scheduler")):
    optimizer, scheduler = build()
    optimizer.load_state_dict(saved["optimizer"])
    if "scheduler" in what:
        scheduler.load_state_dict(saved["scheduler"])
    rates = []
    for _ in range(6):
        rates.append(round(optimizer.param_groups[0]["lr"], 3))
        optimizer.step()
        scheduler.step()
    print(" + ".join(what), rates)
# --8<-- [end:restore]

# --8<-- [start:exercise-noam]
def noam(t, warm_up):
    """The factor of step t = 0, 1, ...: up to 1 in a line, then down as 1 / root."""
    t = t + 1
    return min(t / warm_up, (warm_up / t) ** 0.5)


print([round(noam(t, 4), 3) for t in (0, 1, 3, 8, 15)])
# --8<-- [end:exercise-noam]


# --8<-- [start:exercise-groups]
def build_optimizer(body, head, lr):
    """The head at the full rate, the body at a tenth, both on a cosine."""
    slow = {"params": body.parameters(), "lr": lr / 10}
    groups = [slow, {"params": head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=lr)
    return optimizer, theirs.CosineAnnealingLR(optimizer, T_max=10)


optimizer, scheduler = build_optimizer(nn.Linear(4, 4), nn.Linear(4, 2), 0.1)
for _ in range(5):
    optimizer.step()
    scheduler.step()
print([round(r, 4) for r in scheduler.get_last_lr()])
# --8<-- [end:exercise-groups]


# --8<-- [start:exercise-shortened]
def clipped(gradients, limit):
    """New gradients whose common norm is at most the limit, of the same direction."""
    norm = sum((g**2).sum() for g in gradients) ** 0.5
    return [g * min(1.0, (limit / norm).item()) for g in gradients]


short = clipped([torch.tensor([3.0]), torch.tensor([[0.0], [4.0]])], 1.0)
print(*short)
# --8<-- [end:exercise-shortened]
