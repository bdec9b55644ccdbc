"""The program of training/activations: every activation with its slope, compared."""

# --8<-- [start:collapse]
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

torch.manual_seed(0)
first, second = nn.Linear(4, 8).double(), nn.Linear(8, 3).double()
x = torch.randn(5, 4, dtype=torch.float64)

W = second.weight @ first.weight
b = second.weight @ first.bias + second.bias
print("nothing between", torch.allclose(second(first(x)), x @ W.T + b))
print("ReLU between   ", torch.allclose(second(torch.relu(first(x))), x @ W.T + b))
# --8<-- [end:collapse]

# --8<-- [start:bend]
import matplotlib.pyplot as plt

x = torch.linspace(-math.pi, math.pi, 101, dtype=torch.float64)
knots = torch.linspace(-math.pi, math.pi, 9, dtype=torch.float64)[:-1]
shifted = x[:, None] - knots  # a layer of 8 neurons whose weights are 1
_, axes = plt.subplots(1, 2, figsize=(7.4, 2.4), sharey=True, layout="constrained")
for ax, hidden in zip(axes, (shifted, torch.relu(shifted)), strict=True):
    inputs = torch.cat([hidden, torch.ones(101, 1)], dim=1)
    best = torch.linalg.pinv(inputs) @ torch.sin(x)  # the best output layer
    ax.plot(x, torch.sin(x), "--", color="gray")
    ax.plot(x, inputs @ best)
axes[0].set_title("nothing between")
axes[1].set_title("ReLU between")
plt.show()
# --8<-- [end:bend]

# --8<-- [start:compare]
from dlguide.functional.activations import sigmoid, sigmoid_derivative


def compare(ours, slope, theirs, at):
    """Value and slope by hand, and what PyTorch and autograd say."""
    z = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    y = theirs(z)
    (by_autograd,) = torch.autograd.grad(y.sum(), z)
    columns = [z, ours(z), y, slope(z), by_autograd]
    print("         x      f(x)     torch     f'(x)  autograd")
    for row in zip(*(c.tolist() for c in columns), strict=True):
        print(*(f"{round(number, 4) + 0:10.4f}" for number in row), sep="")


compare(sigmoid, sigmoid_derivative, torch.sigmoid, [-1e4, 0, math.log(3), 1e4])
# --8<-- [end:compare]

# --8<-- [start:tanh-numbers]
from dlguide.functional.activations import tanh, tanh_derivative

compare(tanh, tanh_derivative, torch.tanh, [-1e4, 0, math.log(2), 1e4])
x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
print("tanh(x) = 2 sigmoid(2x) - 1:", torch.allclose(tanh(x), 2 * sigmoid(2 * x) - 1))
print(f"largest slope of the sigmoid: {sigmoid_derivative(x).max():.4f}")
# --8<-- [end:tanh-numbers]

# --8<-- [start:curves]
def draw(curves, low, high):
    """One panel for each function: solid the function, dashed its slope."""
    _, axes = plt.subplots(
        1, len(curves), figsize=(7.4, 2.6), sharey=True, layout="constrained"
    )
    z = torch.linspace(-4, 4, 65, dtype=torch.float64)
    for ax, (name, (f, slope)) in zip(axes, curves.items(), strict=True):
        ax.axhline(0, color="gray", linewidth=0.5)
        ax.axvline(0, color="gray", linewidth=0.5)
        ax.plot(z, f(z), label="f(x)")
        ax.plot(z, slope(z), "--", label="f'(x)")
        ax.set_title(name)
        ax.set_ylim(low, high)
    axes[0].legend()
    plt.show()


draw({"sigmoid": (sigmoid, sigmoid_derivative), "tanh": (tanh, tanh_derivative)},
     -1.1, 1.1)  # fmt: skip
# --8<-- [end:curves]

# --8<-- [start:relu-numbers]
from dlguide.functional.activations import relu, relu_derivative

compare(relu, relu_derivative, torch.relu, [-1e4, -1, 0, 2])
# --8<-- [end:relu-numbers]

# --8<-- [start:leaky-numbers]
from dlguide.functional.activations import leaky_relu, leaky_relu_derivative

compare(leaky_relu, leaky_relu_derivative, F.leaky_relu, [-1e4, -1, 0, 2])
# --8<-- [end:leaky-numbers]

# --8<-- [start:prelu-numbers]
from dlguide.functional.activations import prelu_backward

x = torch.tensor([[-2.0, 1.0], [-3.0, -4.0]])  # two samples, two channels
layer = nn.PReLU(2)  # two slopes, 0.25 at the start
layer(x).sum().backward()
dx, da = prelu_backward(torch.ones(2, 2), x, layer.weight.detach())
print("by hand ", da)
print("autograd", layer.weight.grad)
# --8<-- [end:prelu-numbers]

# --8<-- [start:elu-numbers]
from dlguide.functional.activations import elu, elu_derivative

compare(lambda z: elu(z, 0.5), lambda z: elu_derivative(z, 0.5),
        lambda z: F.elu(z, 0.5), [-1e4, -1, 0, 2])  # fmt: skip
