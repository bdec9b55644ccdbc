"""The program of training/initialization: symmetry, variance, Xavier, He, and more."""

# --8<-- [start:picture]
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn


def root_mean_square(values: Tensor) -> float:
    return values.square().mean().sqrt().item()


def sizes(draw, f, depth=30, n=128):
    """How large signals are behind each layer, and gradients on their way back."""
    torch.manual_seed(0)
    signals = [torch.randn(n, n, dtype=torch.float64, requires_grad=True)]
    for _ in range(depth):
        W = draw(torch.empty(n, n, dtype=torch.float64))
        signals.append(f(signals[-1] @ W.T))
    last = torch.randn(n, n, dtype=torch.float64)  # the gradient that arrives
    gradients = torch.autograd.grad(signals[-1], signals, last)
    return [[root_mean_square(v) for v in row] for row in (signals, gradients)]


def scaled(factor):
    return lambda W: W.normal_(0, factor * math.sqrt(2 / W.shape[1]))


plt.figure(figsize=(7, 2.8), layout="constrained")
for factor in (0.7, 1.0, 1.4):
    forward, _ = sizes(scaled(factor), torch.relu)
    plt.semilogy(forward, label=f"{factor} times")
    print(f"{factor} times: from {forward[0]:.1f} to {forward[-1]:.0e} after 30 layers")
plt.xlabel("layer")
plt.ylabel("size of the signal")
plt.legend()
plt.show()
# --8<-- [end:picture]

# --8<-- [start:symmetry]
x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double()
target = (x[:, :1] != x[:, 1:]).double()  # 1 where the inputs differ


def train_small(start):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    start(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for step in range(500):
        loss = ((model(x) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            moves = bool(model[0].weight.grad.any())
        optimizer.step()
    W = model[0].weight.detach()
    print(f"first layer has a gradient: {moves}, loss {loss.item():.2f}, its rows:")
    print((W.numpy().round(1) + 0).tolist())


def constant(value):
    def start(model):
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)

    return start


train_small(constant(0.0))
train_small(constant(0.5))
train_small(lambda model: None)  # random, as PyTorch makes it
# --8<-- [end:symmetry]

# --8<-- [start:by-hand]
x = torch.tensor([1.0, 3.0])
halves = torch.tensor([0.5, -0.5])
w = torch.cartesian_prod(halves, halves)  # the four possible draws, one in each row
y = w @ x
print("y          ", y.tolist())
print("mean of y  ", y.mean().item())
print("mean of y^2", y.square().mean().item())
print("n Var(w) mean of x^2", (2 * 0.25 * x.square().mean()).item())
# --8<-- [end:by-hand]

# --8<-- [start:both-ways]
torch.manual_seed(0)
n, m = 800, 200
x = torch.randn(500, n)  # samples, one in each row
g = torch.randn(500, m)  # gradients that arrive
choices = {"1 / n": 1 / n, "1 / m": 1 / m, "2 / (n + m)": 2 / (n + m)}
for name, variance in choices.items():
    W = torch.randn(m, n) * math.sqrt(variance)
    forward, back = (x @ W.T).square().mean(), (g @ W).square().mean()
    print(f"Var(w) = {name:11}  forward {forward:.1f}  backward {back:.2f}")
# --8<-- [end:both-ways]

# --8<-- [start:same]
from dlguide import init

names = ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"]
print(f"wanted: Xavier {2 / (72 + 144):.4f}, He {2 / 72:.4f}")
for name in names:
    ours, theirs = (
        getattr(library, name)(
            torch.empty(16, 8, 3, 3), generator=torch.Generator().manual_seed(0)
        )
        for library in (init, nn.init)
    )
    print(f"{name:17} {torch.equal(ours, theirs)}  variance {ours.var():.4f}")
# --8<-- [end:same]

# --8<-- [start:half]
steps = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
y = torch.special.ndtri(steps)  # spread as a normal distribution, evenly
print(f"mean of y^2       {y.square().mean():.3f}")
print(f"mean of ReLU(y)^2 {torch.relu(y).square().mean():.3f}")
# --8<-- [end:half]

# --8<-- [start:gains]
measured = {
    "linear": y, "relu": torch.relu(y), "leaky_relu": nn.functional.leaky_relu(y),
    "sigmoid": torch.sigmoid(y), "tanh": torch.tanh(y), "selu": nn.functional.selu(y),
}  # fmt: skip
for name, values in measured.items():
    keeps = 1 / root_mean_square(values)
    print(f"{name:10}  gain {init.calculate_gain(name):.3f}  measured {keeps:.2f}")
# --8<-- [end:gains]

# --8<-- [start:default]
from dlguide.layers.linear import Linear

torch.manual_seed(0)
theirs = nn.Linear(64, 5000)
torch.manual_seed(0)
ours = Linear(64, 5000)
print("same numbers  ", torch.equal(ours.weight, theirs.weight))
print(f"largest weight {theirs.weight.abs().max():.4f} of {1 / math.sqrt(64):.4f}")
print(f"variance times n {64 * theirs.weight.var():.3f}")
# --8<-- [end:default]

# --8<-- [start:layers]
starts = {
    "normal, 0.01": lambda W: W.normal_(0, 0.01),
    "default": lambda W: init.kaiming_uniform_(W, a=math.sqrt(5)),
    "Xavier": init.xavier_normal_,
    "He": lambda W: init.kaiming_normal_(W, nonlinearity="relu"),
}
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3), sharey=True, layout="constrained")
print("size after 30 layers    ReLU: signal  gradient    tanh: signal  gradient")
for name, draw in starts.items():
    rows = sizes(draw, torch.relu)
    for ax, row in zip(axes, rows, strict=True):
        ax.semilogy(row, label=name)
    ends = [f"{v:10.0e}" for f in (torch.relu, torch.tanh)
            for v in (sizes(draw, f)[0][-1], sizes(draw, f)[1][0])]  # fmt: skip
    print(f"{name:24} {ends[0]} {ends[1]}      {ends[2]} {ends[3]}")
