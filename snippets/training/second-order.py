"""The program of training/second-order: Newton, L-BFGS, Muon."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt
import torch
from torch import Tensor

torch.set_printoptions(precision=4, sci_mode=False)


def array(rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


A, b = array([[2, 1], [1, 3]]), array([1, 2])  # L = 1/2 w·Aw - b·w


def quadratic(w: Tensor) -> Tensor:
    return w @ A @ w / 2 - b @ w


def level_lines(ax, loss, xs, ys, levels):
    grid = torch.cartesian_prod(torch.linspace(*xs, 41), torch.linspace(*ys, 41))
    heights = torch.stack([loss(w) for w in grid.double()]).reshape(41, 41).T
    x, y = (torch.linspace(*ends, 41) for ends in (xs, ys))
    ax.set_aspect("equal")
    ax.contour(x, y, heights, levels, colors="gray", linewidths=0.5)


fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
level_lines(ax, quadratic, (-1.2, 1.2), (-0.2, 1.4), [-0.69, -0.6, -0.3, 0.2, 1])
w = array([-0.8, 0.1])
g = A @ w - b
newton = -torch.linalg.solve(A, g)
for d, color, label in [(-0.3 * g, "C1", "gradient"), (newton, "C0", "Newton")]:
    arrow = {"arrowstyle": "->", "color": color, "lw": 2}
    ax.annotate("", (w + d).tolist(), w.tolist(), arrowprops=arrow)
    ax.plot([], [], color=color, label=label)
ax.legend(loc="lower right")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:newton]
from torch.autograd.functional import hessian, jacobian

w = torch.zeros(2, dtype=torch.float64)
g = jacobian(quadratic, w)
H = hessian(quadratic, w)
print("gradient", g, " Hessian", H.tolist())
print("inverse", torch.linalg.inv(H).tolist())
w = w - torch.linalg.solve(H, g)  # never the inverse: solve H d = g
print("after one step", w, " gradient 0:", bool((A @ w - b).abs().max() < 1e-12))
# --8<-- [end:newton]

# --8<-- [start:newton-steps]
import math


def newton_steps(f, x, steps):
    path = [x]
    for _ in range(steps):
        x = path[-1]
        d = torch.linalg.solve(hessian(f, x), jacobian(f, x))
        path.append(x - d)
    return path


def soft(x):  # smooth, convex, not quadratic
    return (x[0].exp() - 2 * x[0]) + x[1] ** 2


for x in newton_steps(soft, array([1.5, 1]), 4):
    print(f"distance {abs(x[0].item() - math.log(2)):.0e}")
# --8<-- [end:newton-steps]

# --8<-- [start:size]
from dlguide.models import MLP

for hidden in ((32,), (64, 64), (1024, 1024)):
    n = sum(p.numel() for p in MLP(64, hidden=hidden).parameters())
    print(f"{n:>9,} parameters: {n * n:>20,} second derivatives")
# --8<-- [end:size]

# --8<-- [start:saddle]
def two_valleys(w: Tensor) -> Tensor:
    """Lowest at (0, 1) and (0, -1), a saddle at (0, 0)."""
    return w[0] ** 2 / 2 - w[1] ** 2 / 2 + w[1] ** 4 / 4


start = array([1.0, 0.3])
newton_path = newton_steps(two_valleys, start, 6)
descent = [start]
for _ in range(30):
    descent.append(descent[-1] - 0.3 * jacobian(two_valleys, descent[-1]))
for name, path in (("Newton", newton_path), ("descent", descent)):
    print(f"{name:8} loss {two_valleys(path[-1]).item() + 0.0:.4f}", path[-1])
print("eigenvalues at the end:", end=" ")
for path in (newton_path, descent):
    H = hessian(two_valleys, path[-1])
    print(torch.linalg.eigvalsh(H).numpy().round(2), end=" ")
print()
# --8<-- [end:saddle]

# --8<-- [start:saddle-picture]
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
lines = [-0.2, -0.1, -0.02, 0.0, 0.05, 0.2, 0.5]
level_lines(ax, two_valleys, (-0.4, 1.2), (-0.3, 1.3), lines)
for path, style, name in ((newton_path, "o-", "Newton"), (descent, ".--", "descent")):
    ax.plot(*zip(*[w.tolist() for w in path], strict=True), style, label=name)
ax.legend(loc="upper right")
plt.show()
# --8<-- [end:saddle-picture]

# --8<-- [start:gauss-newton]
def residuals(w: Tensor) -> Tensor:
    """Rosenbrock's function as a sum of squares."""
    return torch.stack([1 - w[0], 10 * (w[1] - w[0] ** 2)])