print("a step of the slope at 0 unless alpha is 1:")
for alpha in (0.5, 1.0, 2.0):
    sides = elu_derivative(torch.tensor([-1e-9, 1e-9]), alpha)
    print(f"alpha {alpha}  left {sides[0]:.1f}  right {sides[1]:.1f}")
# --8<-- [end:elu-numbers]

# --8<-- [start:selu-constants]
def normal_cdf(x):  # the probability that a standard normal number is below x
    return (1 + math.erf(x / math.sqrt(2))) / 2


low, lower = normal_cdf(-1), normal_cdf(-2)
alpha = math.sqrt(2 / math.pi) / (1 - 2 * math.sqrt(math.e) * low)
square = 0.5 + alpha**2 * (math.e**2 * lower - 2 * math.sqrt(math.e) * low + 0.5)
scale = 1 / math.sqrt(square)
print(f"derived  alpha {alpha:.10f}  scale {scale:.10f}")
right, left = F.selu(torch.tensor([1.0, -100.0], dtype=torch.float64)).tolist()
print(f"PyTorch  alpha {-left / right:.10f}  scale {right:.10f}")
# --8<-- [end:selu-constants]

# --8<-- [start:selu-layers]
from dlguide.functional.activations import selu, selu_derivative

torch.manual_seed(0)
h = torch.randn(1000, 256) * 3 + 1  # neither mean 0 nor variance 1
for layer in range(33):
    if layer in (0, 1, 2, 8, 32):
        mean = round(h.mean().item(), 2) + 0  # no -0.00
        print(f"layer {layer:2}  mean {mean:6.2f}  variance {h.var():6.2f}")
    h = selu(h @ torch.randn(256, 256) / math.sqrt(256))
# --8<-- [end:selu-layers]

# --8<-- [start:curves-branches]
draw(
    {
        "ReLU": (relu, relu_derivative),
        "leaky, a = 0.2": (lambda z: leaky_relu(z, 0.2),
                           lambda z: leaky_relu_derivative(z, 0.2)),
        "ELU": (elu, elu_derivative),
        "SELU": (selu, selu_derivative),
    },
    -2, 3,
)  # fmt: skip
# --8<-- [end:curves-branches]

# --8<-- [start:softplus-numbers]
from dlguide.functional.activations import softplus, softplus_derivative

compare(softplus, softplus_derivative, F.softplus, [-1e4, -1, 0, 30])
# --8<-- [end:softplus-numbers]

# --8<-- [start:silu-numbers]
from dlguide.functional.activations import silu, silu_derivative

compare(silu, silu_derivative, F.silu, [-1e4, -1, 0, 2])
x = torch.tensor(-1.0, dtype=torch.float64)
for _ in range(6):  # Newton's steps towards the place where the slope is 0
    at = x.clone().requires_grad_()
    (change,) = torch.autograd.grad(silu_derivative(at), at)
    x = x - silu_derivative(x) / change
print(f"lowest at x = {x:.6f}: {silu(x):.6f}, and x + 1 = {x + 1:.6f}")
# --8<-- [end:silu-numbers]

# --8<-- [start:mish-numbers]
from dlguide.functional.activations import mish, mish_derivative

compare(mish, mish_derivative, F.mish, [-1e4, -1, 0, 2])
# --8<-- [end:mish-numbers]

# --8<-- [start:gelu-numbers]
from dlguide.functional.activations import gelu, gelu_derivative

compare(gelu, gelu_derivative, F.gelu, [-1e4, -1, 0, 2])
compare(lambda z: gelu(z, "tanh"), lambda z: gelu_derivative(z, "tanh"),
        lambda z: F.gelu(z, approximate="tanh"), [-1e4, -1, 0, 2])  # fmt: skip
x = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
gap = (gelu(x, "tanh") - gelu(x)).abs()
print(f"largest difference {gap.max():.6f} at x = ±{x[gap.argmax()].abs():.4f}")
# --8<-- [end:gelu-numbers]

# --8<-- [start:curves-smooth]
draw(
    {
        "softplus": (softplus, softplus_derivative),
        "SiLU": (silu, silu_derivative),
        "GELU": (gelu, gelu_derivative),
        "Mish": (mish, mish_derivative),
    },
    -1, 3,
)  # fmt: skip
# --8<-- [end:curves-smooth]

# --8<-- [start:glu-numbers]
from dlguide.functional.activations import glu, glu_backward

x = torch.tensor([[2.0, 4.0, 0.0, math.log(3)]], requires_grad=True)  # a = 2, 4
y = F.glu(x)
y.sum().backward()
print("glu     ", glu(x.detach()), "torch", y.detach())
print("by hand ", glu_backward(torch.ones(1, 2), x.detach())[0])
print("autograd", x.grad)
# --8<-- [end:glu-numbers]

# --8<-- [start:feed-forward]
from dlguide.functional.activations import swiglu

