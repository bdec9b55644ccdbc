"""Convolution and pooling: the program of the page mathematics/convolution."""
# ruff: noqa: F401, the functions that the page includes use these names

# --8<-- [start:one]
import torch
from torch.nn import functional as F


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


x = tensor([1, 2, 3, 5, 4])  # n = 5
w = tensor([1, 0, -2])  # k = 3
y = torch.stack([(w * x[i : i + 3]).sum() for i in range(3)])
print("ours ", y.tolist())
print("torch", F.conv1d(x[None], w[None, None])[0].tolist())
# --8<-- [end:one]

# --8<-- [start:picture]
import matplotlib.pyplot as plt


def cells(ax, values, left, top, color="none"):
    for j, value in enumerate(values):
        box = plt.Rectangle((left + j, top), 1, 1, facecolor=color, edgecolor="gray")
        ax.add_patch(box)
        ax.text(left + j + 0.5, top + 0.5, f"{value:g}", ha="center", va="center")


fig, axes = plt.subplots(1, 3, figsize=(7, 2.2), layout="constrained")
for i, ax in enumerate(axes):
    cells(ax, x.tolist(), 0, 3)
    cells(ax, w.tolist(), i, 1.8, "#4c8bf540")
    cells(ax, y.tolist()[: i + 1], 1, 0)
    ax.annotate("", (i + 1.5, 1.05), (i + 1.5, 1.75), arrowprops={"arrowstyle": "->"})
    ax.text(-0.3, 3.5, "x", ha="right", va="center")
    ax.text(-0.3, 2.3, "w", ha="right", va="center")
    ax.text(-0.3, 0.5, "y", ha="right", va="center")
    ax.set(xlim=(-1, 5.2), ylim=(-0.2, 4.2), aspect="equal")
    ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:flip]
import numpy as np

print("conv1d      ", y.tolist())
print("correlate   ", np.correlate(x.numpy(), w.numpy()).tolist())
print("convolve    ", np.convolve(x.numpy(), w.numpy(), "valid").tolist())
print("flipped here", F.conv1d(x[None], w.flip(0)[None, None])[0].tolist())
# --8<-- [end:flip]

# --8<-- [start:matrix]
M = torch.zeros(3, 5, dtype=torch.float64)
for i in range(3):
    M[i, i : i + 3] = w
print(M.int().numpy())
print("M x =", (M @ x).tolist())
# --8<-- [end:matrix]

# --8<-- [start:backward]
g = tensor([1, 10, 100])  # what arrives: dL/dy
grad_b = g.sum()
grad_w = torch.stack([(g * x[a : a + 3]).sum() for a in range(3)])
grad_x = M.T @ g
padded = F.pad(g, (2, 2))  # 0 0 1 10 100 0 0
flipped = torch.stack([(w.flip(0) * padded[j : j + 3]).sum() for j in range(5)])
print("dL/db", grad_b.item())
print("dL/dw", grad_w.tolist())
print("dL/dx", grad_x.tolist())
print("again", flipped.tolist())
# --8<-- [end:backward]

# --8<-- [start:autograd]
leaves = [t.clone().requires_grad_() for t in (x, w, tensor([0]))]
out = F.conv1d(leaves[0][None], leaves[1][None, None], leaves[2])[0]
by_autograd = torch.autograd.grad(out, leaves, g)
for name, one, two in zip("xwb", by_autograd, (grad_x, grad_w, grad_b), strict=True):
    print(f"dL/d{name} equal: {torch.equal(one.flatten(), two.flatten())}")
# --8<-- [end:autograd]

# --8<-- [start:options]
fig, axes = plt.subplots(2, 2, figsize=(7, 2.6), layout="constrained")
choices = {"stride 2": (2, 0, 1), "padding 1": (1, 1, 1), "dilation 2": (1, 0, 2)}
choices = {"stride 1": (1, 0, 1), **choices}
for ax, (label, (s, p, d)) in zip(axes.flat, choices.items(), strict=True):
    out = (7 + 2 * p - 2 * d - 1) // s + 1
    for i in range(out):
        center = i * s - p + d
        for a in range(3):
            ax.plot([center, i * s - p + a * d], [1, 0], color="gray", linewidth=0.7)
        ax.plot(center, 1, "s", color="C0", markersize=7)
    ax.plot(range(7), [0] * 7, "s", color="C1", markersize=7)
    if p:
        ax.plot([-1, 7], [0, 0], "s", color="C1", markersize=7, fillstyle="none")
    ax.set_title(f"{label}: 7 to {out}", fontsize=9)
    ax.set(xlim=(-1.5, 7.5), ylim=(-0.4, 1.4))
    ax.axis("off")
