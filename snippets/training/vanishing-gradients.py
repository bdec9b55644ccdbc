"""The program of training/vanishing-gradients: thirty layers, and what helps."""

# --8<-- [start:factors]
import matplotlib.pyplot as plt

plt.figure(figsize=(7.4, 2.8), layout="constrained")
for factor in (2.0, 1.2, 1.0, 0.8, 0.25):
    sizes = [factor ** (30 - layer) for layer in range(1, 31)]
    plt.semilogy(range(1, 31), sizes, label=f"factor {factor:g}")
    print(f"factor {factor:4}: {sizes[0]:.0e} at layer 1")
plt.xlabel("layer")
plt.ylabel("size of the gradient")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
# --8<-- [end:factors]

# --8<-- [start:chain]
import math

import torch
from dlguide.functional.activations import sigmoid, sigmoid_derivative
from torch import Tensor, nn
from torch.nn import functional as F

x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
h, product = x, 1.0
for layer in range(1, 6):
    slope = sigmoid_derivative(h.detach()).item()
    h, product = sigmoid(h), product * slope
    print(f"layer {layer}  slope {slope:.4f}  product {product:.6f}")
h.backward()
print(f"autograd                {x.grad:.6f}")
# --8<-- [end:chain]

# --8<-- [start:network]
from dlguide.functional.linear import linear, linear_backward


def start(depth, size, n=64):
    """Weights with standard deviation size / sqrt(n), a batch, and its targets."""
    torch.manual_seed(0)
    Ws = torch.randn(depth, n, n, dtype=torch.float64) * size / math.sqrt(n)
    return Ws, *torch.randn(2, 100, n, dtype=torch.float64)


def gradients(Ws: Tensor, h: Tensor, target: Tensor, f, slope, skip=0) -> list[Tensor]:
    """The gradient of each weight matrix by hand; with skip=1, h is added to f(z)."""
    entered, sums = [], []
    for W in Ws:  # forward: keep what enters each layer, and its sums
        z = linear(h, W)
        entered.append(h)
        sums.append(z)
        h = f(z) + skip * h
    g = 2 * (h - target) / h.numel()  # of the mean squared error
    found = []
    for W, h, z in zip(Ws.flip(0), entered[::-1], sums[::-1], strict=True):
        delta = g * slope(z)
        back, grad_W, _ = linear_backward(delta, h, W)
        g = back + skip * g
        found.append(grad_W)
    return found[::-1]
# --8<-- [end:network]

# --8<-- [start:same]
for skip in (0, 1):
    Ws, h, target = start(30, 1.0)
    ours = gradients(Ws, h, target, sigmoid, sigmoid_derivative, skip)
    leaves = [W.clone().requires_grad_() for W in Ws]
    for W in leaves:
        h = torch.sigmoid(h @ W.T) + skip * h
    theirs = torch.autograd.grad(F.mse_loss(h, target), leaves)
    off = [(a - b).norm() / b.norm() for a, b in zip(ours, theirs, strict=True)]
    print(f"skip {skip}: all 30 gradients as autograd's {max(off) < 1e-10}")
# --8<-- [end:same]

# --8<-- [start:thirty]
from dlguide.functional.activations import relu, relu_derivative

he = math.sqrt(2)
cases = {
    "sigmoid": (1.0, sigmoid, sigmoid_derivative, 0),
    "ReLU, 1/n": (1.0, relu, relu_derivative, 0),
    "ReLU, He": (he, relu, relu_derivative, 0),
    "ReLU, 2 x He": (2 * he, relu, relu_derivative, 0),
    "sigmoid, skip": (1.0, sigmoid, sigmoid_derivative, 1),
}
plt.figure(figsize=(7.4, 3.2), layout="constrained")
for name, (size, f, slope, skip) in cases.items():
    norms = [g.norm().item() for g in gradients(*start(30, size), f, slope, skip)]
    plt.semilogy(range(1, 31), norms, label=name)
    print(f"{name:14}  layer 1 {norms[0]:.0e}  layer 15 {norms[14]:.0e}"
          f"  layer 30 {norms[29]:.0e}")  # fmt: skip
plt.xlabel("layer")
plt.ylabel("length of the gradient")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
# --8<-- [end:thirty]

# --8<-- [start:branches]
def branches(s):
    """Each layer adds s times its branch to what entered it."""
    found = gradients(*start(30, he), lambda z: s * relu(z),
                      lambda z: s * relu_derivative(z), skip=1)  # fmt: skip
    first, last = found[0].norm(), found[-1].norm()
    print(f"s = {s:.2f}  layer 1 {first:.0e}  layer 30 {last:.0e}")


branches(1.0)
branches(1 / math.sqrt(30))
# --8<-- [end:branches]

