"""The program of training/optimizers: all families side by side, and how they fail."""

# --8<-- [start:loop]
import torch

w = torch.tensor([1.0], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)  # chosen once, before the loop

for _ in range(3):
    loss = ((w - 3) ** 2).sum()  # forward
    optimizer.zero_grad()
    loss.backward()
    before, gradient = w.item(), w.grad.item()
    optimizer.step()
    print(f"gradient {gradient:.3f}  w {before:.3f} -> {w.item():.3f}")
# --8<-- [end:loop]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
boxes = ["choose the\noptimizer", "forward:\nloss", "zero_grad()"]
boxes += ["backward():\ngradients", "step():\nparameters"]
arrow = {"arrowstyle": "->"}
for i, label in enumerate(boxes):
    frame = {"boxstyle": "round,pad=0.5", "facecolor": "none"}
    ax.text(2 * i, 0, label, ha="center", va="center", bbox=frame)
    if i:
        ax.annotate("", (2 * i - 0.68, 0), (2 * i - 1.32, 0), arrowprops=arrow)
corner = {**arrow, "connectionstyle": "bar,fraction=-0.12"}
ax.annotate("", (2, -0.55), (8, -0.55), arrowprops=corner)
ax.text(5, -1.35, "next batch", ha="center", va="center")
ax.set_xlim(-0.9, 8.9)
ax.set_ylim(-1.6, 0.7)
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:batches]
from torch import Tensor, nn

torch.manual_seed(0)
x = torch.randn(12, 3, dtype=torch.float64)
y = torch.randn(12, dtype=torch.float64)
v = torch.zeros(3, dtype=torch.float64, requires_grad=True)


def gradient_of(rows: Tensor) -> Tensor:
    return torch.autograd.grad(((x[rows] @ v - y[rows]) ** 2).mean(), v)[0]


parts = torch.arange(12).split(4)
print("all 12 rows", gradient_of(torch.arange(12)).numpy().round(3))
for rows in parts:
    print("4 rows     ", gradient_of(rows).numpy().round(3))
mean = torch.stack([gradient_of(rows) for rows in parts]).mean(0)
print("their mean ", mean.numpy().round(3))
# --8<-- [end:batches]

# --8<-- [start:sgd]
from dlguide import optim


def walk(kind, gradients, start=0.0, **options):
    w = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    optimizer = kind([w], **options)
    for g in gradients:
        w.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        state = optimizer.state[w].items()
        memory = [f"{k} {s.item():.6g}" for k, s in state if k != "step"]
        print(f"g {g:g}  w {w.item():.6f}", *memory, sep="  ")


print("plain")
walk(optim.SGD, [1.0, 2.0, 3.0], lr=0.1)
print("momentum")
walk(optim.SGD, [1.0, 2.0, 3.0], lr=0.1, momentum=0.9)
print("Nesterov")
walk(optim.SGD, [1.0, 2.0, 3.0], lr=0.1, momentum=0.9, nesterov=True)
# --8<-- [end:sgd]

# --8<-- [start:adagrad]
walk(optim.Adagrad, [1.0, 2.0, 3.0], lr=1.0)
print("equal gradients")
walk(optim.Adagrad, [1.0, 1.0, 1.0], lr=1.0)
# --8<-- [end:adagrad]

# --8<-- [start:rmsprop]
walk(optim.RMSprop, [1.0, 2.0, 3.0], lr=0.01)
print("equal gradients")
walk(optim.RMSprop, [1.0] * 3, lr=0.01)
# --8<-- [end:rmsprop]

# --8<-- [start:adam]
walk(optim.Adam, [1.0, 2.0, 3.0], lr=0.1)
print("a million times smaller")
walk(optim.Adam, [1e-6, 2e-6, 3e-6], lr=0.1)
# --8<-- [end:adam]