axes[0].set_title("signal")
axes[1].set_title("gradient")
for ax in axes:
    ax.set_xlabel("layer")
axes[0].set_ylim(1e-16, 10)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
plt.show()
# --8<-- [end:layers]

# --8<-- [start:stretch]
torch.manual_seed(0)
n, depth = 64, 30
x = torch.randn(n, dtype=torch.float64)
for name, draw in (
    ("normal", lambda W: W.normal_(0, 1 / math.sqrt(n))),
    ("orthogonal", init.orthogonal_),
):
    product = inverse = torch.eye(n, dtype=torch.float64)
    for _ in range(depth):
        W = draw(torch.empty(n, n, dtype=torch.float64))
        product, inverse = W @ product, inverse @ torch.linalg.inv(W)
    most, least = (torch.linalg.svdvals(M)[0] for M in (product, inverse))
    length = (product @ x).norm() / x.norm()
    print(f"{name:10}  largest {most:.0e}  smallest {1 / least:.0e}"
          f"  length of x times {length:.2f}")  # fmt: skip
# --8<-- [end:stretch]

# --8<-- [start:truncated]
torch.manual_seed(0)
w = torch.randn(100_000, dtype=torch.float64) * 0.02
print(f"normal     largest {w.abs().max():.3f}  std {w.std() / 0.02:.2f} s"
      f"  beyond two std {(w.abs() > 0.04).double().mean():.3f}")  # fmt: skip
w = init.trunc_normal_(torch.empty_like(w), std=0.02, a=-0.04, b=0.04)
print(f"truncated  largest {w.abs().max():.3f}  std {w.std() / 0.02:.2f} s")
# --8<-- [end:truncated]

# --8<-- [start:apply]
def initialize(module):
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
model.apply(initialize)
print(f"{model[0].weight.var() * 64:.1f} {model[2].bias.abs().sum():.1f}")
# --8<-- [end:apply]

# --8<-- [start:train]
from dlguide.data import load

images, labels = load("digits", standardize=True).train.tensors
images = images.flatten(1).double()
loss_of = nn.CrossEntropyLoss()


def train_deep(draw, steps=100):
    """A network of 15 layers; its loss on all images."""
    torch.manual_seed(0)
    layers = []
    for _ in range(14):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(64, 10)).double()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            draw(parameter.data)
        else:
            nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(steps):
        rows = torch.randint(len(images), (50,))
        loss = loss_of(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss_of(model(images), labels).item()


for name, draw in starts.items():
    print(f"{name:12}  loss {train_deep(draw):.1f}")
# --8<-- [end:train]

# --8<-- [start:bounds]
torch.manual_seed(0)
w = init.trunc_normal_(torch.empty(100_000), std=0.02)  # a=-2, b=2: values
print(f"largest {w.abs().max() / 0.02:.1f} standard deviations")
w = init.trunc_normal_(torch.empty(100_000), std=0.02, a=-0.04, b=0.04)
print(f"largest {w.abs().max() / 0.02:.1f} standard deviations")
# --8<-- [end:bounds]

# --8<-- [start:bias]
layer = nn.Linear(64, 32)
try:
    init.kaiming_normal_(layer.bias)
except ValueError as error:
    print(error)
# --8<-- [end:bias]

# --8<-- [start:exercise-lecun]
@torch.no_grad()
def lecun_normal_(tensor, generator=None):
    fan_in = tensor[0].numel()
    return tensor.normal_(0, 1 / math.sqrt(fan_in), generator=generator)


w = lecun_normal_(torch.empty(64, 16, 5, 5), torch.Generator().manual_seed(0))
print(f"{w.var() * 16 * 5 * 5:.2f}")
# --8<-- [end:exercise-lecun]

# --8<-- [start:exercise-branch]
def branch_scale(depth):
    return math.sqrt(2 ** (1 / depth) - 1)


for depth in (10, 100, 1000):
    s = branch_scale(depth)
    print(f"{depth:4} blocks  s = {s:.4f}  growth {(1 + s**2) ** depth:.4f}")
# --8<-- [end:exercise-branch]