# --8<-- [start:batch-norm]
def ratio(depth, normalize, n=64):
    """The length of the first layer's gradient, relative to the last one's."""
    torch.manual_seed(0)
    layers = []
    for _ in range(depth):
        layers.append(nn.Linear(n, n, bias=False))
        nn.init.kaiming_normal_(layers[-1].weight, nonlinearity="relu")
        layers += [nn.BatchNorm1d(n)] * normalize + [nn.ReLU()]
    model = nn.Sequential(*layers).double()
    h, target = torch.randn(2, 100, n, dtype=torch.float64)
    F.mse_loss(model(h), target).backward()
    lengths = [p.grad.norm().item() for p in model.parameters() if p.ndim == 2]
    return lengths[0] / lengths[-1]


grows = math.sqrt(math.pi / (math.pi - 1))
for depth in (30, 60):
    print(f"{depth} layers  without {ratio(depth, 0):.1f}  with {ratio(depth, 1):.1e}"
          f"  derived {grows ** (depth - 1):.1e}")  # fmt: skip
print(f"each layer by {grows:.4f}")
# --8<-- [end:batch-norm]

# --8<-- [start:time]
def through_time(kind, steps=50, forget=None):
    """How long the gradient of the last output is at the first and last step."""
    torch.manual_seed(0)
    model = kind(8, 32).double()
    if forget is not None:  # the second quarter of the biases is the forget gate's
        model.bias_ih_l0.data[32:64] = forget
    x = torch.randn(steps, 16, 8, dtype=torch.float64, requires_grad=True)
    model(x)[0][-1].square().sum().backward()
    lengths = x.grad.flatten(1).norm(dim=1)
    return f"step 1 {lengths[0]:.0e}  step 50 {lengths[-1]:.0e}"


print("RNN                   ", through_time(nn.RNN))
print("LSTM                  ", through_time(nn.LSTM))
print("LSTM, forget bias at 3", through_time(nn.LSTM, forget=3.0))
# --8<-- [end:time]

# --8<-- [start:clip]
w = torch.zeros(2, requires_grad=True)
for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
    w.grad = torch.tensor([1200.0, 1600.0])
    clip([w], 1.0)
    print(f"{clip.__name__:16}  {w.grad}  length {w.grad.norm():.3f}")
# --8<-- [end:clip]

# --8<-- [start:rmsprop]
torch.manual_seed(0)
layers = [m for _ in range(100) for m in (nn.Linear(32, 32), nn.Sigmoid())]
model = nn.Sequential(*layers)
before = model[0].weight.detach().clone()
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
model(torch.randn(4, 32)).square().mean().backward()
optimizer.step()
print("largest gradient of layer 1  ", model[0].weight.grad.abs().max().item())
print("how far RMSprop moved layer 1", (model[0].weight - before).abs().max().item())
# --8<-- [end:rmsprop]

# --8<-- [start:spike]
def moved(spike, limit=None):
    """One gradient `spike`, then 100 gradients 1: how far Adam moves with them."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=0.01)
    for step in range(101):
        w.grad = torch.full_like(w, spike if step == 0 else 1.0)
        if limit is not None:
            nn.utils.clip_grad_norm_([w], limit)
        optimizer.step()
        if step == 0:
            begin = w.item()
    return w.item() - begin


print(f"no spike         {moved(1.0):+.2f}")
print(f"spike            {moved(-1e6):+.2f}")
print(f"spike, clipped   {moved(-1e6, limit=1.0):+.2f}")
print(f"infinite         {moved(math.inf):+.2f}")
# --8<-- [end:spike]

# --8<-- [start:too-late]
def lengths_of_steps(where):
    w = torch.tensor([1000.0, 1000.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)
    w.grad = torch.tensor([1.0, 1.0])  # of an earlier batch
    optimizer.zero_grad()
    if where == "before backward":
        nn.utils.clip_grad_norm_([w], 1.0)
    w.square().sum().backward()
    if where == "between":
        nn.utils.clip_grad_norm_([w], 1.0)
    start = w.detach().clone()
    optimizer.step()
    if where == "after step":
        nn.utils.clip_grad_norm_([w], 1.0)
    return (w - start).norm().item()


for where in ("before backward", "between", "after step"):
    print(f"{where:16} step of length {lengths_of_steps(where):.0f}")
# --8<-- [end:too-late]

# --8<-- [start:exercise-underflow]
def layers_to_zero(factor):
    gradient, layers = torch.tensor(1.0), 0  # float32
    while gradient > 0:
        gradient, layers = gradient * factor, layers + 1
    return layers


for factor in (0.5, 0.25, 0.1):
    print(f"factor {factor}: 0 after {layers_to_zero(factor)} layers")
# --8<-- [end:exercise-underflow]

# --8<-- [start:exercise-size]
def size_for_gradients(slope):
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return 1 / torch.sqrt((slope(z) ** 2 * density).sum() * (z[1] - z[0])).item()


print(f"ReLU    {size_for_gradients(relu_derivative):.3f}")
print(f"sigmoid {size_for_gradients(sigmoid_derivative):.3f}")
# --8<-- [end:exercise-size]
