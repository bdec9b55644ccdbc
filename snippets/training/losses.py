"""The program of training/losses: what each loss computes, and how to choose."""

# --8<-- [start:first]
import torch
from torch import Tensor, nn
from torch.nn import functional as F

x = torch.tensor([2.0, 5.0, 3.0, 3.5], dtype=torch.float64)  # predictions
t = torch.tensor([1.0, 3.0, 3.0, 3.0], dtype=torch.float64)  # targets
e = x - t
print("errors", e.tolist())
print(f"MSE {(e**2).mean():.4f}  torch {nn.MSELoss()(x, t):.4f}")
print(f"L1  {e.abs().mean():.4f}  torch {nn.L1Loss()(x, t):.4f}")
print(f"Huber       torch {nn.HuberLoss(delta=1.0)(x, t):.4f}")
# --8<-- [end:first]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

errors = torch.linspace(-3, 3, 121)
zero = torch.zeros_like(errors)
each = {"reduction": "none"}
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
left.plot(errors, F.mse_loss(errors, zero, **each), label="MSE")
left.plot(errors, F.l1_loss(errors, zero, **each), label="L1")
left.plot(errors, F.huber_loss(errors, zero, **each), label="Huber")
left.set_xlabel("error")
left.set_ylim(0, 4)
left.legend()
right.plot(errors, (errors < 0).float(), color="gray", lw=0.8, label="wrong")
right.plot(errors, F.softplus(-errors), label="BCE")
right.plot(errors, (1 - errors).clamp(min=0), label="hinge")
right.set_xlabel("score, right above 0")
right.legend()
plt.show()
# --8<-- [end:picture]

# --8<-- [start:factors]
pair, aim = x[:2].clone().requires_grad_(), t[:2]
sums = {
    "1/2 sum": lambda e: 0.5 * (e**2).sum(),
    "sum    ": lambda e: (e**2).sum(),
    "mean   ": lambda e: (e**2).mean(),
    "1/2 mean": lambda e: 0.5 * (e**2).mean(),
}
for name, loss in sums.items():
    value = loss(pair - aim)
    (slope,) = torch.autograd.grad(value, pair)
    print(f"{name:8}  L {value:.2f}  slopes {slope.tolist()}")
# --8<-- [end:factors]

# --8<-- [start:robust]
from dlguide.functional.losses import (
    huber_loss_gradient,
    l1_loss_gradient,
    mse_loss_gradient,
)

print("errors     ", e.tolist())
for gradient in (mse_loss_gradient, l1_loss_gradient, huber_loss_gradient):
    print(f"{gradient.__name__:20}", gradient(x, t, reduction="sum").tolist())
# --8<-- [end:robust]

# --8<-- [start:constant]
data = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0], dtype=torch.float64)
for name, loss in (("MSE", F.mse_loss), ("L1", F.l1_loss), ("Huber", F.huber_loss)):
    grid = torch.linspace(0, 100, 10001, dtype=torch.float64)
    values = loss(grid[:, None].expand(-1, 5), data.expand(10001, 5), reduction="none")
    print(f"{name:5} smallest at {grid[values.mean(1).argmin()]:.2f}")
print(f"mean {data.mean():.2f}  median {data.median():.2f}")
# --8<-- [end:constant]

# --8<-- [start:outlier]
position = torch.arange(10.0)
height = 2 * position + 1 + 0.3 * torch.cos(3 * position)
height[8] = 60.0  # one measurement went wrong


