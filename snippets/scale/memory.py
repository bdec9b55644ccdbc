"""The program of scale/memory: a page shows its sections."""
# ruff: noqa: F401, the rule that the page includes uses these names

# --8<-- [start:parts]
import weakref

import torch
import torch.nn.functional as F
from dlguide.memory import MemoryMeter, saved_bytes, training_bytes
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
        nn.Linear(512, 10),
    )  # fmt: skip


def batch(n):
    torch.manual_seed(0)
    return torch.randn(n, 256), torch.randint(10, (n,))


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


model = network()
count = sum(p.numel() for p in model.parameters())
print(f"{count} parameters; bytes for each of them:")
makers = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD, momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p),
}
for name, make in makers.items():
    model = network()
    optimizer = make(model.parameters())
    step(model, optimizer, *batch(8))
    each = [part / count for part in training_bytes(model, optimizer)[:3]]
    print(f"{name:14} {each[0]:.0f} + {each[1]:.0f} + {each[2]:.0f} = {sum(each):.0f}")
# --8<-- [end:parts]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

sizes = [1, 512, 1024, 2048]
held = [part / 1e6 for part in training_bytes(model, optimizer)[:3]]
saved = [saved_bytes(model, batch(n)[0]) / 1e6 for n in sizes]
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.stackplot(
    sizes, *[[part] * len(sizes) for part in held], saved,
    labels=["parameters", "gradients", "Adam's state", "activations"],
    colors=["#2b6cb0", "#dd8a3e", "#7a5195", "#4c956c"],
)  # fmt: skip
ax.set(xlabel="batch size", ylabel="MB", xlim=(1, 2048))
ax.legend(loc="upper left")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:saved]
x, _ = batch(32)
print("saved  ", saved_bytes(model, x))
print("by hand", 4 * 32 * (256 + 512 + 512))
for name, size in {"2 times the batch": 64, "4 times": 128}.items():
    print(name, saved_bytes(model, batch(size)[0]))
# --8<-- [end:saved]

# --8<-- [start:functions]
x = torch.randn(32, 256)
print("of each function and the layer after it, in maps of 32 x 256 numbers:")
for act in (nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid(), nn.GELU(), nn.SiLU()):
    block = nn.Sequential(nn.Linear(256, 256), act, nn.Linear(256, 256))
    print(f"{act!s:24} {saved_bytes(block, x) / (4 * 32 * 256) - 1:.0f}")
# --8<-- [end:functions]