def rosenbrock(w: Tensor) -> Tensor:
    return (residuals(w) ** 2).sum() / 2


w = array([0.0, 1.0])
J = jacobian(residuals, w)
full = hessian(rosenbrock, w)
print("Hessian     ", torch.linalg.eigvalsh(full))
print("Gauss-Newton", torch.linalg.eigvalsh(J.T @ J))
# --8<-- [end:gauss-newton]

# --8<-- [start:bfgs]
def update(H: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """A new inverse Hessian that knows the step s and its change of gradient y."""
    rho = 1 / (y @ s)
    left = torch.eye(len(s), dtype=s.dtype) - rho * torch.outer(s, y)
    return left @ H @ left.T + rho * torch.outer(s, s)


s = array([1, 0])
y = A @ s  # the gradient of the quadratic changes by this
H = update(torch.eye(2, dtype=torch.float64), s, y)
print("y", y, " H", H.tolist(), " H y", H @ y)
# --8<-- [end:bfgs]

# --8<-- [start:two-loops]
from typing import Any

from dlguide.optim.lbfgs import _direction, _remember  # the functions below

torch.manual_seed(0)
root = torch.randn(6, 6, dtype=torch.float64)
curvature = root @ root.T + torch.eye(6, dtype=torch.float64)
state: dict[str, Any] = {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
for s in torch.randn(4, 6, dtype=torch.float64):
    _remember(state, s, curvature @ s, history_size=10)
g = torch.randn(6, dtype=torch.float64)

H = state["H_diag"] * torch.eye(6, dtype=torch.float64)
for s, y in zip(state["old_stps"], state["old_dirs"], strict=True):
    H = update(H, s, y)
print("equal", torch.allclose(_direction(g, state), -H @ g, rtol=1e-12))
# --8<-- [end:two-loops]

# --8<-- [start:point]
from collections.abc import Callable
from typing import NamedTuple


class Point(NamedTuple):  # as in dlguide.optim._line_search
    t: float  # how far along d
    f: float  # the loss there
    g: Tensor  # its gradient
    slope: Tensor  # its slope along d


At = Callable[[float], Point]  # evaluates the loss at w + t d
# --8<-- [end:point]

# --8<-- [start:search]
from dlguide.optim._line_search import _lowest, strong_wolfe


def at(t: float) -> Point:
    slope = array(2 * (t - 3))
    return Point(t, (t - 3) ** 2, slope.reshape(1), slope)


print("lowest of the cubic", _lowest(at(0.0), at(10.0), 0.0, 10.0))
for first in (1.0, 10.0):
    found, calls = strong_wolfe(at, at(0.0), first, size=1.0, most=25)
    print(f"first {first:g}: takes {found.t:g} after {calls} evaluations")
# --8<-- [end:search]

# --8<-- [start:prepare]
from dlguide import optim

w = array([-1.5, 2.0])
self = optim.LBFGS([w])  # for its helpers _move and _along
group, state = {"line_search_fn": "strong_wolfe"}, {"n_iter": 0}
lr, max_iter, max_eval, small_change, history_size = 1.0, 40, 100, 1e-9, 10
evaluations = 1


def evaluate():
    return rosenbrock(w).item(), jacobian(rosenbrock, w)


loss, g = evaluate()
# --8<-- [end:prepare]

# --8<-- [start:finished]
print(f"{n - 1} steps, loss below 1e-8: {loss < 1e-8}, w", w)
# --8<-- [end:finished]

# --8<-- [start:race]
def race(kind, calls, **options):
    """The loss at each call of the closure, from (-1.5, 2)."""
    w = array([-1.5, 2.0]).requires_grad_()
    optimizer = kind([w], **options)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        losses.append(loss.item())
        return loss

    while len(losses) < calls and (not losses or losses[-1] > 1e-12):
        optimizer.step(closure)
    return losses


runs = {
    "LBFGS": race(optim.LBFGS, 100, line_search_fn="strong_wolfe"),
    "Adam": race(torch.optim.Adam, 800, lr=0.1),
    "SGD, momentum": race(torch.optim.SGD, 800, lr=5e-4, momentum=0.9),
    "SGD": race(torch.optim.SGD, 800, lr=1e-3),
}
for name, losses in runs.items():
    needed = next((i for i, loss in enumerate(losses) if loss < 1e-4), "more than 800")
    print(f"{name:14} below 0.0001 after {needed} evaluations")
# --8<-- [end:race]

# --8<-- [start:race-picture]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for style, (name, losses) in zip(("-", "--", "-.", ":"), runs.items(), strict=True):
    places = range(0, len(losses), max(1, len(losses) // 100))
    ax.plot([i + 1 for i in places], [losses[i] for i in places], style, label=name)
ax.set(xscale="log", yscale="log", xlabel="evaluations", ylabel="loss")
ax.set_ylim(1e-8, 1e3)
ax.legend(loc="lower left")
plt.show()
# --8<-- [end:race-picture]

# --8<-- [start:singular]
torch.manual_seed(0)
left, _ = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))
right, _ = torch.linalg.qr(torch.randn(16, 12, dtype=torch.float64))
sizes = torch.logspace(0, -3, 12, dtype=torch.float64)
G = left @ torch.diag(sizes) @ right.T  # few directions dominate


def newton_schulz(x: Tensor, steps: int, abc=(3.4445, -4.7750, 2.0315)) -> Tensor:
    a, b, c = abc
    x = x / x.norm()
    for _ in range(steps):
        s = x @ x.T
        x = a * x + b * s @ x + c * s @ s @ x
    return x


print("before ", torch.linalg.svdvals(G / G.norm()).numpy().round(3)[::3])
after = newton_schulz(G, 5)
print("after 5", torch.linalg.svdvals(after).numpy().round(3)[::3])
U, _, Vh = torch.linalg.svd(after, full_matrices=False)
U0, _, Vh0 = torch.linalg.svd(G, full_matrices=False)
print("same singular vectors:", torch.allclose(U @ Vh, U0 @ Vh0, atol=1e-8))
# --8<-- [end:singular]

# --8<-- [start:singular-picture]
x = torch.linspace(0, 1, 101, dtype=torch.float64)
fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
y = x
styles = {1: ":", 3: "--", 5: "-"}
for steps in range(1, 6):
    y = 3.4445 * y - 4.7750 * y**3 + 2.0315 * y**5
    if steps in styles:
        axes[0].plot(x, y, styles[steps], label=steps)
axes[0].axhline(1, color="gray", lw=0.5)
axes[0].set(xlabel="before", ylabel="after", ylim=(0, 1.3))
axes[0].legend(title="steps")
for steps, marker in ((0, "o"), (1, "v"), (3, "s"), (5, "D")):
    values = torch.linalg.svdvals(newton_schulz(G, steps))
    axes[1].plot(range(1, 13), values, marker, markersize=4, label=steps)
axes[1].set(xlabel="number", ylabel="singular value", yscale="log")
axes[1].legend(title="steps")
plt.show()
# --8<-- [end:singular-picture]

# --8<-- [start:hand]
from dlguide.optim.muon import COEFFICIENTS, _orthogonal  # the function above

x = torch.diag(array([3.0, 4.0]))
print(f"0.6^3 {0.6**3:.3f}  0.6^5 {0.6**5:.5f}")
print("one step", newton_schulz(x, 1).diagonal())
print("five    ", newton_schulz(x, 5).diagonal())
half = _orthogonal(x, COEFFICIENTS, 5, 1e-7)
print("bfloat16", half.diagonal())
# --8<-- [end:hand]

# --8<-- [start:scales]
print("  n x m     original  match_rms_adamw  spectral_unclamped")
for n, m in [(64, 64), (256, 64), (64, 256)]:
    sizes = []
    for scale in ("original", "match_rms_adamw", "spectral_unclamped"):
        w = torch.zeros(n, m, requires_grad=True)
        torch.manual_seed(0)
        w.grad = torch.randn(n, m)
        optim.Muon([w], lr=1.0, weight_decay=0, adjust_lr_fn=scale).step()
        sizes.append((w.detach() ** 2).mean().sqrt().item())
    print(f"{n:3} x {m:3}  {sizes[0]:8.2f}  {sizes[1]:15.2f}  {sizes[2]:18.2f}")
# --8<-- [end:scales]

# --8<-- [start:refused]
from torch import nn

model = MLP(64, hidden=(64, 64))
try:
    torch.optim.Muon(model.parameters())
except ValueError as error:
    print(error)
# --8<-- [end:refused]

# --8<-- [start:split]
class Several:
    """Two optimizers with the calls of one."""

    def __init__(self, *optimizers):
        self.optimizers = optimizers

    def zero_grad(self):
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()


def muon_and_adamw(model, lr, library=torch.optim):
    """Muon for the matrices between input and output, AdamW for the rest."""
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    hidden = [m.weight for m in linear[:-1]]  # not the head
    known = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in known]
    return Several(library.Muon(hidden, lr=lr), library.AdamW(rest, lr=0.01))


both = muon_and_adamw(model, 0.02)
for optimizer in both.optimizers:
    shapes = [list(p.shape) for p in optimizer.param_groups[0]["params"]]
    print(type(optimizer).__name__, *shapes)
# --8<-- [end:split]

# --8<-- [start:compare]
import torch.nn.functional as F
from dlguide.data import load

digits = load("digits")
images, labels = digits.train.tensors
images = images.flatten(1).double()
test_images, test_labels = digits.test.tensors
test_images = test_images.flatten(1).double()


def run(make, lr, seed, steps=100):
    """Training loss every 10 steps, and the share of test pictures that is right."""
    torch.manual_seed(seed)
    model = MLP(64, hidden=(64, 64)).double()
    optimizer = make(model, lr)
    generator = torch.Generator().manual_seed(seed)
    curve = []
    for step in range(steps + 1):
        if step % 10 == 0:
            with torch.no_grad():
                curve.append(F.cross_entropy(model(images), labels).item())
        rows = torch.randint(len(images), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        right = (model(test_images).argmax(1) == test_labels).float().mean().item()
    return torch.tensor(curve), right


def adamw(model, lr):
    return torch.optim.AdamW(model.parameters(), lr=lr)


curves, shares = {}, {}
for name, make in (("AdamW", adamw), ("Muon + AdamW", muon_and_adamw)):
    for lr in (0.003, 0.01, 0.02, 0.03):
        results = [run(make, lr, seed) for seed in (0, 1)]
        curves[name, lr] = torch.stack([curve for curve, _ in results]).mean(0)
        shares[name] = max(shares.get(name, 0), sum(right for _, right in results) / 2)
        print(f"{name:12} lr {lr:<5}", end="  ")
        print(f"training loss {curves[name, lr][-1].item():.2f}")
difference = shares["Muon + AdamW"] - shares["AdamW"]
print("best shares of right pictures within 0.03:", abs(difference) < 0.03)
# --8<-- [end:compare]

# --8<-- [start:compare-picture]
fig, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
for name, style in (("AdamW", "--"), ("Muon + AdamW", "-")):
    ax.plot(range(0, 101, 10), curves[name, 0.02], style, label=f"{name}, lr 0.02")
ax.set(xlabel="step", ylabel="training loss", ylim=(0, 2.5))
ax.legend()
plt.show()
# --8<-- [end:compare-picture]

# --8<-- [start:state]
def count(value):
    """How many numbers a state holds, single ones left out."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(count, value))
    return value.numel() if isinstance(value, Tensor) and value.ndim else 0


def numbers_kept(kind, **options):
    torch.manual_seed(0)
    w = torch.randn(40, 25, dtype=torch.float64, requires_grad=True)
    optimizer = kind([w], lr=0.1, **options)

    def closure():
        optimizer.zero_grad()
        loss = (torch.arange(1, 26) * w**2).sum() + (w**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return count(optimizer.state[w]) // w.numel()


for kind, options in (
    (optim.SGD, {"momentum": 0.9}), (optim.Muon, {}), (optim.AdamW, {}),
    (optim.LBFGS, {"history_size": 10, "max_iter": 30}),
):  # fmt: skip
    print(f"{kind.__name__:6}", numbers_kept(kind, **options), "per parameter", options)
# --8<-- [end:state]

# --8<-- [start:closure]
w = array([-1.5, 2.0]).requires_grad_()
optimizer = torch.optim.LBFGS([w])
rosenbrock(w).backward()
try:
    optimizer.step()
except TypeError as error:
    print(str(error).split(".")[-1])
# --8<-- [end:closure]

# --8<-- [start:stuck]
ends = []
for max_eval in (None, 20):
    w = array([-1.5, 2.0]).requires_grad_()
    options = {"line_search_fn": "strong_wolfe", "max_iter": 1, "max_eval": max_eval}
    optimizer = torch.optim.LBFGS([w], **options)

    def closure(w=w, optimizer=optimizer):
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    for _ in range(30):
        optimizer.step(closure)
    print(f"max_eval {max_eval}: w", w.detach().numpy().round(2))
    ends.append(w.tolist())
# --8<-- [end:stuck]

# --8<-- [start:batches]
from itertools import pairwise

x = images


def gradient(weight, rows):
    """Loss and gradient of softmax regression on some of the pictures."""
    weight = weight.detach().requires_grad_()
    loss = F.cross_entropy(x[rows] @ weight.T, labels[rows])
    return loss, torch.autograd.grad(loss, weight)[0]


def lbfgs(batch, steps=30):
    """The loss of all data, and by how much the batches misjudge the curvature."""
    weight = torch.zeros(10, 64, dtype=torch.float64, requires_grad=True)
    optimizer = optim.LBFGS([weight], max_iter=1, lr=0.5)
    generator = torch.Generator().manual_seed(0)
    seen = []  # where, the gradient of the batch, the gradient of all data
    for _ in range(steps):
        rows = torch.randperm(len(x), generator=generator)[:batch]

        def closure(rows=rows):
            loss, weight.grad = gradient(weight, rows)
            return loss

        place = weight.detach().clone()
        optimizer.step(closure)
        seen.append((place, weight.grad, gradient(place, slice(None))[1]))
    ratios = []
    for (w0, g0, all0), (w1, g1, all1) in pairwise(seen):
        s = w1 - w0
        ratios.append((((g1 - g0) * s).sum() / ((all1 - all0) * s).sum()).item())
    return gradient(weight, slice(None))[0].item(), min(ratios), max(ratios)


for batch in (len(x), 64, 8):
    end, low, high = lbfgs(batch)
    print(f"batches of {batch:4}: loss {end:6.2f}  y·s over the true one: ", end="")
    print(f"{low:.0f} to {high:.0f}")
# --8<-- [end:batches]

# --8<-- [start:exercise-saddle]
def saddle_free(g, H):
    """Newton's step with the sizes of the curvatures, without their signs."""
    values, vectors = torch.linalg.eigh(H)
    return -vectors @ ((vectors.T @ g) / values.abs())


w = array([1.0, 0.3])
for _ in range(8):
    w = w + saddle_free(jacobian(two_valleys, w), hessian(two_valleys, w))
print(w, f"loss {two_valleys(w).item():.4f}")
# --8<-- [end:exercise-saddle]


# --8<-- [start:exercise-classic]
def orthogonalize(x, steps):
    x = x / x.norm()
    for _ in range(steps):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


for steps in (5, 10, 20, 30):
    values = torch.linalg.svdvals(orthogonalize(G, steps))
    print(f"{steps:2} steps: {values.min().item():.3f} to {values.max().item():.3f}")
# --8<-- [end:exercise-classic]


# --8<-- [start:exercise-names]
def names_for_muon(model, head):
    """The matrices of hidden layers: no biases, no embeddings, not the head."""
    tables = {
        id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)
    }
    return [
        name
        for name, p in model.named_parameters()
        if p.ndim == 2 and id(p) not in tables and not name.startswith(head + ".")
    ]


parts = {"words": nn.Embedding(50, 16), "norm": nn.LayerNorm(16)}
parts |= {"hidden": nn.Linear(16, 16), "head": nn.Linear(16, 50)}
print(names_for_muon(nn.ModuleDict(parts), "head"))
# --8<-- [end:exercise-names]