# --8<-- [start:same]
def train_both(name, **options):
    """The largest distance between the two libraries over 100 steps."""
    ours = torch.tensor([-1.5, 2.0], dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    pair = [
        (ours, getattr(optim, name)([ours], **options)),
        (theirs, getattr(torch.optim, name)([theirs], **options)),
    ]
    largest = 0.0
    for _ in range(100):
        for w, optimizer in pair:
            optimizer.zero_grad()
            ((1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2).backward()
            optimizer.step()
        largest = max(largest, (ours - theirs).abs().max().item())
    return largest


for name in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW"):
    print(f"{name:8} {train_both(name, lr=1e-4, weight_decay=0.1) < 1e-10}")
# --8<-- [end:same]

# --8<-- [start:state]
choices = {
    "SGD": {}, "SGD, momentum": {"momentum": 0.9},
    "SGD, Nesterov": {"momentum": 0.9, "nesterov": True}, "Adagrad": {}, "RMSprop": {},
    "Adadelta": {}, "Adam": {}, "AdamW": {}, "Adamax": {}, "NAdam": {}, "RAdam": {},
    "Rprop": {}, "Adafactor": {}, "Muon": {},
}  # fmt: skip
for label, options in choices.items():
    w = torch.zeros(64, 10, requires_grad=True)  # 640 weights
    optimizer = getattr(optim, label.split(",")[0])([w], **options)
    w.grad = torch.ones(64, 10)
    optimizer.step()
    kept = {k: s.numel() for k, s in optimizer.state[w].items() if s.dim()}
    print(f"{label:14} {sum(kept.values()):5} {' '.join(kept) or '-'}")
# --8<-- [end:state]

# --8<-- [start:rate]
for name in ("SGD", "Adagrad", "RMSprop", "Adam"):
    w = torch.ones(3, requires_grad=True)
    optimizer = getattr(optim, name)([w], lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        (w**2).sum().backward()
        optimizer.step()
    print(f"{name:8} lr after 50 steps: {optimizer.param_groups[0]['lr']}")

scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
optimizer.step()
scheduler.step()
print("after one step of the scheduler:", optimizer.param_groups[0]["lr"])
# --8<-- [end:rate]

# --8<-- [start:curves]
import torch.nn.functional as F
from dlguide.data import load
from dlguide.models import MLP

digits = load("digits")
images, labels = digits.train.tensors
images = images.flatten(1).double()


def optimizers_for(model, name, lr, **options):
    """One optimizer; Muon takes the matrices only, so Adam gets the biases."""
    kind, parameters = getattr(torch.optim, name), list(model.parameters())
    if name != "Muon":
        return [kind(parameters, lr=lr, **options)]
    biases = [p for p in parameters if p.dim() < 2]
    matrices = [p for p in parameters if p.dim() == 2]
    return [kind(matrices, lr=lr, **options), torch.optim.Adam(biases, lr=0.01)]


def losses(name, lr, **options):
    """Training loss every 10 steps: the same start, batches and order for everyone."""
    torch.manual_seed(0)
    model = MLP(64, hidden=(32,)).double()
    optimizers = optimizers_for(model, name, lr, **options)
    generator = torch.Generator().manual_seed(1)
    curve = []
    for step in range(61):
        if step % 10 == 0:
            with torch.no_grad():
                curve.append(F.cross_entropy(model(images), labels).item())
        rows = torch.randint(len(images), (64,), generator=generator)
        model.zero_grad()
        F.cross_entropy(model(images[rows]), labels[rows]).backward()
        for optimizer in optimizers:
            optimizer.step()
    return curve


rates = [0.001, 0.01, 0.1, 1.0]
fig, axes = plt.subplots(1, 2, figsize=(7, 4.4), sharey=True, layout="constrained")
print(f"{'lr':14}", *(f"{rate:7g}" for rate in rates))
rules = [label for label in choices if label != "Muon"]
for i, label in enumerate(rules):
    name = label.split(",")[0]
    runs = {rate: losses(name, rate, **choices[label]) for rate in rates}
    ends = [runs[rate][-1] for rate in rates]
    shown = (f"{end:7.2f}" if end < 0.995 else "   >= 1" for end in ends)
    print(f"{label:14}", *shown)
    best = min(rates, key=lambda rate: runs[rate][-1])
    axes[i // 7].plot(range(0, 61, 10), runs[best], label=f"{label}, {best:g}")
print("Muon with 0.1 ends below 0.3:", losses("Muon", 0.1)[-1] < 0.3)
for ax in axes:
    ax.set(xlabel="step", yscale="log")
    ax.legend(loc="lower left", fontsize=8)
axes[0].set_ylabel("training loss")
plt.show()
# --8<-- [end:curves]

# --8<-- [start:list]
import inspect

names = [
    name
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass)
    if issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
]
print(len(names), "optimizers:")
for start in range(0, len(names), 5):
    print(*names[start : start + 5])
# --8<-- [end:list]

# --8<-- [start:forgotten]
w = torch.tensor([1.0], requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for _ in range(3):
    (2 * w).sum().backward()  # the gradient is 2, each time
    print(w.grad.item(), end="  ")
    optimizer.step()
print(f"w = {w.item():.1f}, with zero_grad it would be {1 - 3 * 0.1 * 2:.1f}")
# --8<-- [end:forgotten]

# --8<-- [start:strangers]
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model[2] = nn.Linear(8, 3)  # three classes after all


def forgotten_by(optimizer):
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return [name for name, p in model.named_parameters() if id(p) not in known]


print("not in the optimizer:", forgotten_by(optimizer))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model.to(torch.float64)
print("after model.to():", forgotten_by(optimizer))
# --8<-- [end:strangers]

# --8<-- [start:diverge]
for lr in (0.1, 0.39, 0.41):
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=lr)
    for _ in range(50):
        optimizer.zero_grad()
        (0.5 * 5 * w**2).sum().backward()
        optimizer.step()
    print(f"lr {lr}: w = {w.item():.2e}, (1 - 5 lr)^50 = {(1 - 5 * lr) ** 50:.2e}")
# --8<-- [end:diverge]

# --8<-- [start:guard]
w = torch.ones(2, requires_grad=True)
w.grad = torch.tensor([1.0, float("inf")])
try:
    nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)
except RuntimeError as error:
    print(str(error).split(",")[0])
# --8<-- [end:guard]

# --8<-- [start:vanished]
torch.manual_seed(0)
deep = nn.Sequential()
for _ in range(100):
    deep.extend([nn.Linear(4, 4), nn.Sigmoid()])
first = deep[0].weight
start = first.detach().clone()
optimizer = optim.RMSprop(deep.parameters())
for _ in range(3):
    optimizer.zero_grad()
    deep(torch.ones(1, 4)).sum().backward()
    optimizer.step()
print("largest gradient in the first layer:", first.grad.abs().max().item())
print("largest move of the first layer:    ", (first - start).abs().max().item())
# --8<-- [end:vanished]

# --8<-- [start:batch-size]
try:
    torch.optim.Adam(model.parameters(), lr=0.001, batch_size=32)
except TypeError as error:
    print(error)
# --8<-- [end:batch-size]

# --8<-- [start:exercise-clip]
def clip(gradients, limit):
    norm = torch.sqrt(sum((g**2).sum() for g in gradients))
    factor = min(1.0, limit / (norm.item() + 1e-6))
    return [factor * g for g in gradients]


pair = [torch.tensor([3.0]), torch.tensor([0.0, 4.0])]  # together of length 5
for limit in (10.0, 1.0):
    print(limit, *(g.numpy().round(3) for g in clip(pair, limit)))
# --8<-- [end:exercise-clip]

# --8<-- [start:exercise-adam]
def adam(w, g, state, lr, betas=(0.9, 0.999), eps=1e-8):
    if not state:
        state.update(t=0, m=torch.zeros_like(w), v=torch.zeros_like(w))
    state["t"] += 1
    m, v = state["m"], state["v"]
    m.copy_(betas[0] * m + (1 - betas[0]) * g)
    v.copy_(betas[1] * v + (1 - betas[1]) * g * g)
    m_hat, v_hat = m / (1 - betas[0] ** state["t"]), v / (1 - betas[1] ** state["t"])
    w -= lr * m_hat / (v_hat.sqrt() + eps)


w, state = torch.zeros(1, dtype=torch.float64), {}
for g in (1.0, 2.0, 3.0):
    adam(w, torch.tensor([g], dtype=torch.float64), state, lr=0.1)
    print(f"g {g:g}  w {w.item():.6f}")
# --8<-- [end:exercise-adam]


# --8<-- [start:exercise-limit]
def largest_rate(a):
    return 2 / torch.linalg.eigvalsh(a).max().item()


a = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
for lr in (0.99 * largest_rate(a), 1.01 * largest_rate(a)):
    w = torch.tensor([1.0, 1.0], dtype=torch.float64)
    for _ in range(500):
        w -= lr * a @ w
    print(f"lr {lr:.4f}: |w| = {w.norm().item():.1e}")
# --8<-- [end:exercise-limit]