plt.show()
# --8<-- [end:options]

# --8<-- [start:size]
from itertools import product


def size(n, k, s=1, p=0, d=1):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


agree = total = 0
for n, k, s, p, d in product(range(1, 12), range(1, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
    if size(n, k, s, p, d) >= 1:
        real = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), None, s, p, d)
        agree += real.shape[2] == size(n, k, s, p, d)
        total += 1
print(f"{agree} of {total} shapes as computed")
for options in ((28, 3), (28, 3, 1, 1), (28, 5, 2, 2), (28, 3, 1, 0, 2)):
    print(options, "->", size(*options))
# --8<-- [end:size]

# --8<-- [start:loop]
torch.manual_seed(0)
X = torch.randn(2, 3, 6, 7, dtype=torch.float64)  # N, C_in, H, W
K = torch.randn(4, 3, 3, 2, dtype=torch.float64)  # C_out, C_in, k_H, k_W
b = torch.randn(4, dtype=torch.float64)


def conv2d_loop(X, K, b):
    (n, _, h, wide), (o, _, kh, kw) = X.shape, K.shape
    Y = torch.empty(n, o, h - kh + 1, wide - kw + 1, dtype=X.dtype)
    for i in range(Y.shape[2]):
        for j in range(Y.shape[3]):
            seen = X[:, None, :, i : i + kh, j : j + kw]  # N, 1, C_in, k_H, k_W
            Y[:, :, i, j] = (seen * K).sum([2, 3, 4]) + b
    return Y


Y = conv2d_loop(X, K, b)
print(tuple(Y.shape), torch.allclose(Y, F.conv2d(X, K, b), rtol=1e-12))
# --8<-- [end:loop]

# --8<-- [start:groups]
from torch import nn

for groups in (1, 2, 4):
    layer = nn.Conv2d(4, 8, 3, groups=groups)
    print(f"groups {groups}: weight {tuple(layer.weight.shape)}", layer.weight.numel())
# --8<-- [end:groups]

# --8<-- [start:names]
from collections.abc import Sequence
from math import prod
from typing import Any

from dlguide.functional._pool import take
from dlguide.functional._spatial import Numbers, Sides, check_grad, output_size, pad
from dlguide.functional.windows import add_windows, windows
from torch import Tensor

# --8<-- [end:names]

# --8<-- [start:view]
numbers = torch.arange(10, 15)
seen = windows(numbers, [3])
print(seen)  # a window in each column
print("strides in memory", seen.stride())
print("same memory:", seen.data_ptr() == numbers.data_ptr())
print("added back:", add_windows(seen, [5]).tolist())
# --8<-- [end:view]

# --8<-- [start:compare]
from dlguide.functional.convolution import conv2d, conv2d_backward

options = {"stride": 2, "padding": (2, 1), "dilation": (1, 2)}
leaves = [t.clone().requires_grad_() for t in (X, K, b)]
out = F.conv2d(*leaves, **options)
G = torch.randn_like(out)
print("value", torch.allclose(conv2d(X, K, b, **options), out, rtol=1e-12))
ours = conv2d_backward(G, X, K, **options)
theirs = torch.autograd.grad(out, leaves, G)
for name, one, two in zip("XKb", ours, theirs, strict=True):
    print(f"dL/d{name}", torch.allclose(one, two, rtol=1e-10, atol=1e-12))
# --8<-- [end:compare]

# --8<-- [start:transposed]
from dlguide.functional.transposed_convolution import conv_transpose1d

z = tensor([1, 10, 100])
ours = conv_transpose1d(z[None], w[None, None])[0]
theirs = F.conv_transpose1d(z[None], w[None, None])[0]
print("M^T z    ", (M.T @ z).tolist())
print("ours     ", ours.tolist())
print("torch    ", theirs.tolist())
print("M M^T is no identity:")
print((M @ M.T).int().numpy())
# --8<-- [end:transposed]