# --8<-- [start:convolution]
picture = torch.randn(8, 3, 32, 32)
layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
print("conv, relu, pool", saved_bytes(nn.Sequential(*layers), picture))
inputs, maps = 3 * 32 * 32, 16 * 32 * 32
print("by hand         ", 4 * 8 * (inputs + maps) + 8 * 8 * maps // 4)
layers.insert(1, nn.BatchNorm2d(16))
with_norm = saved_bytes(nn.Sequential(*layers), picture)
print("with BatchNorm  ", with_norm, "=", 4 * 8 * (inputs + 2 * maps) + 16 * maps,
      "+ mean and deviation of 16 channels")  # fmt: skip
# --8<-- [end:convolution]


# --8<-- [start:attention]
def attention(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def heads(length):
    torch.manual_seed(0)
    return [torch.randn(2, 4, length, 16, requires_grad=True) for _ in range(3)]


fused = F.scaled_dot_product_attention
lengths = [64, 128, 256, 512]
rows = [[saved_bytes(f, *heads(t)) / 1e6 for t in lengths] for f in (attention, fused)]
print("length      ", *(f"{length:6}" for length in lengths))
print("matrix, MB  ", *(f"{mb:6.2f}" for mb in rows[0]))
print("fused, MB   ", *(f"{mb:6.2f}" for mb in rows[1]))
# --8<-- [end:attention]

# --8<-- [start:no-grad]
x, y = batch(256)
print("training        ", saved_bytes(model, x))
print("model.eval()    ", saved_bytes(model.eval(), x))
with torch.no_grad():
    print("no_grad()       ", saved_bytes(model, x))
with torch.inference_mode():
    print("inference_mode()", saved_bytes(model, x))
model.train()
model[0].requires_grad_(False)  # the first layer is frozen
print("1st layer frozen", saved_bytes(model, x))
model[0].requires_grad_(True)
# --8<-- [end:no-grad]

# --8<-- [start:peak]
x, y = batch(2048)
optimizer = torch.optim.Adam(model.parameters())
step(model, optimizer, x, y)
stages = {}
optimizer.zero_grad()
with MemoryMeter() as meter:
    loss = F.cross_entropy(model(x), y)
    stages["after the forward pass"] = meter.now
    loss.backward()
    stages["after the backward pass"] = meter.now
    del loss
    stages["at the peak"] = meter.peak
for name, size in stages.items():
    print(f"{name:24}{size / 1e6:5.1f} MB")
# --8<-- [end:peak]


# --8<-- [start:accumulate]
def gradients(model, loss_of_parts):
    """Gradients after one backward pass for each part."""
    model.zero_grad()
    for loss in loss_of_parts:
        loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def parts_of(model, x, y, size, weight):
    for part, target in zip(x.split(size), y.split(size), strict=True):
        yield F.cross_entropy(model(part), target) * weight(len(part))


model = network().double()
x, y = batch(100)
x = x.double()
whole = gradients(model, [F.cross_entropy(model(x), y)])
rules = {
    "25, share of the examples": (25, lambda n: n / 100),
    "25, divided by 4": (25, lambda n: 1 / 4),
    "40, share of the examples": (40, lambda n: n / 100),  # 40, 40, 20
    "40, divided by 3": (40, lambda n: 1 / 3),
    "25, not divided": (25, lambda n: 1),
}
for name, (size, weight) in rules.items():
    found = gradients(model, parts_of(model, x, y, size, weight))
    print(f"{name:26} equal {torch.allclose(found, whole)!s:5}", end="  ")
    print(f"error {(found - whole).norm() / whole.norm():.2f}")
print("saved at once:", saved_bytes(model, x))
print("saved by 25:  ", saved_bytes(model, x[:25].clone()))
# --8<-- [end:accumulate]

# --8<-- [start:normalized]
normed = nn.Sequential(nn.Linear(256, 64), nn.BatchNorm1d(64), nn.ReLU(),
                       nn.Linear(64, 10)).double()  # fmt: skip
whole = gradients(normed, [F.cross_entropy(normed(x), y)])
found = gradients(normed, parts_of(normed, x, y, 25, lambda n: n / 100))
print("equal with BatchNorm:", torch.allclose(found, whole))
# --8<-- [end:normalized]

# --8<-- [start:checkpoint]
from torch.utils.checkpoint import checkpoint

calls = 0


def counting(module, inputs, output):
    global calls
    calls += 1


def tower(n=36, width=32):
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(n))
    )


def run(blocks, x, segments=None):
    """The output of the blocks; each of the segments keeps its input only."""
    if segments is None:
        return blocks(x)
    size = len(blocks) // segments
    for start in range(0, len(blocks), size):
        x = checkpoint(blocks[start : start + size], x, use_reentrant=False)
    return x


blocks = tower()
blocks[0].register_forward_hook(counting)
x = torch.randn(2048, 32, requires_grad=True)
results = {}
for segments in (None, 6):
    calls = 0
    saved = saved_bytes(lambda x, k=segments: run(blocks, x, k), x)
    calls = 0
    results[segments] = gradients(blocks, [run(blocks, x, segments).sum()])
    print(f"segments {segments}: saved {saved / 1e6:.1f} MB, forward passes {calls}")
print("same gradients:", torch.equal(results[None], results[6]))
# --8<-- [end:checkpoint]

# --8<-- [start:segments]
blocks = tower()
one = 4 * 2048 * 32  # bytes of one block's output
choices = [1, 2, 3, 4, 6, 9, 12, 18, 36]
peaks = {}
for segments in (None, *choices):
    for p in blocks.parameters():
        p.grad = torch.zeros_like(p)  # so that the backward pass need not make them
    with MemoryMeter() as meter:
        run(blocks, x, segments).sum().backward()
    peaks[segments] = meter.peak / one
    x.grad = None
print(f"without: {peaks[None]:.0f}, 6 segments: {peaks[6]:.0f} outputs of a block")
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.axhline(peaks[None], color="gray", ls="--", label="without checkpoints")
ax.plot(choices, [peaks[k] for k in choices], "o", label="measured")
dense = torch.linspace(1, 36, 200)
ax.plot(dense, dense + 36 / dense, label="k + 36 / k")
ax.set(xlabel="segments k", ylabel="peak, outputs of a block", ylim=(0, None))
ax.legend()
plt.show()
# --8<-- [end:segments]

# --8<-- [start:operations]
from torch.utils.flop_counter import FlopCounterMode

