"""The program of mathematics/softmax: probabilities, their logarithm, and y - t."""

# --8<-- [start:example]
import torch
from torch import Tensor

z = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).log()
e = z.exp()
y = e / e.sum()
print("z  ", z.numpy().round(4))
print("e^z", e.numpy().round(4), " sum", round(e.sum().item(), 4))
print("y  ", y.numpy().round(4), " sum", round(y.sum().item(), 4))
print("as torch:", torch.allclose(y, torch.softmax(z, dim=0), rtol=1e-12))
# --8<-- [end:example]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, figsize=(7, 2.4), layout="constrained")
titles = ["$z$", "$e^z$", r"$y = e^z / \sum e^z$"]
for ax, values, title in zip(axes, [z, e, y], titles, strict=True):
    bars = ax.bar(["1", "2", "3"], values.numpy(), color=["C0", "C1", "C2"])
    ax.bar_label(bars, fmt="%.3g")
    ax.set_title(title)
    ax.margins(y=0.2)
plt.show()
# --8<-- [end:picture]

# --8<-- [start:overflow]
for top in (80.0, 89.0, 1000.0):
    scores = torch.tensor([top, top - 1])  # float32
    naive = scores.exp() / scores.exp().sum()
    shifted = (scores - top).exp() / (scores - top).exp().sum()
    pair = naive.numpy().round(4), shifted.numpy().round(4)
    print(f"{top:5.0f}  e^z = {scores[0].exp():.3g} ", *pair)
# --8<-- [end:overflow]

# --8<-- [start:logarithm]
from dlguide.functional.activations import log_softmax

scores = torch.tensor([0.0, 200.0])
print("log of softmax:", torch.log(torch.softmax(scores, 0)).numpy())
print("log_softmax:   ", log_softmax(scores, 0).numpy())
print("as torch:      ", torch.log_softmax(scores, 0).numpy())
# --8<-- [end:logarithm]

# --8<-- [start:temperature]
temperatures = torch.logspace(-1, 1.5, 60, dtype=torch.float64)
curves = torch.softmax(z / temperatures[:, None], dim=1)  # (60, 3)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for i in range(3):
    ax.plot(temperatures, curves[:, i], label=f"$y_{i + 1}$")
ax.axhline(1 / 3, color="gray", linewidth=0.5)
ax.axvline(1, color="gray", linewidth=0.5)
ax.set_xscale("log")
ax.set_xlabel("$T$")
ax.legend()
plt.show()

for T in (0.1, 1.0, 10.0):
    print(f"T = {T:4}:", torch.softmax(z / T, 0).numpy().round(4))
# --8<-- [end:temperature]

# --8<-- [start:loss]
from torch import nn
from torch.nn import functional as F

t = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)  # the second class is right
L = -(t * y.log()).sum()
target = torch.tensor([1])  # the same as an index; indices count from 0
print(f"-log 0.25 = {L:.4f}")
print(f"by torch   {F.cross_entropy(z[None], target):.4f}")
# --8<-- [end:loss]

# --8<-- [start:likelihood]
torch.manual_seed(0)
scores = torch.randn(5, 3, dtype=torch.float64)
labels = torch.tensor([0, 2, 1, 1, 0])
right = torch.softmax(scores, dim=1)[torch.arange(5), labels]
print("probabilities of the labels:", right.numpy().round(3))
print(f"product            {right.prod():.6f}")
print(f"-log(product) / 5  {-right.prod().log() / 5:.6f}")
print(f"cross-entropy      {F.cross_entropy(scores, labels):.6f}")
many = torch.full((1000,), 0.3, dtype=torch.float64)
print("product of 1000 probabilities of 0.3:", many.prod().item())
print(f"sum of their logarithms: {many.log().sum():.2f}")
# --8<-- [end:likelihood]

# --8<-- [start:entropy]
q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)  # a target that is not certain
H = -(q * q.log()).sum()
cross = -(q * y.log()).sum()
D = (q * (q.log() - y.log())).sum()
print(f"H(q) = {H:.4f}  D(q, y) = {D:.4f}  sum {H + D:.4f}  H(q, y) = {cross:.4f}")
print(f"by torch: {F.cross_entropy(z[None], q[None]):.4f}")
print(f"D by torch: {F.kl_div(y.log()[None], q[None], reduction='batchmean'):.4f}")
# --8<-- [end:entropy]