def fit(loss):
    line = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([line], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    for _ in range(600):
        optimizer.zero_grad()
        loss(line[0] * position + line[1], height).backward()
        optimizer.step()
        scheduler.step()
    return line.detach()


fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(position, height, "o", color="gray")
for name, loss in (("MSE", F.mse_loss), ("L1", F.l1_loss), ("Huber", F.huber_loss)):
    a, b = fit(loss).tolist()
    print(f"{name:5} slope {a:.1f}")
    ax.plot(position, a * position + b, label=name)
ax.legend()
plt.show()
# --8<-- [end:outlier]

# --8<-- [start:classes]
x = torch.tensor([3.0, 2.5, 0.0, 1.0], dtype=torch.float64)  # the first class is right
powers = x.exp()
print("e^x", powers.numpy().round(4), f"sum {powers.sum():.4f}")
share = powers[0] / powers.sum()
print(f"share {share:.4f}  L {-share.log():.4f}")
print(f"torch {F.cross_entropy(x[None], torch.tensor([0])):.4f}")
# --8<-- [end:classes]

# --8<-- [start:bce]
print("   s     p    BCELoss  slope    with logits  slope")
for score in (4.0, 15.0, 20.0, 200.0):
    s = torch.tensor(score, requires_grad=True)  # float32; the answer should be no
    no = torch.tensor(0.0)
    losses = F.binary_cross_entropy(s.sigmoid(), no)
    exact = F.binary_cross_entropy_with_logits(s, no)
    slopes = [torch.autograd.grad(value, s)[0].item() for value in (losses, exact)]
    row = f"{losses:8.2f} {slopes[0]:6.2f}    {exact:8.2f} {slopes[1]:9.2f}"
    print(f"{score:5.0f} {s.sigmoid():6.3f} {row}")
# --8<-- [end:bce]

# --8<-- [start:kl]
p = torch.tensor([[0.5, 0.5]], dtype=torch.float64)  # the truth
q = torch.tensor([[0.9, 0.1]], dtype=torch.float64)  # the model
print(f"D(p, q) = {(p * (p / q).log()).sum():.4f}")
print(f"D(q, p) = {(q * (q / p).log()).sum():.4f}")
print(f"kl_div(log q, p) = {F.kl_div(q.log(), p, reduction='batchmean'):.4f}")
print(f"kl_div(log p, q) = {F.kl_div(p.log(), q, reduction='batchmean'):.4f}  swapped")
print(f"kl_div(q, p)     = {F.kl_div(q, p, reduction='batchmean'):.4f}  no logarithm")
# --8<-- [end:kl]

# --8<-- [start:svm]
from sklearn.datasets import load_breast_cancer

tumors = load_breast_cancer()
inputs = torch.tensor(tumors.data, dtype=torch.float32)
inputs = (inputs - inputs[:400].mean(0)) / inputs[:400].std(0)
side = torch.tensor(tumors.target, dtype=torch.float32) * 2 - 1  # -1 or +1

torch.manual_seed(0)
plane = nn.Linear(30, 1)
optimizer = torch.optim.SGD(plane.parameters(), lr=0.1, weight_decay=0.01)
for _ in range(300):
    f = plane(inputs[:400]).squeeze(1)
    loss = (1 - side[:400] * f).clamp(min=0).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
with torch.no_grad():
    f = plane(inputs).squeeze(1)
right_side = (f[400:] * side[400:] > 0).float().mean()
active = (side[:400] * f[:400] < 1).float().mean()
print(f"accuracy on 169 other examples {right_side:.2f}")
print(f"share of examples inside the margin {active:.2f}")
same = F.hinge_embedding_loss(side * f, -torch.ones_like(f))
print("same as torch:", torch.allclose(same, (1 - side * f).clamp(min=0).mean()))
# --8<-- [end:svm]

# --8<-- [start:multi-margin]
scores = torch.tensor([[3.0, 2.5, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
target = torch.tensor([0])
print(f"multi-margin  {F.multi_margin_loss(scores, target):.4f}")
(slope,) = torch.autograd.grad(F.multi_margin_loss(scores, target), scores)
print("slopes", slope[0].tolist())
print(f"cross-entropy {F.cross_entropy(scores, target):.4f}")
(slope,) = torch.autograd.grad(F.cross_entropy(scores, target), scores)
print("slopes", slope[0].numpy().round(3))
# --8<-- [end:multi-margin]

# --8<-- [start:triplet]
anchor = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
positive = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
for height_of in (5.0, 5.5, 7.0):
    negative = torch.tensor([[0.0, height_of]], dtype=torch.float64)
    loss = F.triplet_margin_loss(anchor, positive, negative, margin=1.0)
    print(f"negative at distance {height_of}: loss {loss:.3f}")
a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])  # cosine 3/5
for sign in (1, -1):
    loss = F.cosine_embedding_loss(a, b, torch.tensor([sign]))
    print(f"cosine loss, {sign:+d}: {loss:.1f}")
# --8<-- [end:triplet]

# --8<-- [start:reductions]
for reduction in ("none", "sum", "mean"):
    print(f"{reduction:5}", F.mse_loss(x, t, reduction=reduction).numpy().round(4))
layer = nn.Linear(3, 2, dtype=torch.float64)
for size in (10, 1000):
    torch.manual_seed(0)
    batch, aims = torch.randn(size, 3).double(), torch.randn(size, 2).double()
    for reduction in ("sum", "mean"):
        layer.zero_grad()
        F.mse_loss(layer(batch), aims, reduction=reduction).backward()
        norm = layer.weight.grad.norm().item()
        print(f"batch {size:4}, {reduction:4}: length of the gradient {norm:.1f}")
# --8<-- [end:reductions]

# --8<-- [start:imbalance]
torch.manual_seed(0)
count = torch.tensor([1900, 100])  # 95 of 100 are negative
labels = torch.repeat_interleave(torch.arange(2), count)
points = torch.randn(2000, 2) + 1.2 * labels[:, None]


def rates(weight):
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(points), labels, weight=weight).backward()
        optimizer.step()
    said = model(points).argmax(1)
    hits = ((said == 1) & (labels == 1)).sum()
    return (said == labels).float().mean(), hits / 100, hits / (said == 1).sum()


balanced = len(labels) / (2 * count)  # 0.53 and 10
print("weights         accuracy  recall  precision")
for name, weight in (("none", None), ("0.53 and 10", balanced)):
    accuracy, recall, precision = rates(weight)
    print(f"{name:15} {accuracy:8.2f}  {recall:6.2f}  {precision:9.2f}")
# --8<-- [end:imbalance]

# --8<-- [start:same]
from dlguide.functional import losses as ours

torch.manual_seed(0)
z, aim = torch.randn(4, 3).double(), torch.randn(4, 3).double()
index, sign = torch.tensor([0, 2, 1, 0]), torch.tensor([1, -1, -1, 1])
calls = {
    "mse_loss": (z, aim), "l1_loss": (z, aim), "huber_loss": (z, aim),
    "smooth_l1_loss": (z, aim), "cross_entropy": (z, index),
    "nll_loss": (z.log_softmax(1), index),
    "binary_cross_entropy": (z.sigmoid(), aim.sigmoid()),
    "binary_cross_entropy_with_logits": (z, aim.sigmoid()),
    "hinge_embedding_loss": (z[:, 0], sign), "multi_margin_loss": (z, index),
    "triplet_margin_loss": (z, aim, z.flip(0)),
    "cosine_embedding_loss": (z, aim, sign),
}  # fmt: skip
for name, arguments in calls.items():
    first = arguments[0].clone().requires_grad_()
    value = getattr(F, name)(first, *arguments[1:])
    value.backward()
    gradient = getattr(ours, name + "_gradient")(*arguments)
    gradient = gradient[0] if isinstance(gradient, tuple) else gradient
    equal = torch.allclose(getattr(ours, name)(*arguments), value, rtol=1e-10)
    slopes = torch.allclose(gradient, first.grad, rtol=1e-10)
    print(f"{name:33} {value:.4f}  value {equal}  gradient {slopes}")
# --8<-- [end:same]

# --8<-- [start:broadcast]
import warnings

torch.manual_seed(0)
features = torch.randn(200, 1)
wanted = 3 * features.squeeze(1)  # (200,): a line without noise
for shape in ("(200, 1) and (200,)", "(200,) and (200,)"):
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(200):
        said = model(features)  # (200, 1)
        said = said if "1)" in shape else said.squeeze(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns; many never see it
            loss = F.mse_loss(said, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{shape:20} slope {model.weight.item() + 0.0:4.1f}, wanted 3")
# --8<-- [end:broadcast]

# --8<-- [start:dtype]
logits = torch.randn(4, 3)
mistakes = {
    "float classes": lambda: F.cross_entropy(logits, torch.tensor([0.0, 2, 1, 0])),
    "class too high": lambda: F.cross_entropy(logits, torch.tensor([0, 3, 1, 0])),
    "integer 0 or 1": lambda: F.binary_cross_entropy_with_logits(
        logits[:, 0], torch.tensor([0, 1, 1, 0])
    ),
    "one column more": lambda: F.binary_cross_entropy_with_logits(
        logits[:, :1], torch.tensor([0.0, 1, 1, 0])
    ),
    "no probability": lambda: F.binary_cross_entropy(1 + logits**2, 0 * logits),
}
for name, mistake in mistakes.items():
    try:
        mistake()
    except (RuntimeError, ValueError, IndexError) as error:
        print(f"{name:15} {type(error).__name__}: {str(error)[:52]}")
# --8<-- [end:dtype]

# --8<-- [start:log-of-zero]
certain = torch.tensor([0.0, 1.0], requires_grad=True)
loss = -(torch.tensor([0.0, 1.0]) * torch.log(certain)).sum()
loss.backward()
print("0 * log 0 =", loss.item(), " gradient", certain.grad.tolist())
# --8<-- [end:log-of-zero]

# --8<-- [start:exercise-quantile]
def quantile_loss(x: Tensor, t: Tensor, tau: float) -> Tensor:
    e = t - x
    return torch.maximum(tau * e, (tau - 1) * e).mean()


times = torch.arange(1.0, 100.0)  # 1, 2, ..., 99
for tau in (0.5, 0.9):
    tries = [quantile_loss(torch.full((99,), float(c)), times, tau) for c in range(100)]
    print(f"tau {tau}: smallest at {torch.stack(tries).argmin()}")
# --8<-- [end:exercise-quantile]

# --8<-- [start:exercise-focal]
def focal_loss(z: Tensor, t: Tensor, gamma: float) -> Tensor:
    """Mean of (1 - p_right)^gamma times binary cross-entropy, from scores."""
    plain = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    right = torch.exp(-plain)  # the probability of the right answer, if t is 0 or 1
    return ((1 - right) ** gamma * plain).mean()


z = torch.tensor([3.0, 0.2, -1.0], dtype=torch.float64)
for gamma in (0.0, 2.0):
    print(gamma, round(focal_loss(z, torch.ones(3).double(), gamma).item(), 4))
# --8<-- [end:exercise-focal]
