"""The program of training/regularization: models that fit too well, and what helps."""

# --8<-- [start:polynomials]
import matplotlib.pyplot as plt
import torch
from torch import Tensor


def sample(n, seed):
    """Points of a sine with noise of standard deviation 0.3."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(-1, 1, n, dtype=torch.float64)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    return x, torch.sin(4 * x) + 0.3 * noise


def powers(x, degree):
    return x[:, None] ** torch.arange(degree + 1)  # [n, degree + 1]


def fit(x, y, degree):
    return torch.linalg.lstsq(powers(x, degree), y[:, None]).solution[:, 0]


def error(w, x, y):
    return ((powers(x, len(w) - 1) @ w - y) ** 2).mean().item()


train, test = sample(12, seed=2), sample(1000, seed=100)
degrees = range(1, 12)
errors = []
for degree in degrees:
    w = fit(*train, degree)
    errors.append((error(w, *train), error(w, *test)))
    if degree in (1, 3, 5, 9, 11):
        print(f"degree {degree:2}  train {errors[-1][0]:.3f}  test {errors[-1][1]:.3g}")
# --8<-- [end:polynomials]

# --8<-- [start:fits]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
grid = torch.linspace(-1, 1, 81, dtype=torch.float64)
left.plot(*train, "o", color="gray")
for degree in (1, 5, 11):
    curve = powers(grid, degree) @ fit(*train, degree)
    left.plot(grid, curve, label=f"degree {degree}")
left.set(ylim=(-2.2, 2.2), xlabel="x")
left.legend()
right.plot(degrees, [max(a, 1e-3) for a, _ in errors], "o-", label="training error")
right.plot(degrees, [b for _, b in errors], "o-", label="test error")
right.set(yscale="log", xlabel="degree", ylim=(5e-3, 10))
right.legend()
plt.show()
# --8<-- [end:fits]

# --8<-- [start:more-data]
sizes = [12, 15, 20, 30, 50, 100, 200, 400]
medians = []
for n in sizes:
    runs = []
    for seed in range(50):
        draw = sample(n, seed)
        w = fit(*draw, 9)
        runs.append((error(w, *draw), error(w, *test)))
    medians.append(torch.tensor(runs).median(0).values.tolist())
    if n in (12, 30, 100, 400):
        print(f"n {n:3}  train {medians[-1][0]:.3f}  test {medians[-1][1]:.3f}")
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(sizes, [b for _, b in medians], "o-", color="C1", label="test error")
ax.plot(sizes, [a for a, _ in medians], "o-", color="C0", label="training error")
ax.axhline(0.09, color="gray", ls="--", label="noise")
ax.set(xscale="log", xlabel="training points", ylabel="error")
ax.set_xticks([12, 30, 100, 400], ["12", "30", "100", "400"])
ax.minorticks_off()
ax.legend()
plt.show()
# --8<-- [end:more-data]

# --8<-- [start:l2-step]
w = torch.tensor([2.0], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.5)
(1 * w).sum().backward()  # the gradient is 1
optimizer.step()
print(f"w = {w.item():.2f}, by hand {2 - 0.1 * (1 + 0.5 * 2):.2f}")
# --8<-- [end:l2-step]

# --8<-- [start:ridge]
def ridge(x, y, degree, decay):
    """The minimum of |X w - y|^2 / 2 + decay / 2 |w|^2."""
    X = powers(x, degree)
    return torch.linalg.solve(X.T @ X + decay * torch.eye(degree + 1), X.T @ y)


for decay in (1e-6, 1e-4, 1e-2, 1.0, 100.0):
    w = ridge(*train, 11, decay)
    print(f"lambda {decay:<6g} |w| {w.norm():9.2f}", end="  ")
    print(f"train {error(w, *train):.3f}  test {error(w, *test):.3g}")
# --8<-- [end:ridge]

# --8<-- [start:l1-step]
w = torch.tensor([0.25], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
path = []
for _ in range(6):
    optimizer.zero_grad()
    w.abs().sum().backward()  # lambda 1, and no other loss
    optimizer.step()
    path.append(f"{w.item():.2f}")
print(*path)
# --8<-- [end:l1-step]

# --8<-- [start:soft]
def soft_threshold(w: Tensor, amount: float) -> Tensor:
    return torch.sign(w) * torch.clamp(w.abs() - amount, min=0)


w = torch.tensor(0.25)
path = []
for _ in range(4):
    w = soft_threshold(w, 0.1 * 1)
    path.append(f"{w.item():.2f}")
print(*path)
# --8<-- [end:soft]

# --8<-- [start:sparse]
torch.manual_seed(0)
features = torch.randn(60, 20, dtype=torch.float64)
truth = torch.zeros(20, dtype=torch.float64)
truth[:4] = torch.tensor([3.0, -2.0, 1.5, 1.0])  # only four features matter
target = features @ truth + 0.5 * torch.randn(60, dtype=torch.float64)


def descend(penalty, strength, steps=2000, lr=0.05):
    w = torch.zeros(20, dtype=torch.float64)
    for _ in range(steps):
        slope = features.T @ (features @ w - target) / 60
        if penalty == "L2":
            slope = slope + strength * w
        if penalty == "L1":
            slope = slope + strength * w.sign()
        w = w - lr * slope
        if penalty == "L1, proximal":
            w = soft_threshold(w, lr * strength)
    return w


for penalty in ("none", "L2", "L1", "L1, proximal"):
    w = descend(penalty, 0.2)
    exact, small = (w == 0).sum().item(), (w.abs() < 0.02).sum().item()
    print(f"{penalty:12}  exactly 0: {exact:2}  below 0.02: {small:2}", end="  ")
    print("first four:", *(f"{number:.1f}" for number in w[:4]))
# --8<-- [end:sparse]

# --8<-- [start:shrink]
a = torch.linspace(-3, 3, 61)
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(a, a, color="gray", lw=0.8, label="no penalty")
ax.plot(a, a / (1 + 1), label="L2")
ax.plot(a, soft_threshold(a, 1.0), label="L1")
ax.set(xlabel="best w without penalty", ylabel="best w")
ax.legend()
plt.show()
# --8<-- [end:shrink]

# --8<-- [start:dropout]
from dlguide.functional.dropout import dropout

ones = torch.ones(10)
torch.manual_seed(0)
for _ in range(4):
    y = dropout(ones, p=0.5)
    values = " ".join(f"{number:.0f}" for number in y)
    print(f"{values}   zeros: {(y == 0).sum().item()}")
print("in evaluation the same tensor:", dropout(ones, p=0.5, training=False) is ones)
# --8<-- [end:dropout]

# --8<-- [start:dropout-torch]
import torch.nn.functional as F

many = 1 + torch.rand(100_000, dtype=torch.float64)
for p in (0.1, 0.5, 0.8):
    results = []
    for function in (dropout, F.dropout):
        torch.manual_seed(0)
        results.append(function(many, p))
    change = (results[0].mean() / many.mean()).item()
    spread = ((results[0] - many) ** 2).mean() / (many**2).mean()
    print(f"p {p}  same as torch: {torch.equal(*results)}", end="  ")
    print(f"mean kept: {change:.2f}  variance / x^2: {spread:.1f}")
# --8<-- [end:dropout-torch]

# --8<-- [start:channels]
from dlguide.functional.dropout import dropout2d

torch.manual_seed(0)
maps = torch.ones(1, 6, 4, 4)
fig, axes = plt.subplots(2, 6, figsize=(7, 2.7), layout="constrained")
for row, function in zip(axes, (dropout, dropout2d), strict=True):
    for ax, channel in zip(row, function(maps)[0], strict=True):
        for (i, j), value in zip(torch.cartesian_prod(*[torch.arange(4)] * 2),
                                 channel.flatten(), strict=True):  # fmt: skip
            color = "C0" if value > 0 else "none"
            ax.add_patch(plt.Rectangle((j, i), 1, 1, fc=color, ec="gray", lw=0.3))
        ax.set(xlim=(0, 4), ylim=(4, 0), aspect=1, xticks=[], yticks=[])
    row[0].set_ylabel(function.__name__)
plt.show()
# --8<-- [end:channels]

# --8<-- [start:alpha]
from dlguide.functional.alpha_dropout import alpha_dropout, feature_alpha_dropout
from dlguide.functional.dropout import dropout1d

print(f"SELU far to the left: {F.selu(torch.tensor(-100.0)):.3f}")
torch.manual_seed(0)
standard = torch.randn(400, 500, 4)  # mean 0, variance 1
for function in (dropout, dropout1d, alpha_dropout, feature_alpha_dropout):
    y = function(standard, p=0.5, training=True)
    print(f"{function.__name__:21} mean {y.mean().abs():.1f}  variance {y.var():.1f}")
# --8<-- [end:alpha]

# --8<-- [start:task]
import copy

from dlguide.data import load
from torch import nn

digits = load("digits")
parts = {
    name: (part.tensors[0].flatten(1).double(), part.tensors[1])
    for name, part in (("train", digits.train), ("test", digits.test))
}
validation = (digits.validation.tensors[0].flatten(1).double(),
              digits.validation.tensors[1])  # fmt: skip


def loss_of(net, x, y):
    net.eval()
    with torch.no_grad():
        return F.cross_entropy(net(x), y).item()


def learn(n=100, weight_decay=0.0, l1=0.0, p=0.0, hidden=64, stop=False, seed=0):
    """Train on n pictures; one label in five is drawn anew. Losses and the network."""
    torch.manual_seed(seed)
    rows = torch.randperm(len(parts["train"][0]))[:n]
    x, y = (part[rows] for part in parts["train"])
    y = torch.where(torch.rand(n) < 0.2, torch.randint(10, (n,)), y)
    net = nn.Sequential(
        nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(p), nn.Linear(hidden, 10)
    ).double()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=weight_decay)
    curve, best = [], (float("inf"), None)
    for _ in range(50):
        curve.append((loss_of(net, x, y), loss_of(net, *validation)))
        if curve[-1][1] < best[0]:
            best = (curve[-1][1], copy.deepcopy(net.state_dict()))
        net.train()
        for _ in range(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            if l1:
                loss = loss + l1 * sum(w.abs().sum() for w in net.parameters())
            loss.backward()
            optimizer.step()
    if stop:
        net.load_state_dict(best[1])
    return loss_of(net, x, y), loss_of(net, *parts["test"]), net, curve
# --8<-- [end:task]

# --8<-- [start:early]
*_, curve = learn()
train_losses, validation_losses = zip(*curve, strict=True)
best = min(range(50), key=lambda i: validation_losses[i])
print(f"validation loss after {3 * best} steps {validation_losses[best]:.1f}")
print(f"validation loss after 150 steps {validation_losses[-1]:.1f}")
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
steps = range(0, 150, 3)
ax.plot(steps, train_losses, label="training loss")
ax.plot(steps, validation_losses, label="validation loss")
ax.axvline(3 * best, color="gray", ls="--", label="best")
ax.set(xlabel="step")
ax.legend()
plt.show()
# --8<-- [end:early]

# --8<-- [start:methods]
methods = {
    "nothing": {}, "L2 (AdamW, 3.0)": {"weight_decay": 3.0},
    "L1 (0.003)": {"l1": 0.003}, "dropout (0.5)": {"p": 0.5},
    "early stopping": {"stop": True}, "smaller (8 units)": {"hidden": 8},
    "4 times the data": {"n": 400},
}  # fmt: skip
compared = {}
print(f"{'':18} training    test     gap")
for name, options in methods.items():
    runs = [learn(seed=seed, **options)[:2] for seed in range(2)]
    start, end = (sum(losses) / 2 for losses in zip(*runs, strict=True))
    compared[name] = (start, end)
    print(f"{name:18} {start:8.2f}{end:8.2f}{end - start:8.2f}")
# --8<-- [end:methods]

# --8<-- [start:evaluation]
_, _, net, _ = learn(p=0.5)
picture = parts["test"][0][:1]
for mode in (True, False):
    net.train(mode)
    torch.manual_seed(0)
    answers = [net(picture).softmax(1).max().item() for _ in range(3)]
    print(f"training={mode!s:5}", *(f"{answer:.2f}" for answer in answers))
# --8<-- [end:evaluation]

# --8<-- [start:probability]
torch.manual_seed(0)
for p in (0.2, 0.8):
    share = (F.dropout(torch.ones(10_000), p) == 0).double().mean()
    print(f"p {p}: the share of zeros is {share:.1f}")
# --8<-- [end:probability]

# --8<-- [start:alias]
layer = nn.Linear(1, 1, bias=False)
layer.weight.data.fill_(1.0)
reference, copied = layer.state_dict(), copy.deepcopy(layer.state_dict())
layer.weight.data.mul_(100)  # training goes on
print("best weights kept:", reference["weight"].item(), copied["weight"].item())
# --8<-- [end:alias]

# --8<-- [start:groups]
net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))
decayed = [w for w in net.parameters() if w.dim() > 1]  # matrices
others = [w for w in net.parameters() if w.dim() <= 1]  # biases, normalization
options = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(options, lr=1e-3, weight_decay=0.1)
for group in optimizer.param_groups:
    print(group["weight_decay"], [tuple(w.shape) for w in group["params"]])
# --8<-- [end:groups]

# --8<-- [start:rare]
from dlguide.functional.embedding import embedding_backward

table = nn.Embedding(4, 2)
table.weight.data.fill_(1.0)
words, g = torch.tensor([1, 1, 3]), torch.ones(3, 2)
by_hand = embedding_backward(g, words, table.weight)
table(words).backward(g)
print("gradient of each row:", table.weight.grad[:, 0].tolist())
print("equal by hand:       ", torch.equal(by_hand, table.weight.grad))
optimizer = torch.optim.SGD(table.parameters(), lr=0.1, weight_decay=0.5)
table.weight.grad.zero_()
for _ in range(20):
    optimizer.step()  # no data at all
print(f"a row that no text has touched: {table.weight[0, 0].item():.2f}")
# --8<-- [end:rare]

# --8<-- [start:exercise-patience]
def stop_at(losses, patience):
    """Index of the best loss, and of the last epoch that is trained."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best == patience:
            return best, epoch
    return best, len(losses) - 1


print(stop_at([1.0, 0.8, 0.9, 0.7, 0.75, 0.72, 0.71, 0.6], patience=3))
# --8<-- [end:exercise-patience]

# --8<-- [start:exercise-elastic]
def elastic(w, slope, lr, l1, l2):
    """One step on a loss with both penalties; L1 by its proximal step."""
    return soft_threshold(w - lr * (slope + l2 * w), lr * l1)


w = torch.tensor([2.0, 0.02])
print(elastic(w, torch.tensor([1.0, 0.0]), lr=0.1, l1=0.3, l2=0.5))
# --8<-- [end:exercise-elastic]