# --8<-- [start:stride-matrix]
S = M[::2]  # stride 2 keeps every second row
print(S.int().numpy(), "maps 5 to 2")
print(S.T.int().numpy(), "maps 2 to 5")
small = torch.ones(1, 1, 4, dtype=torch.float64)
for k in (3, 4):
    spread = F.conv_transpose1d(small, torch.ones(1, 1, k).double(), stride=2)
    print(f"kernel {k}, stride 2:", spread[0, 0].int().tolist())
# --8<-- [end:stride-matrix]

# --8<-- [start:pool]
from dlguide.functional.average_pooling import avg_pool2d, avg_pool2d_backward
from dlguide.functional.lp_pooling import lp_pool2d, lp_pool2d_backward
from dlguide.functional.max_pooling import max_pool2d, max_pool2d_backward

window = tensor([[[3, 4], [0, 0]]])  # C = 1, 2 x 2
one = tensor([[[1]]])  # dL/dy = 1
print("max    ", max_pool2d(window, 2).item(), F.max_pool2d(window, 2).item())
print("average", avg_pool2d(window, 2).item(), F.avg_pool2d(window, 2).item())
print("L2     ", lp_pool2d(window, 2, 2).item(), F.lp_pool2d(window, 2, 2).item())
print("max:     1 goes to", max_pool2d_backward(one, window, 2).flatten().tolist())
print("average: 1 goes to", avg_pool2d_backward(one, window, 2).flatten().tolist())
parts = lp_pool2d_backward(one, window, 2, 2).flatten().tolist()
print("L2:      1 goes to", [round(v, 4) for v in parts])
# --8<-- [end:pool]

# --8<-- [start:ties]
values, places = max_pool2d(torch.ones(1, 2, 4), 2, return_indices=True)
print("places of the largest", places.flatten().tolist())
print(max_pool2d_backward(torch.ones(1, 1, 2), torch.ones(1, 2, 4), 2)[0].numpy())
row = tensor([[[1, 9, 2]]])  # the 9 wins in both windows
print(max_pool2d_backward(tensor([[[1, 10]]]), row, (1, 2), 1)[0].tolist())
# --8<-- [end:ties]

# --8<-- [start:adaptive]
from dlguide.functional.adaptive_average_pooling import adaptive_avg_pool1d

n, m = 5, 3
for i in range(m):
    first, end = i * n // m, -(-(i + 1) * n // m)
    print(f"window {i}: {first} to {end - 1}")
line = tensor([[1, 2, 3, 4, 5]])
print(adaptive_avg_pool1d(line, 3).tolist(), F.adaptive_avg_pool1d(line, 3).tolist())
# --8<-- [end:adaptive]

# --8<-- [start:steps]
torch.manual_seed(0)
steps = nn.Sequential(  # 1. draw weights and biases at random
    nn.Conv2d(1, 8, 3, padding=1),  # 2. convolve
    nn.ReLU(),  # 3. the non-linearity
    nn.MaxPool2d(2),  # 4. pool
    nn.Conv2d(8, 16, 3, padding=1),  # 5. again
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),  # 6. one row per picture, then a linear layer
    nn.Linear(16 * 7 * 7, 10),
)
pictures, labels = torch.rand(4, 1, 28, 28), torch.tensor([3, 1, 4, 1])
h = pictures
print(f"{'input':9}", tuple(h.shape))
for layer in steps:
    h = layer(h)
    count = sum(p.numel() for p in layer.parameters())
    print(f"{type(layer).__name__:9} {tuple(h.shape)!s:16} {count} parameters")
F.cross_entropy(h, labels).backward()  # 7. loss, gradients, and a step
torch.optim.SGD(steps.parameters(), lr=0.1).step()
# --8<-- [end:steps]

# --8<-- [start:relu]
first, second = nn.Conv1d(1, 1, 3, bias=False), nn.Conv1d(1, 1, 3, bias=False)
both = F.conv1d(first.weight, second.weight.flip(2), padding=2)  # one kernel of 5
signal = torch.randn(1, 1, 20)
with torch.no_grad():
    same = torch.allclose(second(first(signal)), F.conv1d(signal, both), atol=1e-6)
print("two convolutions without ReLU are one:", same)
# --8<-- [end:relu]

# --8<-- [start:blur]
from sklearn.datasets import load_digits