model, (x, y) = network(), batch(32)
weights = sum(p.numel() for p in model.parameters() if p.dim() == 2)
flops = {}
for name, run_once in {
    "forward": lambda: model(x),
    "training": lambda: model(x).sum().backward(),
    "checkpointed": lambda: checkpoint(model, x, use_reentrant=False).sum().backward(),
}.items():
    with FlopCounterMode(display=False) as counter:
        run_once()
    flops[name] = counter.get_total_flops()
    print(f"{name:13}{flops[name] / (32 * weights):.1f} per weight and example")
# --8<-- [end:operations]

# --8<-- [start:types]
x, y = batch(2048)
print(f"float32   {saved_bytes(network(), x) / 1e6:.1f} MB")
print(f"bfloat16  {saved_bytes(network().bfloat16(), x.bfloat16()) / 1e6:.1f} MB")
model = network()
with torch.autocast("cpu", torch.bfloat16):
    mixed = saved_bytes(model, x)
print(f"autocast  {mixed / 1e6:.1f} MB, copies of the weights included")

half = network().bfloat16()  # computes; the float32 copies are what is trained
copies = [p.detach().float() for p in half.parameters()]
optimizer = torch.optim.Adam(copies)
F.cross_entropy(half(x.bfloat16()), y).backward()
for copy, p in zip(copies, half.parameters(), strict=True):
    copy.grad = p.grad.float()
optimizer.step()
for copy in copies:
    copy.grad = None
parts = [part / count for part in training_bytes(half, optimizer)[:3]]
print("half weights, master copy:", *(f"{part:.0f}" for part in parts), "bytes each")
# --8<-- [end:types]

# --8<-- [start:meta]
with torch.device("meta"):  # shapes, no numbers
    large = nn.Sequential(nn.Linear(8192, 65536), nn.ReLU(), nn.Linear(65536, 8192))
    x = torch.empty(4096, 8192)
optimizer = torch.optim.Adam(large.parameters())
large(x).sum().backward()
optimizer.step()
print(f"stays {sum(training_bytes(large, optimizer)) / 1e9:.1f} GB")
print(f"saved {saved_bytes(large, x) / 1e9:.1f} GB")
# --8<-- [end:meta]


# --8<-- [start:losses]
def held_by(keep, train=True, steps=20):
    """Bytes alive after the steps, more than after the first."""
    model, (x, y) = network(), batch(64)
    kept = []
    with MemoryMeter() as meter:
        for i in range(steps + 1):
            loss = F.cross_entropy(model(x), y)
            if train:
                model.zero_grad()
                loss.backward()
            kept.append(keep(loss))
            del loss
            if i == 0:
                first = meter.now
        return meter.now - first


print("training,   loss.item()  ", held_by(lambda loss: loss.item()))
print("training,   loss         ", held_by(lambda loss: loss))
print("validation, loss.item()  ", held_by(lambda loss: loss.item(), train=False))
print("validation, loss.detach()", held_by(lambda loss: loss.detach(), train=False))
print("validation, loss         ", held_by(lambda loss: loss, train=False))
# --8<-- [end:losses]

# --8<-- [start:zero]
model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = batch(64)
step(model, optimizer, x, y)
for none in (False, True):
    optimizer.zero_grad(set_to_none=none)
    gradients_left = training_bytes(model, optimizer).gradients
    print(f"set_to_none={none!s:5} gradients {gradients_left} bytes")
# --8<-- [end:zero]

# --8<-- [start:twice]
block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
h = torch.randn(8, 4, requires_grad=True)
checkpoint(block, h, use_reentrant=False).sum().backward()
print("batches that BatchNorm has counted:", block[1].num_batches_tracked.item())
# --8<-- [end:twice]


# --8<-- [start:exercise-largest]
def largest_batch(free, parameters, optimizer_bytes, example_bytes):
    """The most examples that fit in `free` bytes, in float32; 0 if nothing fits."""
    left = free - parameters * (4 + 4 + optimizer_bytes)
    return max(0, left // example_bytes)


# 24 GB, a billion parameters, Adam, 20 MB for each example
print(largest_batch(24 * 10**9, 10**9, 8, 20 * 10**6))
# --8<-- [end:exercise-largest]


# --8<-- [start:exercise-accumulate]
def accumulate(model, x, y, size):
    """Add the gradient of the mean loss over all of x, `size` examples at a time."""
    for part, target in zip(x.split(size), y.split(size), strict=True):
        loss = F.cross_entropy(model(part), target, reduction="sum") / len(x)
        loss.backward()


model, (x, y) = network(), batch(10)
accumulate(model, x, y, 4)  # 4, 4, 2
print(f"length of the last bias's gradient: {model[4].bias.grad.norm():.3f}")
# --8<-- [end:exercise-accumulate]
