"""Paths, Jacobians and products with them: the program of mathematics/chain-rule."""

# --8<-- [start:one-path]
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


x = tensor(2).requires_grad_()
u = 1 + x**2
y = torch.log(u)
(auto,) = torch.autograd.grad(y, x)
dy_du, du_dx = 1 / u.item(), 2 * x.item()
print(f"u = {u.item():.0f}   dy/du = {dy_du:.1f}   du/dx = {du_dx:.0f}")
print(f"dy/dx by hand {dy_du * du_dx:.1f}, autograd {auto.item():.1f}")
# --8<-- [end:one-path]

# --8<-- [start:two-paths]
u, v = x**2, 3 * x
y = u * v
(auto,) = torch.autograd.grad(y, x)
by_u = v.item() * 2 * x.item()  # dy/du * du/dx
by_v = u.item() * 3  # dy/dv * dv/dx
print(f"by u {by_u:.0f} + by v {by_v:.0f} = {by_u + by_v:.0f}, autograd {auto:.0f}")
# --8<-- [end:two-paths]

# --8<-- [start:paths]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
nodes = {"x = 2": (0, 1), "u = 4": (2, 1.8), "v = 6": (2, 0.2), "y = 24": (4, 1)}
for text, (right, up) in nodes.items():
    frame = {"boxstyle": "round,pad=0.4", "facecolor": "none"}
    ax.text(right, up, text, ha="center", va="center", bbox=frame)
arrow = {"arrowstyle": "->", "shrinkA": 24, "shrinkB": 24}
edges = [
    ("x = 2", "u = 4", "2x = 4", (0.85, 1.55)),
    ("x = 2", "v = 6", "3", (0.85, 0.45)),
    ("u = 4", "y = 24", "v = 6", (3.15, 1.55)),
    ("v = 6", "y = 24", "u = 4", (3.15, 0.45)),
]
for start, end, slope, place in edges:
    ax.annotate("", nodes[end], nodes[start], arrowprops=arrow)
    ax.text(*place, slope, ha="center", va="center", color="C1")
ax.text(2, 1, "4 · 6 + 3 · 4 = 36", ha="center", va="center", color="C1")
ax.set(xlim=(-0.6, 4.6), ylim=(-0.1, 2.1))
ax.axis("off")
plt.show()
# --8<-- [end:paths]


# --8<-- [start:jacobians]
def g(x):
    return torch.stack([x[0] + x[1], x[1] * x[2]])


def f(u):
    return torch.stack([u[0] * u[1], u[0] ** 2, u[1]])


x = tensor([1, 2, 3])
u = g(x)
y = f(u)
J_g = tensor([[1, 1, 0], [0, 3, 2]])  # [[1, 1, 0], [0, x_3, x_2]]
J_f = tensor([[6, 3], [6, 0], [0, 1]])  # [[u_2, u_1], [2 u_1, 0], [0, 1]]
print("u", u.tolist(), "  y", y.tolist())
print("J_g right:", torch.equal(J_g, jacobian(g, x)))
print("J_f right:", torch.equal(J_f, jacobian(f, u)))
J = J_f @ J_g  # (3, 2) @ (2, 3) -> (3, 3)
print(J)
print("J right:  ", torch.equal(J, jacobian(lambda x: f(g(x)), x)))
# --8<-- [end:jacobians]

# --8<-- [start:three-kinds]
z, W = tensor([1, 2, 3]), tensor([[0.1, 0.2, -0.1], [-0.2, 0.1, 0.1]])
p = torch.softmax(z, 0)
kinds = {
    "tanh": (torch.tanh, torch.diag(1 - torch.tanh(z) ** 2)),
    "linear": (lambda z: W @ z, W),
    "softmax": (lambda z: torch.softmax(z, 0), torch.diag(p) - torch.outer(p, p)),
}
for name, (function, by_hand) in kinds.items():
    by_torch = jacobian(function, z)
    close = torch.allclose(by_hand, by_torch, rtol=1e-12, atol=1e-15)
    print(f"{name:8}", tuple(by_hand.shape), close)
print((torch.diag(p) - torch.outer(p, p)).numpy().round(4))
# --8<-- [end:three-kinds]