# --8<-- [start:jacobian]
J = torch.diag(y) - torch.outer(y, y)
print("64 J:")
print((64 * J).numpy().round(4))
by_autograd = torch.autograd.functional.jacobian(lambda z: torch.softmax(z, 0), z)
print("as autograd:", torch.allclose(J, by_autograd, rtol=1e-12))
print("rows sum to 0:", torch.allclose(J.sum(1), torch.zeros(3).double()))
# --8<-- [end:jacobian]

# --8<-- [start:gradient]
at_y = -t / y
at_z = J.T @ at_y
print("dL/dy  ", at_y.numpy().round(4) + 0.0)
print("J^T of it", at_z.numpy().round(4))
print("y - t    ", (y - t).numpy().round(4))

leaf = z.clone().requires_grad_()
F.cross_entropy(leaf[None], target).backward()
print("autograd ", leaf.grad.numpy().round(4))
# --8<-- [end:gradient]

# --8<-- [start:package]
from dlguide.functional.losses import cross_entropy, cross_entropy_gradient

leaf = scores.clone().requires_grad_()
F.cross_entropy(leaf, labels).backward()
ours = cross_entropy_gradient(scores, labels)
print("loss    ", torch.allclose(cross_entropy(scores, labels), -right.log().mean()))
print("gradient", torch.allclose(ours, leaf.grad, rtol=1e-12))
one_hot = F.one_hot(labels, 3).double()
print("(y - t)/N", torch.allclose(ours, (torch.softmax(scores, 1) - one_hot) / 5))
# --8<-- [end:package]

# --8<-- [start:steps]
w = torch.zeros(3, dtype=torch.float64)
for step in range(3):
    g = torch.softmax(w, 0) - t
    print(step, "y", torch.softmax(w, 0).numpy().round(3), "y - t", g.numpy().round(3))
    w = w - g
# --8<-- [end:steps]

# --8<-- [start:binary]
s = torch.tensor(0.8, dtype=torch.float64)
two = torch.softmax(torch.stack([torch.zeros_like(s), s]), 0)
print(f"softmax of (0, 0.8): {two[1]:.6f}   sigmoid of 0.8: {torch.sigmoid(s):.6f}")
p = torch.tensor([0.9, 0.2, 0.7], dtype=torch.float64)
truth = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
by_hand = -(truth * p.log() + (1 - truth) * (1 - p).log()).mean()
print(f"BCE by hand {by_hand:.6f}   by torch {F.binary_cross_entropy(p, truth):.6f}")
# --8<-- [end:binary]

# --8<-- [start:weights]
losses = F.cross_entropy(scores, labels, reduction="none")
weight = torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64)  # the second class counts 3
w_t = weight[labels]
print("losses ", losses.numpy().round(3))
print("weights", w_t.numpy())
mean = F.cross_entropy(scores, labels, weight=weight)
print(f"torch {mean:.6f}")
print(f"weighted sum / sum of weights {(w_t * losses).sum() / w_t.sum():.6f}")
print(f"weighted sum / 5              {(w_t * losses).sum() / 5:.6f}")
# --8<-- [end:weights]

# --8<-- [start:ignore]
padded = torch.tensor([0, 2, -100, -100, -100])
print(f"mean over the two kept {losses[:2].mean():.6f}")
print(f"ignore_index           {F.cross_entropy(scores, padded):.6f}")
nothing = torch.full((5,), -100)
print(f"all ignored            {F.cross_entropy(scores, nothing):.6f}")
# --8<-- [end:ignore]

# --8<-- [start:smoothing]
epsilon, C = 0.1, 3
q = (1 - epsilon) * t + epsilon / C
print("q", q.numpy().round(4))
print(f"loss by hand {-(q * y.log()).sum():.6f}")
print(f"by torch     {F.cross_entropy(z[None], target, label_smoothing=epsilon):.6f}")
best = q.log()
floor = F.cross_entropy(best[None], target, label_smoothing=epsilon)
print(f"least possible {floor:.4f}, at a gap of {best[1] - best[0]:.4f} between scores")
# --8<-- [end:smoothing]

