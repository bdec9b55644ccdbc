"""The program of practice/reproducibility: what makes two runs equal, and what not."""

# --8<-- [start:train]
import torch
import torch.nn.functional as F
from dlguide.data import load
from torch import nn

x, y = load("digits").train.tensors


def start(seed):
    torch.manual_seed(seed)  # decides the first weights, and what comes after them
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def train(net, lr=0.5, momentum=0.9, backwards=False):
    """The weights after each of 200 steps, as one row each."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    path = []
    for _ in range(200):
        rows = torch.randint(len(x), (32,))  # a random batch
        rows = rows.flip(0) if backwards else rows  # the same pictures, last one first
        loss = F.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        path.append(nn.utils.parameters_to_vector(net.parameters()).detach())
    return torch.stack(path)


first = train(start(0))
print("seed 0 again:", torch.equal(train(start(0)), first))
print("seed 1:      ", torch.equal(train(start(1)), first))
# --8<-- [end:train]

# --8<-- [start:distance]
import matplotlib.pyplot as plt


def distance(path, other):
    return (path - other).norm(dim=1) / other.norm(dim=1)


calm = {"lr": 0.1, "momentum": 0}
curves = {
    "another seed": distance(train(start(1)), first),
    "batches backwards": distance(train(start(0), backwards=True), first),
    "the same, small steps": distance(
        train(start(0), **calm, backwards=True), train(start(0), **calm)
    ),
}
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for name, curve in curves.items():
    ax.semilogy(curve, label=name)
ax.set(xlabel="step", ylabel="relative distance", ylim=(1e-9, 10))
ax.legend(loc="center right")
plt.show()
# --8<-- [end:distance]

# --8<-- [start:covers]
import random

import numpy as np

draws = []
for _ in range(2):
    torch.manual_seed(0)
    draws.append((torch.rand(1).item(), np.random.rand(), random.random()))
for name, a, b in zip(("torch", "numpy", "random"), *draws, strict=True):
    print(f"{name:6} the same number twice: {a == b}")
# --8<-- [end:covers]

# --8<-- [start:own]
def order(one_more_draw, generator=None):
    torch.manual_seed(0)
    if one_more_draw:
        torch.rand(1)  # a new layer, a print of a random example
    return torch.randperm(6, generator=generator).tolist()


print("global:", order(False), order(True))
own = [torch.Generator().manual_seed(5) for _ in range(2)]
print("own:   ", order(False, own[0]), order(True, own[1]))
# --8<-- [end:own]

# --8<-- [start:workers]
from torch.utils.data import DataLoader, Dataset


class Draws(Dataset):
    """Each example is one draw from each generator."""

    def __init__(self):
        self.own = np.random.default_rng(0)

    def __len__(self):
        return 4

    def __getitem__(self, i):
        named = torch.Generator().manual_seed(1000 + i)  # a seed for each example
        return {
            "torch": torch.rand(1).item(),
            "numpy": np.random.rand(),
            "random": random.random(),
            "self.own": self.own.random(),
            "seed 1000 + i": torch.rand(1, generator=named).item(),
        }


def epochs(workers):
    torch.manual_seed(0)
    loader = DataLoader(Draws(), num_workers=workers, batch_size=None)
    return [list(loader) for _ in range(2)]


one, two = epochs(workers=2)  # examples 0 and 2 in one worker, 1 and 3 in the other
again, _ = epochs(workers=2)
none, _ = epochs(workers=0)
print(f"{'':13}  0 and 1  epochs  runs    workers")
for name in one[0]:
    pairs = (
        one[0][name] == one[1][name],
        one[0][name] == two[0][name],
        one[0][name] == again[0][name],
        one[0][name] == none[0][name],
    )
    print(f"{name:13}  " + "  ".join("same  " if p else "differ" for p in pairs))
# --8<-- [end:workers]

# --8<-- [start:order]
def add_up(numbers):
    total = torch.zeros(())
    for number in numbers:
        total = total + number
    return total


terms = 1 / torch.arange(1.0, 3001)  # 1 + 1/2 + 1/3 + ...
sums = {
    "forwards": add_up(terms),
    "backwards": add_up(terms.flip(0)),
    "in two halves": add_up(terms[:1500]) + add_up(terms[1500:]),
    "in eight parts": add_up(torch.stack([add_up(t) for t in terms.view(8, -1)])),
}
for name, total in sums.items():
    print(f"{name:14} {total.item():.7f}")
print(f"{'exactly':14} {terms.double().sum().item():.7f}")
# --8<-- [end:order]

# --8<-- [start:associative]
a, b, c = torch.tensor([1e8, -1e8, 1.0])
print(f"{(a + b) + c:.0f} {a + (b + c):.0f}")
# --8<-- [end:associative]

# --8<-- [start:device]
device = "cuda" if torch.cuda.is_available() else "cpu"
net = start(0).to(device)  # drawn on the CPU, then moved: every device starts alike
rows = torch.randint(len(x), (32,), generator=torch.Generator().manual_seed(7))
logits = net(x[rows].to(device))
print(logits.device.type == device, rows[:4].tolist())
# --8<-- [end:device]

# --8<-- [start:deterministic]
torch.use_deterministic_algorithms(True)
pooled, places = F.max_pool2d(x[:1], 2, return_indices=True)
try:
    F.max_unpool2d(pooled, places, 2)
except RuntimeError as error:
    print(str(error).split(".")[0])
torch.use_deterministic_algorithms(False)
# --8<-- [end:deterministic]

# --8<-- [start:seeds]
test_x, test_y = load("digits").test.tensors


def accuracy(seed, neighbours, learned=200):
    """Nearest neighbours among 200 random examples: whole numbers, so no rounding."""
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    rows = rows[:learned]
    pixels, unknown = [(16 * t).round().flatten(1) for t in (x[rows], test_x)]
    gaps = (unknown[:, None] - pixels).square().sum(2)
    nearest = gaps.sort(dim=1, stable=True).indices[:, :neighbours]
    votes = F.one_hot(y[rows][nearest], 10).sum(1)
    return (votes.argmax(1) == test_y).double().mean().item()


def ten_runs(neighbours, first_seed=0):
    runs = [accuracy(first_seed + i, neighbours) for i in range(10)]
    return torch.tensor(runs, dtype=torch.float64)


one_near, three_near = ten_runs(1), ten_runs(3)
for name, runs in (("1 neighbour ", one_near), ("3 neighbours", three_near)):
    mean, deviation = runs.mean(), runs.std()
    error = deviation / len(runs) ** 0.5
    print(f"{name} mean {mean:.4f}  deviation {deviation:.4f}  error {error:.4f}")
# --8<-- [end:seeds]

# --8<-- [start:spread]
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for height, runs in enumerate((three_near, one_near)):
    ax.plot(runs, [height] * 10, "o", alpha=0.5)
    ax.errorbar(runs.mean(), height + 0.2, xerr=2 * runs.std() / 10**0.5, fmt="ks")
ax.set_yticks([0, 1], ["3 neighbours", "1 neighbour"])
ax.set(xlabel="test accuracy", ylim=(-0.5, 1.6))
plt.show()
# --8<-- [end:spread]

# --8<-- [start:welch]
def welch(a, b):
    """The t value and the degrees of freedom for the means of independent runs."""
    va, vb = a.var() / len(a), b.var() / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return (a.mean() - b.mean()) / (va + vb).sqrt(), freedom


def paired(a, b):
    """The t value for runs that share their seeds one by one."""
    d = a - b
    return d.mean() / (d.std() / len(d) ** 0.5)


t, freedom = welch(one_near, three_near)
print(f"Welch:  t {t:.2f} with {freedom:.1f} degrees of freedom")
print(f"paired: t {paired(one_near, three_near):.2f} with {len(one_near) - 1}")
# --8<-- [end:welch]

# --8<-- [start:how-many]
def seeds_needed(deviation, difference):
    """For a chance of 80 % to see it, at a level of 5 %."""
    return 2 * (1.96 + 0.84) ** 2 * deviation**2 / difference**2


for difference in (0.04, 0.02, 0.01, 0.005):
    print(f"{difference:<5}  {seeds_needed(one_near.std().item(), difference):3.0f}")
# --8<-- [end:how-many]

# --8<-- [start:resume]
generator = torch.Generator().manual_seed(0)
torch.rand(100, generator=generator)
saved = generator.get_state()  # a tensor: it can go into a checkpoint
rest = torch.rand(3, generator=generator)
other = torch.Generator()
other.set_state(saved)
print(torch.equal(torch.rand(3, generator=other), rest))
# --8<-- [end:resume]

# --8<-- [start:record]
import json
import platform

result = {
    "seeds": list(range(10)),
    "accuracy": one_near.tolist(),
    "python": platform.python_version(),
    "torch": torch.__version__,
    "numpy": np.__version__,
    "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
    "processor": torch.backends.cpu.get_cpu_capability(),  # such as AVX2
    "threads": torch.get_num_threads(),
    "deterministic": torch.are_deterministic_algorithms_enabled(),
}
print(*json.loads(json.dumps(result)))
# --8<-- [end:record]

# --8<-- [start:late]
starts = []
for _ in range(2):
    net = nn.Linear(2, 2)
    torch.manual_seed(0)
    starts.append(net.weight)
print("seeded after the model:", torch.equal(*starts))
# --8<-- [end:late]

# --8<-- [start:inside]
drop = nn.Dropout(0.5)
masks = []
for _ in range(3):
    torch.manual_seed(0)  # "to be safe"
    masks.append((drop(torch.ones(8)) > 0).int().tolist())
print(*masks, sep="\n")
# --8<-- [end:inside]

# --8<-- [start:hash]
import os
import subprocess
import sys

code = "print(*{'cat', 'dog', 'bird', 'fish', 'horse'})"
for command in (code, code.replace("*{", "*sorted({").replace("})", "}))")):
    seen = set()
    for hash_seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = [sys.executable, "-c", command]
        seen.add(subprocess.check_output(run, env=environment))
    print(f"different orders in 3 runs: {len(seen)}")
# --8<-- [end:hash]

# --8<-- [start:best]
print(f"mean of ten seeds {one_near.mean():.4f}, the best one {one_near.max():.4f}")
print(f"mean of ten others {ten_runs(1, first_seed=10).mean():.4f}")
# --8<-- [end:best]

# --8<-- [start:exercise-seeded]
import contextlib


@contextlib.contextmanager
def seeded(seed):
    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():  # of the CPU and of every GPU
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


pairs = []
for _ in range(2):
    with seeded(3):
        pairs.append((random.random(), np.random.rand(), torch.rand(1).item()))
print(pairs[0] == pairs[1])
# --8<-- [end:exercise-seeded]

# --8<-- [start:exercise-compensated]
def add_up_exactly(numbers):
    total, lost = torch.zeros(()), torch.zeros(())
    for number in numbers:
        number = number - lost  # what the last addition dropped comes back
        larger = total + number
        lost = (larger - total) - number  # what was added, minus what should have been
        total = larger
    return total


print(f"{add_up_exactly(terms).item():.7f} {add_up_exactly(terms.flip(0)).item():.7f}")
# --8<-- [end:exercise-compensated]