# --8<-- [start:vjp]
v = tensor([1, 2, -1])
at_u = J_f.T @ v  # back through f: (2, 3) @ (3,) -> (2,)
at_x = J_g.T @ at_u  # back through g: (3, 2) @ (2,) -> (3,)
print("at u", at_u.tolist(), "  at x", at_x.tolist())
print("v @ J        ", (v @ J).tolist())

output, pull_back = torch.func.vjp(lambda x: f(g(x)), x)
print("torch.func   ", pull_back(v)[0].tolist())
leaf = x.clone().requires_grad_()
f(g(leaf)).backward(v)
print("backward(v)  ", leaf.grad.tolist())
# --8<-- [end:vjp]


# --8<-- [start:vjp-rules]
def tanh_vjp(v, z):
    return v * (1 - torch.tanh(z) ** 2)


def linear_vjp(v, W):
    return W.T @ v


def softmax_vjp(v, z):
    p = torch.softmax(z, 0)
    return p * (v - v @ p)


w = tensor([1, -1])
results = {
    "tanh": (tanh_vjp(v, z), torch.func.vjp(torch.tanh, z)[1](v)[0]),
    "linear": (linear_vjp(w, W), torch.func.vjp(lambda z: W @ z, z)[1](w)[0]),
    "softmax": (softmax_vjp(v, z), v @ kinds["softmax"][1]),
}
for name, (ours, expected) in results.items():
    print(f"{name:8}", torch.allclose(ours, expected, rtol=1e-12))

many = torch.randn(5000, dtype=torch.float64)
print(len(softmax_vjp(many, many)), "numbers instead of", f"{5000**2:,}")
# --8<-- [end:vjp-rules]

# --8<-- [start:package]
from dlguide.functional.linear import linear_backward
from dlguide.functional.softmax import softmax_backward

print(torch.allclose(softmax_backward(v, z, dim=0)[0], softmax_vjp(v, z)))
print(torch.allclose(linear_backward(w, z, W)[0], linear_vjp(w, W)))
# --8<-- [end:package]


# --8<-- [start:jvp]
def jvp(function, x, d):
    """J d by two vector-Jacobian products."""
    v = torch.zeros_like(function(x), requires_grad=True)
    x = x.clone().requires_grad_()
    (pulled,) = torch.autograd.grad(function(x), x, v, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled @ d, v)
    return pushed


d = tensor([1, 0, -1])
print("J @ d      ", (J @ d).tolist())
print("two vjps   ", jvp(lambda x: f(g(x)), x, d).tolist())
h = 1e-6
moved = (f(g(x + h * d)) - f(g(x - h * d))) / (2 * h)
print("differences", [round(value, 4) + 0.0 for value in moved.tolist()])
# --8<-- [end:jvp]

# --8<-- [start:order]
from itertools import pairwise, permutations

torch.manual_seed(0)
J1, J2, J3 = torch.randn(3, 3, 3, dtype=torch.float64)
leaf = torch.zeros(3, dtype=torch.float64, requires_grad=True)
(right,) = torch.autograd.grad(J3 @ (J2 @ (J1 @ leaf)), leaf, v)
factors = {"J1": J1.T, "J2": J2.T, "J3": J3.T}
for order in permutations(factors):
    a, b, c = (factors[name] for name in order)
    text = " ".join(f"{name}ᵀ" for name in order)
    print(text, "v  is the gradient:", torch.allclose(a @ b @ c @ v, right))
# --8<-- [end:order]

# --8<-- [start:cost]
from torch.utils.flop_counter import FlopCounterMode


def multiplications(compute):
    """How many multiplications the matrix products of `compute` need, counted."""
    with FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops() // 2  # it counts additions, too


widths = [784, 128, 128, 10, 1]  # the loss is the last function, with one output
matrices = [torch.randn(m, n).double() for n, m in pairwise(widths)]


def from_the_output():
    product = torch.eye(widths[-1]).double()
    for A in reversed(matrices):
        product = product @ A
    return product


def from_the_input():
    product = torch.eye(widths[0]).double()
    for A in matrices:
        product = A @ product
    return product


print(f"from the output: {multiplications(from_the_output):>10,}")
print(f"from the input:  {multiplications(from_the_input):>10,}")
print("same Jacobian:", torch.allclose(from_the_output(), from_the_input()))
# --8<-- [end:cost]

