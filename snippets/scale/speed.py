"""The program of scale/speed: a page shows its sections."""

# --8<-- [start:model]
import matplotlib.pyplot as plt

a, b = 1.0, 0.01  # made: ms for a batch, ms for an example
sizes = [2**k for k in range(11)]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.loglog(sizes, [a / B + b for B in sizes], marker="o")
left.axhline(b, color="gray", ls="--")
left.set(xlabel="batch size", ylabel="ms for an example")
factors = [10 ** (k / 20) for k in range(41)]
for share in (0.5, 0.9, 0.99):
    faster = [1 / (1 - share + share / s) for s in factors]
    right.loglog(factors, faster, label=f"{share:.0%} of the time")
right.set(xlabel="this part, times as fast", ylabel="the whole, times as fast")
right.legend()
plt.show()
# --8<-- [end:model]

# --8<-- [start:measure]
import statistics
import time


def compare(one, two, runs=9, warm=True, clock=time.perf_counter):
    """Time of one divided by that of two, run in turn: quartiles over the runs."""
    def seconds(job):
        start = clock()
        job()
        return clock() - start

    if warm:
        one(), two()  # compiles, fills caches, takes memory
    ratios = [seconds(one) / seconds(two) for _ in range(runs)]
    return statistics.quantiles(ratios, n=4)


class Made:
    """A job of known length on a clock of its own; its first call compiles."""

    now = 0.0

    def __init__(self, length, first=0.0):
        self.length, self.extra = length, first

    def __call__(self):
        Made.now += self.length + self.extra
        self.extra = 0.0


for warm in (True, False):
    slow, fast = Made(3.0), Made(1.0, first=100.0)
    ratios = compare(slow, fast, runs=2, warm=warm, clock=lambda: Made.now)
    print("with" if warm else "without", "a call before:", f"{ratios[1]:.1f}")
# --8<-- [end:measure]

# --8<-- [start:count]
from collections import Counter

import torch
import torch.nn.functional as F
from dlguide.data import TensorBatches, load
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset


class Count(TorchDispatchMode):
    """Count the operations that PyTorch carries out, by name."""

    def __enter__(self):
        self.calls = Counter()
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


digits = load("digits").train
x, y = digits.tensors


class Pictures(Dataset):
    """One picture at a time, transformed when it is asked for."""

    def __len__(self):
        return len(y)

    def __getitem__(self, i):
        return (x[i] - 0.3) / 0.4, y[i]


with Count() as slow:
    one_by_one = list(DataLoader(Pictures(), batch_size=64))
with Count() as fast:
    scaled = torch.utils.data.TensorDataset((x - 0.3) / 0.4, y)
    at_once = list(TensorBatches(scaled, 64))
print("pictures", len(y), "batches", len(at_once))
print("subtractions", slow.calls["sub"], fast.calls["sub"])
print("divisions   ", slow.calls["div"], fast.calls["div"])
pairs = zip(one_by_one, at_once, strict=True)
print("same batches", all(torch.equal(p, q) for one, two in pairs
                          for p, q in zip(one, two, strict=True)))  # fmt: skip
# --8<-- [end:count]

# --8<-- [start:batch]
from torch.utils.flop_counter import FlopCounterMode

mlp = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def epoch(model, size):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, targets in TensorBatches(scaled, size):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()


for size in (16, 64, 256):
    with Count() as counted, FlopCounterMode(display=False) as work:
        epoch(mlp, size)
    products = counted.calls["mm"] + counted.calls["addmm"]
    flops = work.get_total_flops()
    print(f"batches of {size:3}: {products:3} products, {flops:,} flops")
# --8<-- [end:batch]

# --8<-- [start:layout]
pictures = torch.randn(8, 3, 32, 32)
last = pictures.contiguous(memory_format=torch.channels_last)
print(tuple(pictures.shape), pictures.stride())
print(tuple(last.shape), last.stride())
convolution = nn.Conv2d(3, 16, 3)
out = convolution(pictures)
convolution.to(memory_format=torch.channels_last)
torch.testing.assert_close(convolution(last), out)
print("the same numbers")
# --8<-- [end:layout]

# --8<-- [start:precision]
with torch.autocast("cpu", torch.bfloat16):
    hidden = mlp[1](x[:64].flatten(1))
    logits = mlp(x[:64])
    loss = F.cross_entropy(logits, y[:64])
print(hidden.dtype, loss.dtype, mlp[1].weight.dtype)
print("bytes of a number:", hidden.element_size(), "instead of", x.element_size())
exact = mlp(x[:64])
error = (logits - exact).abs().max() / exact.abs().max()
print("within two percent:", bool(error < 0.02))
# --8<-- [end:precision]

# --8<-- [start:compile]
graphs = []


def backend(graph, inputs):
    """What torch.compile calls for each graph; a real backend writes machine code."""
    graphs.append(len(inputs))
    return graph.forward