digit = torch.tensor(load_digits().images[0]).float()[None, None]  # (1, 1, 8, 8)
mean = torch.full((1, 1, 3, 3), 1 / 9)
edge = torch.tensor([[[[-1.0, 0.0, 1.0]]]])
blurred = conv2d(digit, mean, padding="same")
edges = conv2d(digit, edge, padding="same")
print("blurred, row 4:", blurred[0, 0, 4].numpy().round(2))
print("edges,   row 4:", edges[0, 0, 4].numpy())
fig, axes = plt.subplots(1, 3, figsize=(6, 2.2), layout="constrained")
for ax, image, label in zip(
    axes, (digit, blurred, edges), ("picture", "mean 3 x 3", "-1 0 1"), strict=True
):
    ax.imshow(image[0, 0].numpy(), cmap="gray")
    ax.set_title(label, fontsize=9)
    ax.axis("off")
plt.show()
# --8<-- [end:blur]

# --8<-- [start:counts]
layer = nn.Conv2d(64, 128, 3, padding=1)
print("parameters     ", sum(p.numel() for p in layer.parameters()))
print("multiplications", 128 * 56 * 56 * 64 * 3 * 3, "for one picture of 56 x 56")
print("a linear layer between the same maps:", (64 * 56 * 56) * (128 * 56 * 56))
# --8<-- [end:counts]

# --8<-- [start:field]
layers = [(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)]  # kernel, stride
field, jump = 1, 1
for k, s in layers:
    field += (k - 1) * jump  # each step of this kernel is `jump` pixels of the input
    jump *= s
pixels = torch.zeros(1, 1, 60, requires_grad=True)
h = pixels
for k, s in layers:
    h = F.conv1d(h, torch.ones(1, 1, k), stride=s)
h[0, 0, 5].backward()  # one output: which pixels does it depend on?
print("computed", field, " measured", int((pixels.grad != 0).sum()))
# --8<-- [end:field]

# --8<-- [start:wrong-flatten]
broken = nn.Sequential(
    nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(9216, 10),
)  # fmt: skip
try:
    broken(torch.rand(4, 1, 28, 28))
except RuntimeError as error:
    print(error)
print("right:", broken[:-1](torch.rand(1, 1, 28, 28)).shape[1])
# --8<-- [end:wrong-flatten]

# --8<-- [start:wrong-layout]
photo = torch.rand(1, 32, 32, 3)  # N, H, W, C, as files and NumPy have it
try:
    conv2d(photo, torch.rand(8, 3, 3, 3))
except RuntimeError as error:
    print(error)
print(tuple(conv2d(photo.movedim(-1, -3), torch.rand(8, 3, 3, 3)).shape))
# --8<-- [end:wrong-layout]

# --8<-- [start:wrong-kernel]
try:
    conv2d(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 5, 5))
except RuntimeError as error:
    print(error)
deep = torch.rand(1, 1, 28, 28)
for _ in range(13):
    deep = conv2d(deep, torch.rand(1, 1, 3, 3))  # padding forgotten
print("after 13 convolutions without padding:", tuple(deep.shape))
# --8<-- [end:wrong-kernel]

# --8<-- [start:wrong-inverse]
down, up = nn.Conv2d(1, 1, 3, stride=2), nn.ConvTranspose2d(1, 1, 3, stride=2)
even = torch.rand(1, 1, 8, 8)
print("8 ->", down(even).shape[2], "->", up(down(even)).shape[2])
print("8 ->", down(even).shape[2], "->", up(down(even), output_size=[8, 8]).shape[2])
# --8<-- [end:wrong-inverse]


# --8<-- [start:exercise-input]
def gradient_of_input(g, w):
    """dL/dx of conv1d without padding, by conv1d itself: g (n - k + 1), w (k)."""
    k = len(w)
    return F.conv1d(g[None], w.flip(0)[None, None], padding=k - 1)[0]


print(gradient_of_input(g, w).tolist())
# --8<-- [end:exercise-input]


# --8<-- [start:exercise-blur]
def blur(pictures, k):
    """Mean of k x k pixels, each channel by itself, the size kept: (N, C, H, W)."""
    channels = pictures.shape[1]
    kernel = pictures.new_full((channels, 1, k, k), 1 / k**2)
    return F.conv2d(pictures, kernel, padding=k // 2, groups=channels)


colors = torch.arange(27.0).reshape(1, 3, 3, 3)
print(blur(colors, 3)[0, :, 1, 1].numpy().round(3))  # the mean of each channel
# --8<-- [end:exercise-blur]
