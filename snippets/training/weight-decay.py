"""The program of training/weight-decay: L2 in the gradient, decay beside it."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
frame = {"boxstyle": "round,pad=0.5", "facecolor": "none"}
boxes = ["gradient\nof the loss", "averages\nm and v", "m / √v", "weight"]
for i, label in enumerate(boxes):
    ax.text(2.2 * i, 0, label, ha="center", va="center", bbox=frame)
    if i:
        ends = (2.2 * i - 0.7, 0), (2.2 * i - 1.5, 0)
        ax.annotate("", *ends, arrowprops={"arrowstyle": "->"})
for x, label, color in [(1.1, "Adam: λw joins here", "C1"), (5.5, "AdamW: here", "C0")]:
    arrow = {"arrowstyle": "->", "color": color, "lw": 2}
    ax.annotate("", (x, 0.1), (x, 1.0), arrowprops=arrow)
    ax.text(x, 1.1, label, ha="center", va="bottom")
ax.set(xlim=(-0.9, 7.4), ylim=(-0.6, 1.5))
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:penalty]
import torch
from torch import Tensor

w = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
lr, decay = 0.1, 0.5
(w.sum() + decay / 2 * (w**2).sum()).backward()  # the loss w has the slope 1
print("gradient with penalty", w.grad.item(), "= 1 + 0.5 * 2")
print("factor of the decay", 1 - lr * decay)
print("penalty:", f"{(w - lr * w.grad).item():.4f}")
print("decay:  ", f"{((1 - lr * decay) * w - lr * 1.0).item():.4f}")
# --8<-- [end:penalty]

# --8<-- [start:momentum]
from dlguide import optim


def fade(kind, shrink=0.0, steps=300, **options):
    """A weight from 1 on whose gradient is 0: only the decay moves it."""
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = kind([w], **options)
    path = [1.0]
    for _ in range(steps):
        w.grad = torch.zeros_like(w)
        w.data *= 1 - shrink
        optimizer.step()
        path.append(w.item())
    return path


paths = {
    "plain": fade(optim.SGD, lr=0.1, weight_decay=0.1),
    "momentum": fade(optim.SGD, lr=0.1, weight_decay=0.1, momentum=0.9),
    "decoupled": fade(optim.SGD, shrink=0.1 * 0.1, lr=0.1, momentum=0.9),
}
for name, path in paths.items():
    print(f"{name:10}", *(f"{path[t]:7.3f}" for t in (10, 50, 100)))
# --8<-- [end:momentum]

# --8<-- [start:fading]
fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for style, (name, path) in zip(("-", "-", "--"), paths.items(), strict=True):
    ax.plot(path[::5], style, label=name)
ax.set_xticks(range(0, 61, 10), range(0, 301, 50))
ax.axhline(0, color="gray", lw=0.5)
ax.set(xlabel="step", ylabel="weight")
ax.legend()
plt.show()
# --8<-- [end:fading]

# --8<-- [start:sizes]
def drift(kind, size, steps=300):
    """What the decay does to a weight whose gradients are noise of this size."""
    paths = []
    for weight_decay in (0.0, 0.1):
        w = torch.ones(200, dtype=torch.float64, requires_grad=True)
        optimizer = kind([w], lr=0.01, weight_decay=weight_decay)
        noise = torch.Generator().manual_seed(0)
        means = [1.0]
        for _ in range(steps):
            g = torch.randn(200, generator=noise, dtype=torch.float64)
            w.grad = size * g
            optimizer.step()
            means.append(w.mean().item())
        paths.append(torch.tensor(means))
    return 1 + paths[1] - paths[0]  # the noise itself cancels


fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True, layout="constrained")
for ax, kind in zip(axes, (optim.Adam, optim.AdamW), strict=True):
    ends = []
    for style, size in zip(("-", "--", ":"), (0.3, 1.0, 10.0), strict=True):
        path = drift(kind, size)
        ends.append(f"{path[-1].item():.2f}")
        ax.plot(range(0, 301, 10), path[::10], style, label=f"size {size:g}")
    print(f"{kind.__name__:6}", *ends)
    ax.set(title=kind.__name__, xlabel="step")
axes[0].set_ylabel("weight")
axes[0].legend()
plt.show()
# --8<-- [end:sizes]

# --8<-- [start:worked]
def one_step(kind, **options):
    w = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    w.grad = torch.tensor([1.0], dtype=torch.float64)
    kind([w], lr=0.1, **options).step()
    return w.item()


print("SGD  ", f"{one_step(optim.SGD, weight_decay=0.5):.4f}")
for decay in (0.0, 0.5, 5.0):
    ends = [one_step(kind, weight_decay=decay) for kind in (optim.Adam, optim.AdamW)]
    print(f"decay {decay}: Adam {ends[0]:.4f}  AdamW {ends[1]:.4f}")
same = one_step(torch.optim.AdamW, weight_decay=0.5)
print("torch's AdamW, decay 0.5:", f"{same:.4f}")
# --8<-- [end:worked]

# --8<-- [start:half-life]
import math

print("lr     decay  half-life in steps")
for lr, decay in [(1e-3, 0.01), (1e-3, 0.1), (3e-4, 0.1), (1e-4, 0.1)]:
    steps = math.log(2) / -math.log1p(-lr * decay)
    print(f"{lr:<6g}{decay:6}  {steps:18,.0f}")
# --8<-- [end:half-life]

# --8<-- [start:equilibrium]
def root_mean_square(start, lr, decay, steps=1000):
    """AdamW when the gradients are nothing but noise."""
    torch.manual_seed(0)
    w = torch.full((2000,), start, dtype=torch.float64, requires_grad=True)
    optimizer = optim.AdamW([w], lr=lr, weight_decay=decay)
    path = []
    for step in range(steps + 1):
        if step % 50 == 0:
            path.append((w.detach() ** 2).mean().sqrt().item())
        w.grad = torch.randn(2000, dtype=torch.float64)
        optimizer.step()
    return path


fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
print("  lr  decay  measured  formula")
for color, (lr, decay) in zip(("C0", "C1"), [(0.02, 0.2), (0.01, 0.4)], strict=True):
    expected = math.sqrt(lr / (decay * (2 - lr * decay)))
    for style, start in (("-", 0.0), ("--", 0.4)):
        path = root_mean_square(start, lr, decay)
        name = f"lr {lr}, decay {decay}" if start == 0 else None
        ax.plot(range(0, 1001, 50), path, style, color=color, label=name)
    ax.axhline(expected, color="gray", lw=0.5)
    print(f"{lr}  {decay:5}  {path[-1]:8.2f}  {expected:7.2f}")
ax.set(xlabel="step", ylabel="size of the weights")
ax.legend()
plt.show()
# --8<-- [end:equilibrium]

# --8<-- [start:groups]
from torch import nn

NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)


def groups(model, weight_decay):
    """Every parameter once: weights decay, biases and gains of norms do not."""
    decayed, kept = [], []
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            plain = name == "bias" or isinstance(module, NORMS)
            (kept if plain else decayed).append(p)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]


model = nn.Sequential(
    nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10)
)
optimizer = optim.AdamW(groups(model, 0.1), lr=1e-3)
for group in optimizer.param_groups:
    shapes = [list(p.shape) for p in group["params"]]
    print(f"decay {group['weight_decay']}:", *shapes)
# --8<-- [end:groups]

# --8<-- [start:invariant]
import torch.nn.functional as F
from dlguide.data import load

digits = load("digits")
images, labels = digits.train.tensors
images = images.flatten(1).double()


def loss_of(weight: Tensor, rows) -> Tensor:
    """The pictures, one layer, a normalization without gain, ten classes."""
    hidden = F.layer_norm(images[rows] @ weight.T, weight.shape[:1], eps=0)
    return F.cross_entropy(hidden[:, :10], labels[rows])


torch.manual_seed(0)
start = torch.randn(20, 64, dtype=torch.float64) / 8
everything = slice(None)
for scale in (0.5, 1.0, 2.0):
    weight = (scale * start).requires_grad_()
    loss = loss_of(weight, everything)
    (gradient,) = torch.autograd.grad(loss, weight)
    product = abs((weight * gradient).sum().item())
    print(f"times {scale}: loss {loss.item():.4f}", end="  ")
    print(f"gradient {gradient.norm().item():.4f}  product 0: {product < 1e-12}")
# --8<-- [end:invariant]

# --8<-- [start:exponential]
def train(decay, rate, steps=200):
    """SGD with lr = rate(t); the weights and the loss of the last step."""
    weight = start.clone().requires_grad_()
    generator = torch.Generator().manual_seed(1)
    norms = []
    for t in range(1, steps + 1):
        rows = torch.randint(len(images), (64,), generator=generator)
        optimizer = torch.optim.SGD([weight], lr=rate(t), weight_decay=decay)
        optimizer.zero_grad()
        loss_of(weight, rows).backward()
        optimizer.step()
        norms.append(weight.detach().norm().item())
    return weight.detach(), norms


lr, decay = 0.5, 0.02
keep = 1 - lr * decay
w, norms = train(decay, lambda t: lr)
x, grown = train(0.0, lambda t: lr / keep ** (2 * t - 1))
_, free = train(0.0, lambda t: lr)
print("last rate without decay:", f"{lr / keep ** (2 * 200 - 1):.1f}")
print("norms:", f"{norms[-1]:.2f} with decay, {grown[-1]:.2f} without")
losses = [loss_of(weight, everything).item() for weight in (w, x)]
print("losses equal:", abs(losses[0] - losses[1]) < 1e-8)
print("same direction:", torch.allclose(w, keep**200 * x, rtol=1e-6))
# --8<-- [end:exponential]

# --8<-- [start:norms]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for style, name, path in (("-", "decay 0.02", norms), ("--", "no decay", free)):
    left.plot(range(0, 200, 10), path[::10], style, label=name)
    rates = [lr / norm**2 for norm in path[::10]]
    right.plot(range(0, 200, 10), rates, style, label=name)
left.set(xlabel="step", ylabel="norm of the weights")
right.set(xlabel="step", ylabel="effective rate")
left.legend()
plt.show()
# --8<-- [end:norms]

# --8<-- [start:others]
def idle(kind, **options):
    """Ten steps of a weight of 2 without a gradient."""
    w = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    optimizer = kind([w], lr=0.1, weight_decay=0.5, **options)
    for _ in range(10):
        w.grad = torch.zeros_like(w)
        optimizer.step()
    return f"{w.item():.4f}"


for name in ("Adam", "NAdam", "RAdam"):
    for kind in (getattr(optim, name), getattr(torch.optim, name)):
        coupled, decoupled = idle(kind), idle(kind, decoupled_weight_decay=True)
        print(f"{name:6} L2 {coupled}  decoupled {decoupled}")
# --8<-- [end:others]

# --8<-- [start:task]
from dlguide.models import MLP

test_images, test_labels = digits.test.tensors
test_images = test_images.flatten(1).double()
noise = torch.Generator().manual_seed(0)
noisy = labels[:200].clone()  # 200 pictures; one label in five is drawn anew
wrong = torch.rand(200, generator=noise) < 0.2
noisy[wrong] = torch.randint(10, (int(wrong.sum()),), generator=noise)


def run(kind, decay, lr=0.01, steps=300):
    """Test loss every 10 steps; the same start and batches for everyone."""
    torch.manual_seed(0)
    model = MLP(64, hidden=(64,)).double()
    optimizer = kind(groups(model, decay), lr=lr)
    generator = torch.Generator().manual_seed(1)
    curve = []
    for step in range(steps + 1):
        if step % 10 == 0:
            with torch.no_grad():
                curve.append(F.cross_entropy(model(test_images), test_labels).item())
        rows = torch.randint(200, (50,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images[rows]), noisy[rows]).backward()
        optimizer.step()
    sizes = [p.detach().norm().item() for p in model.parameters() if p.ndim == 2]
    return curve, sizes


strengths = {"Adam": (0.0, 0.0003, 0.003, 0.03), "AdamW": (0.03, 0.3, 3.0)}
curves = {}
print("             test loss  norms")
for name, decays in strengths.items():
    for decay in decays:
        curve, sizes = run(getattr(torch.optim, name), decay)
        curves[name, decay] = curve
        norms_now = " ".join(f"{size:4.0f}" for size in sizes)
        print(f"{name:5} {decay:<7} {curve[-1]:8.2f}  {norms_now}")
# --8<-- [end:task]

# --8<-- [start:curves]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
chosen = {("Adam", 0.0): ":", ("Adam", 0.003): "--", ("AdamW", 0.3): "-"}
for (name, decay), style in chosen.items():
    label = f"{name}, decay {decay:g}"
    ax.plot(range(0, 301, 10), curves[name, decay], style, label=label)
ax.set(xlabel="step", ylabel="test loss", ylim=(0.4, 1.2))
ax.legend()
plt.show()
# --8<-- [end:curves]

# --8<-- [start:dead]
def after(kind, decay, steps=10):
    w = torch.tensor([0.01], dtype=torch.float64, requires_grad=True)
    optimizer = kind([w], lr=1e-3, weight_decay=decay)
    for _ in range(steps):
        w.grad = torch.zeros_like(w)
        optimizer.step()
    return w.item()


for decay in (1e-4, 1e-2):
    ends = [f"{after(kind, decay):.4f}" for kind in (optim.Adam, optim.AdamW)]
    print(f"decay {decay:g}: Adam {ends[0]}  AdamW {ends[1]}")
# --8<-- [end:dead]

# --8<-- [start:twice]
w = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.5)
(0.5 / 2 * (w**2).sum()).backward()  # a penalty in the loss as well
optimizer.step()
print(f"{w.item():.4f}, and once would be {2 * (1 - 0.1 * 0.5):.4f}")
# --8<-- [end:twice]

# --8<-- [start:exercise-half]
def decay_for(half_life, lr):
    """The weight decay with which a weight without gradient halves in so many steps."""
    return (1 - 0.5 ** (1 / half_life)) / lr


for half_life in (100, 10_000):
    print(half_life, f"{decay_for(half_life, lr=1e-3):.4f}")
# --8<-- [end:exercise-half]


# --8<-- [start:exercise-sgdw]
def sgdw(w, g, state, lr, momentum, weight_decay):
    w *= 1 - lr * weight_decay
    if "buffer" not in state:
        state["buffer"] = torch.zeros_like(w)
    state["buffer"].copy_(momentum * state["buffer"] + g)
    w -= lr * state["buffer"]


w, state = torch.tensor([1.0], dtype=torch.float64), {}
for g in (1.0, 2.0, 3.0):
    sgdw(w, torch.tensor([g], dtype=torch.float64), state, 0.1, 0.9, 0.5)
    print(f"{w.item():.6f}")
# --8<-- [end:exercise-sgdw]


# --8<-- [start:exercise-left]
def left_over(rates, weight_decay):
    """The share of a weight that is left after these learning rates."""
    share = 1.0
    for lr in rates:
        share *= 1 - lr * weight_decay
    return share


steps = 10_000
constant = [1e-3] * steps
cosine = [1e-3 * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps)]
print(f"constant {left_over(constant, 0.1):.3f}  cosine {left_over(cosine, 0.1):.3f}")
# --8<-- [end:exercise-left]