# --8<-- [start:cost-network]
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
inputs = torch.rand(1, 784)
targets = torch.tensor([3])
there = multiplications(lambda: model(inputs))
loss = nn.functional.cross_entropy(model(inputs), targets)
back = multiplications(loss.backward)
count = sum(parameter.numel() for parameter in model.parameters())
print(f"forward {there:,}   backward {back:,}   for {count:,} gradients")
print(f"by finite differences: {2 * count * there:,}")
# --8<-- [end:cost-network]

# --8<-- [start:flow]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
boxes = {
    "batch": (0.2, 1),
    "forward:\nnote each operation": (2.2, 1),
    "loss:\none number": (4.6, 1),
    "zero_grad():\nclear .grad": (6.8, 1),
    "backward():\na VJP per operation": (6.8, -0.6),
    "add to .grad\nof each parameter": (4.5, -0.6),
    "step():\nnew parameters": (2.2, -0.6),
}
for text, (right, up) in boxes.items():
    frame = {"boxstyle": "round,pad=0.45", "facecolor": "none"}
    ax.text(right, up, text, ha="center", va="center", bbox=frame, size="small")
for start, end in [
    ((0.55, 1), (1.36, 1)),
    ((3.04, 1), (4.04, 1)),
    ((5.16, 1), (6.24, 1)),
    ((6.8, 0.65), (6.8, -0.25)),
    ((5.95, -0.6), (5.3, -0.6)),
    ((3.7, -0.6), (2.92, -0.6)),
    ((2.2, -0.25), (2.2, 0.65)),
]:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "linewidth": 1.5})
ax.text(2.05, 0.2, "next batch", ha="right", va="center", size="small")
ax.set(xlim=(-0.3, 7.8), ylim=(-1.1, 1.5))
ax.axis("off")
plt.show()
# --8<-- [end:flow]

# --8<-- [start:double]
x1 = tensor(1).requires_grad_()
s = torch.sigmoid(x1)
(first,) = torch.autograd.grad(s, x1, create_graph=True)
(second,) = torch.autograd.grad(first, x1)
s = s.item()
print(f"first   by hand {s * (1 - s):.6f}, autograd {first.item():.6f}")
by_hand = s * (1 - s) * (1 - 2 * s)
print(f"second  by hand {by_hand:.6f}, autograd {second.item():.6f}")
# --8<-- [end:double]

# --8<-- [start:wrong-point]
a = 2.0
print(f"slope of ln at u = 5: {1 / (1 + a**2) * 2 * a:.1f}")
print(f"slope of ln at x = 2: {1 / a * 2 * a:.1f}, wrong")
# --8<-- [end:wrong-point]

# --8<-- [start:forgotten-path]
leaf = tensor(2).requires_grad_()
(wrong,) = torch.autograd.grad(leaf**2 * (3 * leaf).detach(), leaf)
print(f"the path by v is cut: {wrong:.0f} instead of 36")
# --8<-- [end:forgotten-path]

# --8<-- [start:softmax-diagonal]
diagonal = v * p * (1 - p)
print("only the diagonal", [round(value, 4) for value in diagonal.tolist()])
print("the whole matrix ", [round(value, 4) for value in softmax_vjp(v, z).tolist()])
# --8<-- [end:softmax-diagonal]


# --8<-- [start:exercise-normalize]
def normalize_vjp(v, x):
    """The vector-Jacobian product of y = x / |x|."""
    length = x.norm()
    y = x / length
    return (v - y * (y @ v)) / length


expected = torch.func.vjp(lambda x: x / x.norm(), x)[1](v)[0]
print(normalize_vjp(v, x).numpy().round(6))
print(torch.allclose(normalize_vjp(v, x), expected, rtol=1e-12))
# --8<-- [end:exercise-normalize]


# --8<-- [start:exercise-rows]
def jacobian_by_rows(function, x):
    """The whole Jacobian from one vjp per output."""
    y, pull_back = torch.func.vjp(function, x)
    rows = [pull_back(unit)[0] for unit in torch.eye(len(y), dtype=y.dtype)]
    return torch.stack(rows)


print(jacobian_by_rows(g, x))
# --8<-- [end:exercise-rows]
