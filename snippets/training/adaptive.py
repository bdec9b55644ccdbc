"""The program of training/adaptive: a step of its own for each number."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

sizes = torch.tensor([100.0, 10.0, 1.0, 0.1, 0.01])
bars: dict[str, Tensor] = {"gradient": sizes}
for kind in (torch.optim.SGD, torch.optim.Adam):
    w = torch.zeros(5, requires_grad=True)
    optimizer = kind([w], lr=0.01)
    w.grad = sizes.clone()
    optimizer.step()
    bars[f"step of {kind.__name__}"] = -w.detach()

fig, axes = plt.subplots(1, 3, figsize=(7, 2.4), sharey=True, layout="constrained")
for ax, (label, numbers) in zip(axes, bars.items(), strict=True):
    ax.bar(range(1, 6), numbers.numpy())
    ax.set_yscale("log")
    ax.set(title=label, xlabel="parameter", ylim=(1e-5, 1e3))
plt.show()
# --8<-- [end:picture]

# --8<-- [start:walk]
from typing import Any

from dlguide import optim


def walk(name: str, gradients=(1.0, 2.0, 3.0), lr=0.1, **options: Any):
    """What one number and the state do when these gradients arrive."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(optim, name)([w], lr=lr, **options)
    for g in gradients:
        w.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        memory = [f"{k} {s.item():.6g}" for k, s in optimizer.state[w].items()]
        print(f"g {g:2g}  w {w.item():9.6f} ", *memory[1:], sep="  ")


walk("Adagrad")
# --8<-- [end:walk]

# --8<-- [start:rmsprop]
walk("RMSprop")
walk("RMSprop", centered=True)
# --8<-- [end:rmsprop]

# --8<-- [start:adadelta]
walk("Adadelta", lr=1.0)
walk("Adadelta", (1000.0, 2000.0, 3000.0), lr=1.0)
# --8<-- [end:adadelta]

# --8<-- [start:adam]
walk("Adam")
m, v = 0.0, 0.0
for t, g in enumerate((1.0, 2.0, 3.0), 1):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    step = 0.1 * m_hat / (v_hat**0.5 + 1e-8)
    print(f"t {t}  m^ {m_hat:.6f}  v^ {v_hat:.6f}  step {step:.6f}")
# --8<-- [end:adam]

# --8<-- [start:bias]
torch.manual_seed(0)
gradients = 5 + torch.randn(2000, 3, dtype=torch.float64)  # 2000 runs, true mean 5
m = torch.zeros(2000, dtype=torch.float64)
for t in range(1, 4):
    m = 0.9 * m + 0.1 * gradients[:, t - 1]
    plain, corrected = m.mean().item(), (m / (1 - 0.9**t)).mean().item()
    print(f"t {t}: m on average {plain:.2f}, corrected {corrected:.2f}")
# --8<-- [end:bias]

