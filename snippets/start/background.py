"""What a hidden layer and a framework are for: the program of start/background."""

# --8<-- [start:data]
import torch

X = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
y = torch.tensor([[0], [1], [1], [0]], dtype=torch.float64)
# --8<-- [end:data]


# --8<-- [start:linear]
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as loss_of


def train(model, steps=500):
    """Train on the four examples; return the loss at the end."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(steps):
        loss = loss_of(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def report(name, model):
    loss = train(model)
    answers = torch.sigmoid(model(X)).flatten().tolist()
    print(f"{name:13} loss {loss:.3f}   answers", [f"{a:.1f}" for a in answers])


torch.manual_seed(0)
report("linear", nn.Linear(2, 1, dtype=torch.float64))
# --8<-- [end:linear]


# --8<-- [start:hidden]
def network(units):
    """Two inputs, one hidden layer, one output."""
    layers = [nn.Linear(2, units), nn.Tanh(), nn.Linear(units, 1)]
    return nn.Sequential(*layers).double()


torch.manual_seed(0)
model = network(8)
report("hidden layer", model)
# --8<-- [end:hidden]

# --8<-- [start:plane]
import matplotlib.pyplot as plt

at = torch.linspace(-0.5, 1.5, 101, dtype=torch.float64)
grid = torch.cartesian_prod(at, at)
answer = torch.sigmoid(model(grid)).detach().reshape(101, 101).T
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
ax.contour(at, at, answer, levels=[0.5])
for target, marker in ((0, "o"), (1, "x")):
    points = X[y.flatten() == target]
    ax.plot(points[:, 0], points[:, 1], marker, markersize=10, label=f"target {target}")
ax.set_xlabel("first input")
ax.set_ylabel("second input")
ax.set_aspect("equal")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
plt.show()
# --8<-- [end:plane]

# --8<-- [start:by-hand]
s = X.sum(dim=1)
h = torch.stack([torch.relu(s), torch.relu(s - 1)], dim=1)
print("hidden:", h.tolist())
print("output:", (h[:, 0] - 2 * h[:, 1]).tolist())
# --8<-- [end:by-hand]

# --8<-- [start:numpy]
import numpy as np

torch.manual_seed(1)
model = network(8)
W1, b1, W2, b2 = (parameter.detach().numpy() for parameter in model.parameters())
inputs, targets = X.numpy(), y.numpy()

h = np.tanh(inputs @ W1.T + b1)  # (4, 8)
p = 1 / (1 + np.exp(-(h @ W2.T + b2)))  # (4, 1)
delta2 = (p - targets) / len(targets)  # (4, 1)
delta1 = (delta2 @ W2) * (1 - h**2)  # (4, 8)
by_hand = [delta1.T @ inputs, delta1.sum(0), delta2.T @ h, delta2.sum(0)]
print([gradient.shape for gradient in by_hand])
# --8<-- [end:numpy]

# --8<-- [start:autograd]
loss_of(model(X), y).backward()
by_autograd = [parameter.grad.numpy() for parameter in model.parameters()]
for mine, its in zip(by_hand, by_autograd, strict=True):
    print(mine.shape, np.allclose(mine, its, rtol=1e-12, atol=1e-15))
# --8<-- [end:autograd]

# --8<-- [start:map]
fig, ax = plt.subplots(figsize=(6.2, 3), layout="constrained")
boxes = {
    "data loader": (0, 1),
    "module": (2, 1),
    "loss": (4, 1),
    "autograd": (4, 0),
    "optimizer": (2, 0),
}
for name, (column, row) in boxes.items():
    frame = {"boxstyle": "round,pad=0.5", "facecolor": "none"}
    ax.text(column, row, name, ha="center", va="center", bbox=frame)
arrows = [
    ("inputs", (0.55, 1), (1.55, 1), (1.05, 1.06)),
    ("predictions", (2.42, 1), (3.65, 1), (3.04, 1.06)),
    ("one number", (4, 0.82), (4, 0.18), (4.45, 0.5)),
    ("gradients", (3.5, 0), (2.55, 0), (3.02, 0.06)),
    ("new parameters", (2, 0.18), (2, 0.82), (1.37, 0.5)),
    ("targets", (0.2, 1.2), (3.85, 1.2), (2, 1.56)),
]
for what, start, end, label in arrows:
    bow = "arc3,rad=-0.2" if what == "targets" else "arc3"
    style = {"arrowstyle": "->", "connectionstyle": bow, "linewidth": 1.5}
    ax.annotate("", end, start, arrowprops=style)
    ax.text(*label, what, ha="center", va="bottom", size="small")
ax.set_xlim(-0.7, 5)
ax.set_ylim(-0.3, 1.8)
ax.axis("off")
plt.show()
# --8<-- [end:map]

# --8<-- [start:pieces]
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
loader = DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True)
model = network(8)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
for _ in range(500):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print("answers:", (model(X) > 0).int().flatten().tolist())
# --8<-- [end:pieces]

# --8<-- [start:five-steps]
torch.manual_seed(0)
model = network(8)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
print("1 parameters:", sum(parameter.numel() for parameter in model.parameters()))
logits = model(X)
print("2 forward:   ", tuple(X.shape), "->", tuple(logits.shape))
loss = loss_of(logits, y)
print(f"3 loss:       {loss.item():.4f}")
optimizer.zero_grad()
loss.backward()
print("4 backward:  ", [tuple(p.grad.shape) for p in model.parameters()])
optimizer.step()
print(f"5 update:     loss now {loss_of(model(X), y).item():.4f}")
# --8<-- [end:five-steps]

# --8<-- [start:no-activation]
torch.manual_seed(0)
stacked = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 1)).double()
report("no activation", stacked)
first, second = stacked
W = second.weight @ first.weight
b = second.weight @ first.bias + second.bias
print("one layer does the same:", torch.allclose(stacked(X), X @ W.T + b))
# --8<-- [end:no-activation]

# --8<-- [start:zeros]
model = network(8)
for parameter in model.parameters():
    nn.init.zeros_(parameter)
report("all zeros", model)
# --8<-- [end:zeros]

# --8<-- [start:seeds]
for seed in (0, 1):
    torch.manual_seed(seed)
    report(f"2 units, {seed}", network(2))
# --8<-- [end:seeds]


# --8<-- [start:separable]
def separable(targets):
    """Can one line part the targets of (0, 0), (0, 1), (1, 0), (1, 1)?"""
    a, b, c, d = targets
    return not (a == d and b == c and a != b)


from itertools import product

print(sum(separable(targets) for targets in product((0, 1), repeat=4)), "of 16")
# --8<-- [end:separable]


# --8<-- [start:parity]
def parity(X):
    """1 where an odd number of the three inputs is 1: three hidden ReLU units."""
    s = X.sum(dim=1)
    return torch.relu(s) - 2 * torch.relu(s - 1) + 2 * torch.relu(s - 2)


eight = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
print(eight.sum(dim=1).int().tolist())
print(parity(eight).int().tolist())
# --8<-- [end:parity]