# --8<-- [start:twice]
from dlguide.data import load

data = load("digits")
images, digits = data.train.tensors
images = images.flatten(1)


def train(before: nn.Module) -> list[float]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), before)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    curve = []
    for _ in range(150):
        loss = F.cross_entropy(model(images), digits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    accuracy = (model(images).argmax(1) == digits).float().mean().item()
    print(f"loss {curve[0]:.1f} -> {curve[-1]:.1f}  accuracy {accuracy:.1f}")
    return curve


curves = {}
for name, before in {
    "scores": nn.Identity(),
    "log_softmax": nn.LogSoftmax(dim=1),
    "softmax": nn.Softmax(dim=1),
}.items():
    print(f"{name:11}", end="  ")
    curves[name] = train(before)
# --8<-- [end:twice]

# --8<-- [start:stuck]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, style in (("scores", "-"), ("log_softmax", "--"), ("softmax", "-")):
    ax.plot(range(0, 150, 3), curves[name][::3], style, label=name)
ax.axhline(torch.log(1 + 9 * torch.exp(torch.tensor(-1.0))), color="gray", lw=0.8)
ax.set_xlabel("step")
ax.set_ylabel("training loss")
ax.legend()
plt.show()
# --8<-- [end:stuck]

# --8<-- [start:floor]
perfect = F.one_hot(torch.tensor([3]), 10).double()  # softmax that is certain and right
print(f"best loss after softmax: {F.cross_entropy(perfect, torch.tensor([3])):.4f}")
wrong = torch.tensor([[20.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
right_class = torch.tensor([1])
for name, before in (("scores", nn.Identity()), ("softmax", nn.Softmax(dim=1))):
    loss = F.cross_entropy(before(wrong), right_class)
    (g,) = torch.autograd.grad(loss, wrong)
    print(f"{name:8} loss {loss:.2f}  largest slope {g.abs().max():.1e}")
# --8<-- [end:floor]

# --8<-- [start:nll]
log_p = torch.log_softmax(scores, 1)
print(f"log-probabilities {F.nll_loss(log_p, labels):.4f}   right")
print(f"probabilities     {F.nll_loss(log_p.exp(), labels):.4f}  no logarithm")
print(f"raw scores        {F.nll_loss(scores, labels):.4f}   no softmax")
print(f"raw scores x 100  {F.nll_loss(100 * scores, labels):.4f}")
# --8<-- [end:nll]

# --8<-- [start:dimension]
columns = torch.softmax(scores, dim=0)  # over the batch
print("rows sum to", columns.sum(1).numpy().round(2))
one_column = torch.randn(4, 1, dtype=torch.float64, requires_grad=True)
out = torch.log_softmax(one_column, dim=1)
(g,) = torch.autograd.grad(out.sum(), one_column)
print("log_softmax of one column:", out.flatten().tolist())
print("slopes:", g.flatten().tolist())
# --8<-- [end:dimension]

# --8<-- [start:exercise-temperature]
def distillation_gradient(z: Tensor, q: Tensor, T: float) -> Tensor:
    """Slopes of the mean cross-entropy of softmax(z / T) to q, both (N, C)."""
    return (torch.softmax(z / T, dim=1) - q) / (T * len(z))


teacher = torch.softmax(scores.roll(1, 1) / 4, dim=1)
print(distillation_gradient(scores, teacher, T=4.0)[0].numpy().round(4))
# --8<-- [end:exercise-temperature]

# --8<-- [start:exercise-logsumexp]
def logsumexp(z: Tensor) -> Tensor:
    """Over the last dimension; minus infinity where all entries are."""
    m = z.amax(-1, keepdim=True)
    m = torch.where(m.isinf(), torch.zeros_like(m), m)  # inf - inf is nan
    return (m + (z - m).exp().sum(-1, keepdim=True).log()).squeeze(-1)


inf = float("inf")
rows = torch.tensor([[1000.0, 1000.0], [-1000.0, -inf], [-inf, -inf], [inf, 0.0]])
print(logsumexp(rows).numpy())
# --8<-- [end:exercise-logsumexp]