# --8<-- [start:amsgrad]
def climb(steps=600, **options):
    """Gradients 3, -1, -1, 3, -1, -1, ... and w kept between -1 and 1."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adam([w], lr=0.02, betas=(0.0, 0.1), **options)
    path = []
    for step in range(steps):
        w.grad = torch.tensor([3.0 if step % 3 == 0 else -1.0], dtype=torch.float64)
        optimizer.step()
        with torch.no_grad():
            w.clamp_(-1, 1)
        path.append(w.item())
    return path, optimizer.state[w]


fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for label, amsgrad in (("Adam", False), ("AMSGrad", True)):
    path, state = climb(amsgrad=amsgrad)
    ax.plot(path[::3], label=label)
    print(f"{label:7} ends at {path[-1]:+.2f}")
ax.set(xlabel="rounds of three steps", ylabel="w")
ax.legend()
plt.show()
# --8<-- [end:amsgrad]

# --8<-- [start:adamax]
walk("Adamax")
# --8<-- [end:adamax]

# --8<-- [start:nadam]
walk("NAdam")
# --8<-- [end:nadam]

# --8<-- [start:radam]
most = 2 / (1 - 0.999) - 1
for t in (1, 5, 6, 100, 1000, 10_000):
    rho = most - 2 * t * 0.999**t / (1 - 0.999**t)
    r = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
    print(f"t {t:5}  rho {rho:8.2f}  r {f'{r**0.5:.3f}' if rho > 5 else '-'}")
# --8<-- [end:radam]

# --8<-- [start:rprop]
walk("Rprop", (3.0, 0.1, -7.0, -7.0))
# --8<-- [end:rprop]

# --8<-- [start:adafactor]
G = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 9.0]], dtype=torch.float64)
w = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
optimizer = optim.Adafactor([w], lr=0.1)
w.grad = G.clone()
optimizer.step()
R, C = optimizer.state[w]["row_var"], optimizer.state[w]["col_var"]
print("rows   ", R.flatten().numpy().round(3))
print("columns", C.flatten().numpy().round(3))
print("squares", (G * G).numpy().tolist())
print("V      ", (R @ C / R.mean()).numpy().round(2).tolist())
# --8<-- [end:adafactor]

# --8<-- [start:sparse]
for name in ("Adam", "SparseAdam"):
    torch.manual_seed(0)
    table = nn.Embedding(4, 2, sparse=name == "SparseAdam")
    optimizer = getattr(optim, name)(table.parameters(), lr=0.1)
    for words in ([1, 2], [1, 3], [1, 3]):  # the word 2 occurs once
        before = table.weight.detach().clone()
        optimizer.zero_grad()
        table(torch.tensor(words)).sum().backward()
        optimizer.step()
    moved = (table.weight.detach() - before).abs().amax(1)
    print(f"{name:10} rows moved in step 3: {(moved > 0).nonzero().flatten().tolist()}")
# --8<-- [end:sparse]

# --8<-- [start:epsilon]
rules = ["Adagrad", "RMSprop", "Adadelta", "Adam", "Adamax", "NAdam", "SparseAdam"]
print(f"{'|g|':11}", *(f"{g:8.0e}" for g in (1, 1e-4, 1e-6, 1e-8)))
for name in rules:
    row = []
    for g in (1, 1e-4, 1e-6, 1e-8):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = getattr(optim, name)([w], lr=1.0)
        gradient = torch.tensor([g], dtype=torch.float64)
        w.grad = gradient.to_sparse() if name == "SparseAdam" else gradient
        optimizer.step()
        row.append(f"{-w.item():8.4f}")
    print(f"{name:11}", *row)
# --8<-- [end:epsilon]

# --8<-- [start:state]
choices = {
    "Adagrad": {}, "RMSprop": {}, "RMSprop, centered": {"centered": True},
    "Adadelta": {}, "Adam": {}, "Adam, amsgrad": {"amsgrad": True}, "Adamax": {},
    "NAdam": {}, "RAdam": {}, "Rprop": {}, "Adafactor": {}, "SparseAdam": {},
}  # fmt: skip
for label, options in choices.items():
    name = label.split(",")[0]
    w = torch.zeros(1000, 500, requires_grad=True)
    optimizer = getattr(torch.optim, name)([w], **options)
    w.grad = torch.ones(1000, 500)
    if name == "SparseAdam":
        w.grad = w.grad.to_sparse(1)
    optimizer.step()
    state = {k: s for k, s in optimizer.state[w].items() if torch.is_tensor(s)}
    numbers = sum(s.numel() for s in state.values() if s.dim())
    kept = " ".join(k for k, s in state.items() if s.dim())
    print(f"{label:17} {numbers / w.numel():5.3f}  {kept}")
# --8<-- [end:state]

# --8<-- [start:misprints]
def first_step(g, root=True, corrected=True, t=1):
    """The step t of Adam over lr, for a gradient that stays g."""
    m, v = (1 - 0.9**t) * g, (1 - 0.999**t) * g * g
    if corrected:
        m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return m / ((v**0.5 if root else v) + 1e-8)


for g in (0.01, 1.0, 100.0):
    print(f"g {g:6}: {first_step(g):.4f}  no root {first_step(g, root=False):g}")
for t in (1, 10, 100, 1000, 10_000):
    print(f"t {t:5}: no correction {first_step(1.0, corrected=False, t=t):.3f}")
# --8<-- [end:misprints]

# --8<-- [start:spike]
def after_spike(spike, clip=None, steps=100):
    """How far w goes in the steps after the first, all of gradient +1."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adam([w], lr=0.01)
    path = []
    for g in [spike] + [1.0] * steps:
        w.grad = torch.tensor([g], dtype=torch.float64)
        if clip is not None:
            nn.utils.clip_grad_norm_([w], clip)
        optimizer.step()
        path.append(w.item())
    return [w - path[0] for w in path]


fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for label, spike, clip in (
    ("no spike", 1.0, None), ("spike", -1e6, None), ("spike, clipped", -1e6, 1.0),
):  # fmt: skip
    path = after_spike(spike, clip)
    ax.plot(path, label=label)
    print(f"{label:15} {path[-1]:+.3f}")
ax.set(xlabel="steps after the first", ylabel="w")
ax.legend()
plt.show()
# --8<-- [end:spike]

# --8<-- [start:exercise-eps]
def same_epsilon(eps, t, beta2=0.999):
    """The epsilon with which Adam makes the step t of SparseAdam with eps."""
    return eps / (1 - beta2**t) ** 0.5


print(*(f"t {t}: {same_epsilon(1e-8, t):.2e}" for t in (1, 100, 10_000)), sep="   ")
# --8<-- [end:exercise-eps]


# --8<-- [start:exercise-rank]
def factored(squares):
    """The matrix of rank one with the same row and column means."""
    rows, columns = squares.mean(1, keepdim=True), squares.mean(0, keepdim=True)
    return rows * columns / squares.mean()


V = factored(G * G)
print(torch.allclose(V.mean(1), (G * G).mean(1)), torch.linalg.matrix_rank(V).item())
# --8<-- [end:exercise-rank]


# --8<-- [start:exercise-lion]
def lion(w, g, state, lr, betas=(0.9, 0.99)):
    """One step by the sign of a mixture of gradient and momentum."""
    m = state.setdefault("exp_avg", torch.zeros_like(w))
    w -= lr * (betas[0] * m + (1 - betas[0]) * g).sign()
    m.copy_(betas[1] * m + (1 - betas[1]) * g)


w, state = torch.zeros(1, dtype=torch.float64), {}
for g in (1.0, -0.01, -3.0):
    lion(w, torch.tensor([g], dtype=torch.float64), state, lr=0.1)
    print(f"g {g:5}  w {w.item():+.1f}  exp_avg {state['exp_avg'].item():+.5f}")
# --8<-- [end:exercise-lion]