torch.manual_seed(0)
x = torch.randn(5, 64)
gate, up, down = nn.Linear(64, 170), nn.Linear(64, 170), nn.Linear(170, 64)
plain = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))
print(down(swiglu(gate(x), up(x))).shape)
for name, layers in (("SwiGLU", (gate, up, down)), ("GELU", plain)):
    print(f"{name:6}", sum(p.numel() for m in layers for p in m.parameters()))
# --8<-- [end:feed-forward]

# --8<-- [start:digits]
from dlguide.data import load
from dlguide.layers.activations import PReLU

images, labels = load("digits", standardize=True).train.tensors
images = images.flatten(1).double()


def train(activation, lr=3e-3, steps=100):
    """A network with three hidden layers; it and its loss on all images."""
    torch.manual_seed(0)
    layers = []
    for _ in range(3):
        layers += [nn.Linear(64, 64), activation()]
    model = nn.Sequential(*layers, nn.Linear(64, 10)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(images), (100,))
        loss = F.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, F.cross_entropy(model(images), labels).item()


for kind in (nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, PReLU,
             nn.ELU, nn.SELU, nn.SiLU, nn.GELU, nn.Mish):  # fmt: skip
    print(f"{kind.__name__:9}  loss {train(kind)[1]:.2f}")
# --8<-- [end:digits]

# --8<-- [start:dead-unit]
x = torch.tensor([[0.5, 1.0], [1.5, -0.5], [1.0, 2.0]])
target = torch.tensor([1.0, 2.0, 3.0])
for f in (F.relu, F.leaky_relu):
    w = torch.tensor([1.0, 1.0], requires_grad=True)
    b = torch.tensor(-6.0, requires_grad=True)  # after one step that was too long
    optimizer = torch.optim.SGD([w, b], lr=0.1)
    for step in range(3001):
        loss = ((f(x @ w + b) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        if step in (0, 3000):
            print(f"{f.__name__:10}  step {step:4}  loss {loss:6.3f}  grad {w.grad}")
        optimizer.step()
# --8<-- [end:dead-unit]

# --8<-- [start:dead-share]
def dead(model):
    """The share of hidden units that give 0 for every image."""
    h, shares = images, []
    for module in model:
        h = module(h)
        if isinstance(module, nn.ReLU):
            shares.append((h == 0).all(0).float().mean().item())
    return sum(shares) / len(shares)


for lr in (0.001, 0.01, 0.1):
    model, loss = train(nn.ReLU, lr=lr)
    print(f"lr {lr:5}  loss {loss:.1f}  dead {dead(model):.1f}")
# --8<-- [end:dead-share]

# --8<-- [start:output]
target = torch.tensor([-2.0, -1.0, 1.0, 2.0])
for name, f in (("ReLU at the end", torch.relu), ("nothing at the end", lambda z: z)):
    z = torch.tensor([0.5, 0.5, 0.5, 0.5], requires_grad=True)  # free to move
    optimizer = torch.optim.SGD([z], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        ((f(z) - target) ** 2).sum().backward()
        optimizer.step()
    print(f"{name:18}", f(z.detach()))
# --8<-- [end:output]

# --8<-- [start:twice]
loss = nn.BCEWithLogitsLoss()  # takes the sigmoid itself
z, one = torch.tensor([-20.0, 0.0, 20.0]), torch.ones(())
for logit in z:
    print(f"logit {logit:5.0f}  once {loss(logit, one):7.4f}"
          f"  twice {loss(torch.sigmoid(logit), one):.4f}")  # fmt: skip
# --8<-- [end:twice]

# --8<-- [start:naive]
def naive(z):
    return 1 / (1 + torch.exp(-z))


for f in (naive, sigmoid):
    z = torch.tensor([-1000.0, 0.0], requires_grad=True)
    y = f(z)
    y.sum().backward()
    print(f"{f.__name__:8}", y.detach(), z.grad)
# --8<-- [end:naive]

# --8<-- [start:exercise-hardswish]
def hardswish(x: Tensor) -> Tensor:
    return x * (x + 3).clamp(0, 6) / 6


def hardswish_derivative(x: Tensor) -> Tensor:
    middle = (2 * x + 3) / 6
    return torch.where(x <= -3, 0, torch.where(x >= 3, 1, middle))


x = torch.tensor([-4.0, -1.5, 0.0, 2.0, 4.0])
print(hardswish(x), F.hardswish(x))
print(hardswish_derivative(x))
# --8<-- [end:exercise-hardswish]

# --8<-- [start:exercise-geglu]
def geglu_backward(grad_output, gate, value):
    grad_gate = grad_output * value * gelu_derivative(gate)
    return grad_gate, grad_output * gelu(gate)


gate, value = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 3.0])
print(*geglu_backward(torch.ones(2), gate, value))
# --8<-- [end:exercise-geglu]

# --8<-- [start:exercise-gain]
def gain(f):
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return 1 / torch.sqrt((f(z) ** 2 * density).sum() * (z[1] - z[0])).item()


for f in (relu, tanh, selu, silu):
    print(f"{f.__name__:5} {gain(f):.4f}")
# --8<-- [end:exercise-gain]