compiled = torch.compile(mlp, backend=backend)
for size in (64, 64, 64, 41, 17):
    compiled(x[:size])
    print(f"batch of {size}: {len(graphs)} graphs so far")
# --8<-- [end:compile]

# --8<-- [start:optimizer]
deep = nn.Sequential(*[nn.Linear(16, 16) for _ in range(10)])
deep(torch.randn(4, 16)).sum().backward()
for options in ({"foreach": False}, {"foreach": True}, {"fused": True}):
    optimizer = torch.optim.AdamW(deep.parameters(), **options)
    optimizer.step()  # the first step makes the state
    with Count() as counted:
        optimizer.step()
    calls = counted.calls.total() - counted.calls["_local_scalar_dense"]
    print(options, "more" if calls > 20 else "fewer", "calls than parameters")
# --8<-- [end:optimizer]

# --8<-- [start:item]
def read_often(losses):
    return sum(loss.item() for loss in losses)


def read_once(losses):
    return torch.stack(losses).sum().item()


losses = [loss.detach()] * 100
for read in (read_often, read_once):
    with Count() as counted:
        read(losses)
    print(read.__name__, counted.calls["_local_scalar_dense"], "readings")
# --8<-- [end:item]

# --8<-- [start:inference]
for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
    with mode():
        out = mlp(x[:64])
    graph = out.grad_fn is not None
    print(f"{mode.__name__:15} graph {graph!s:6} inference {out.is_inference()}")
# --8<-- [end:inference]

# --8<-- [start:denormal]
def tiny_numbers():
    """Is any of the gradients not 0 and still below the smallest normal number?"""
    torch.manual_seed(0)
    rnn = nn.RNN(8, 8, batch_first=True)
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(0.4 * torch.eye(8))
    steps = torch.zeros(4, 128, 8, requires_grad=True)
    rnn(steps)[1].sum().backward()
    gradient = steps.grad.abs()
    return ((gradient > 0) & (gradient < torch.finfo(torch.float32).tiny)).any()


print("tiny numbers:", bool(tiny_numbers()))
if torch.set_flush_denormal(True):
    print("flushed to 0:", not tiny_numbers())
    torch.set_flush_denormal(False)
# --8<-- [end:denormal]

# --8<-- [start:together]
from functools import partial

from dlguide.data import RandomShift
from dlguide.train import Trainer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import TensorDataset

splits = load("digits", standardize=True)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
    nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 10),
).to(memory_format=torch.channels_last)  # fmt: skip
inputs, targets = splits.train.tensors
inputs = inputs.contiguous(memory_format=torch.channels_last)
batches = TensorBatches(
    TensorDataset(inputs, targets), 64, shuffle=True, augment=RandomShift(1)
)
steps = 6 * len(batches)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
warm = steps // 5
scheduler = LambdaLR(
    optimizer, lambda i: min((i + 1) / warm, (steps - i) / (steps - warm))
)
trainer = Trainer(
    model, optimizer, loss=partial(F.cross_entropy, label_smoothing=0.1),
    scheduler=scheduler, precision="bf16", device="cpu",
)  # fmt: skip
trainer.fit(batches, steps=steps)
accuracy = trainer.evaluate(TensorBatches(splits.test, 512))["accuracy"]
print("above 97 percent:", accuracy > 0.97)
# --8<-- [end:together]

# --8<-- [start:layout-lost]
def is_last(t):
    return t.is_contiguous(memory_format=torch.channels_last)


again = torch.stack(list(last))  # what collate does with single pictures
print(is_last(last), is_last(last[:4]), is_last(again))
# --8<-- [end:layout-lost]

# --8<-- [start:inference-lost]
with torch.inference_mode():
    features = mlp[1](x[:64].flatten(1))
try:
    mlp[3](features).sum().backward()
except RuntimeError as error:
    print(str(error).split(".")[0])
# --8<-- [end:inference-lost]

# --8<-- [start:exercise-amdahl]
def whole(parts, factors):
    """How many times as fast the whole is, from that of each part."""
    after = sum(seconds / factors.get(name, 1) for name, seconds in parts.items())
    return sum(parts.values()) / after


parts = {"data": 6.0, "forward and backward": 3.0, "optimizer": 1.0}
for factors in ({"optimizer": 100}, {"data": 100}, {"data": 100, "optimizer": 100}):
    print(factors, f"{whole(parts, factors):.1f}")
# --8<-- [end:exercise-amdahl]

# --8<-- [start:exercise-batches]
def epoch_of_batches(x, y, size, generator):
    """Each example once, in a new order, in batches by one indexing each."""
    for rows in torch.randperm(len(y), generator=generator).split(size):
        yield x[rows], y[rows]


generator = torch.Generator().manual_seed(0)
seen = torch.cat([part for _, part in epoch_of_batches(x, y, 100, generator)])
print(len(seen), torch.equal(seen.sort().values, y.sort().values))
# --8<-- [end:exercise-batches]
