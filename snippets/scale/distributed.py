# --8<-- [start:launch]
import multiprocessing
import os
import socket

import torch
import torch.distributed.checkpoint  # here once, and not in each process
import torch.distributed.fsdp
from torch import nn
from torch.nn import functional as F


def launch(script, world_size):
    """Run script() in so many processes, as torchrun does; return their answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def work(rank):
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank),
                       "WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
        torch.set_num_threads(1)
        try:
            answers.put((rank, script()))
        except Exception as error:
            answers.put((rank, error))

    workers = [context.Process(target=work, args=(rank,)) for rank in range(world_size)]
    for worker in workers:
        worker.start()
    found = dict(answers.get() for _ in workers)
    for worker in workers:
        worker.join()
    for answer in found.values():
        if isinstance(answer, Exception):
            raise answer
    return [found[rank] for rank in range(world_size)]
# --8<-- [end:launch]


# --8<-- [start:hello]
import torch.distributed as dist
from dlguide.train import processes


def hello():
    with processes("cpu") as group:
        number = torch.tensor([10.0 ** group.rank])
        dist.all_reduce(number)  # the sum over all processes, in each of them
        return f"process {group.rank} of {group.world_size}: {number.item():.0f}"


print(*launch(hello, 3), sep="\n")
# --8<-- [end:hello]

# --8<-- [start:gradients]
torch.manual_seed(0)
x, y = torch.randn(8, 4).double(), torch.arange(8) % 3


def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def gradient_of(net, x, y):
    F.cross_entropy(net(x), y).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def averaged():
    with processes("cpu") as group:
        rows = slice(group.rank, None, group.world_size)  # every second example
        by_hand = gradient_of(model(), x[rows], y[rows])
        dist.all_reduce(by_hand)
        by_ddp = gradient_of(group.spread(model(), "ddp"), x[rows], y[rows])
        return (by_hand / group.world_size).tolist(), by_ddp.tolist()


alone = gradient_of(model(), x, y)
for by_hand, by_ddp in launch(averaged, 2):
    for name, g in (("by hand", by_hand), ("by DDP", by_ddp)):
        difference = (torch.tensor(g) - alone).abs().max().item()
        print(f"averaged {name}, equal to one process: {difference < 1e-6}")
# --8<-- [end:gradients]

# --8<-- [start:shares]
from dlguide.data import BatchOrder

for rank in (0, 1):
    share = BatchOrder(7, batch_size=4, shuffle=False, rank=rank, world_size=2)
    print(f"process {rank}:", *share)
# --8<-- [end:shares]

# --8<-- [start:uneven]
def uneven(weighted):
    """The gradient of 7 examples, 4 in one process and 3 in the other."""
    with processes("cpu") as group:
        mine = x[group.rank : 7 : 2], y[group.rank : 7 : 2]
        g = gradient_of(model(), *mine)
        n = len(mine[1])
        g *= n / 7 if weighted else 1 / group.world_size
        dist.all_reduce(g)
        return g.tolist()


seven = gradient_of(model(), x[:7], y[:7])
for weighted in (False, True):
    g = torch.tensor(launch(lambda weighted=weighted: uneven(weighted), 2)[0])
    print(f"weighted: {weighted!s:5} equal: {torch.allclose(g, seven.float())}")
# --8<-- [end:uneven]

# --8<-- [start:train]
from dlguide.data import TensorBatches, load
from dlguide.models import MLP
from dlguide.train import Trainer

digits = load("digits")


def train(how="ddp"):
    with processes("cpu") as group:
        share = {"rank": group.rank, "world_size": group.world_size}
        batches = TensorBatches(digits.train, 64, shuffle=True, **share)
        validation = TensorBatches(digits.validation, 512, **share)
        torch.manual_seed(0)
        net = group.spread(MLP(64), how)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        trainer = Trainer(net, optimizer, device=group.device)
        history = trainer.fit(batches, validation, epochs=1)
        whole = group.gather(net)  # all processes must call it
        return history.validation_loss[-1], whole["layers.0.weight"].tolist()


loss, weight = train()  # without torchrun: one process
for how in ("ddp", "fsdp"):
    for rank, (other, weights) in enumerate(launch(lambda how=how: train(how), 2)):
        close = torch.allclose(torch.tensor(weights), torch.tensor(weight), atol=1e-4)
        print(f"{how:4} process {rank}: {close}, {abs(other - loss) < 1e-4}")
# --8<-- [end:train]

# --8<-- [start:memory]
from dlguide.models import TransformerClassifier


def state_bytes(how):
    """Bytes that this process keeps: weights, gradients, and Adam's two moments."""
    with processes("cpu") as group:
        torch.manual_seed(0)
        net = TransformerClassifier(64, width=32, heads=2, depth=4, max_length=16)
        count = sum(p.numel() for p in net.parameters())
        net = group.spread(net, how)
        optimizer = torch.optim.Adam(net.parameters())
        ids = torch.ones(2, 16, dtype=torch.long)
        F.cross_entropy(net(ids), torch.tensor([0, 1])).backward()
        optimizer.step()
        kept = [t for p in net.parameters() for t in (p, p.grad)]
        moments = ("exp_avg", "exp_avg_sq")
        kept += [s[m] for s in optimizer.state.values() for m in moments]
        here = [t.to_local() if hasattr(t, "to_local") else t for t in kept]
        return sum(t.numel() * t.element_size() for t in here), count


for how in ("ddp", "fsdp"):
    for rank, (size, count) in enumerate(launch(lambda how=how: state_bytes(how), 2)):
        print(f"{how:4} process {rank}: {size / count:5.2f} bytes per parameter")
# --8<-- [end:memory]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

parts = {"weights": 4, "gradients": 4, "Adam": 8}  # bytes for each parameter
fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained", sharey=True)
for ax, how in zip(axes, ("DDP", "FSDP"), strict=True):
    bottom = [0.0] * 4
    for name, size in parts.items():
        height = size / (4 if how == "FSDP" else 1)
        ax.bar(range(4), height, bottom=bottom, label=name, width=0.7)
        bottom = [b + height for b in bottom]
    ax.set(title=how, xlabel="process", xticks=range(4))
axes[0].set_ylabel("bytes per parameter")
axes[1].legend()
plt.show()
# --8<-- [end:picture]

# --8<-- [start:ring]
def ring_all_reduce(vectors):
    """Add up vectors that stand in a ring; each sends to its right neighbour only."""
    world_size = len(vectors)
    parts = [list(v.chunk(world_size)) for v in vectors]
    sent = [0] * world_size
    for step in range(2 * (world_size - 1)):
        adding = step < world_size - 1  # first add up (reduce-scatter), then hand round
        moves = []
        for r in range(world_size):
            i = (r - step if adding else r + 1 - (step - world_size + 1)) % world_size
            moves.append(((r + 1) % world_size, i, parts[r][i]))
            sent[r] += parts[r][i].numel()
        for r, i, part in moves:
            parts[r][i] = parts[r][i] + part if adding else part
    return [torch.cat(p) for p in parts], sent


vectors = [torch.arange(12.0) * 10**r for r in range(4)]
sums, sent = ring_all_reduce(vectors)
print("equal to the sum:", all(torch.equal(s, sum(vectors)) for s in sums))
print("numbers sent by each of 4 processes:", sent)
print("2 (W - 1) / W times 12:", 2 * 3 / 4 * 12)
# --8<-- [end:ring]

# --8<-- [start:counters]
import math
from collections import Counter

from torch.profiler import ProfilerActivity, profile

names = {"gloo:all_reduce": "all-reduce", "c10d::_allgather_base_": "all-gather",
         "c10d::_reduce_scatter_base_": "reduce-scatter"}  # fmt: skip


def counters(how):
    """What PyTorch's profiler records in one training step."""
    os.environ["KINETO_LOG_LEVEL"] = "99"  # or it speaks of itself
    with processes("cpu") as group:
        torch.manual_seed(0)
        net = TransformerClassifier(64, width=32, heads=2, depth=4)
        count = sum(p.numel() for p in net.parameters())
        net = group.spread(net, how)
        ids, y = torch.ones(2, 16, dtype=torch.long), torch.tensor([0, 1])
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as record:
            F.cross_entropy(net(ids), y).backward()
        numbers, calls = Counter(), Counter()
        for event in record.events():
            if event.name in names:
                calls[names[event.name]] += 1
                numbers[names[event.name]] += max(map(math.prod, event.input_shapes))
        return {name: (n, numbers[name] / count) for name, n in calls.items()}


for how in ("ddp", "fsdp"):
    for name, (calls, share) in launch(lambda how=how: counters(how), 2)[0].items():
        print(f"{how:4} {calls:2} x {name:14} {share:.2f} times all parameters")
# --8<-- [end:counters]

# --8<-- [start:checkpoint]
import tempfile
from pathlib import Path

from dlguide.train import Checkpoint, resume


def part_of_a_run(folder, epochs):
    with processes("cpu") as group:
        share = {"rank": group.rank, "world_size": group.world_size}
        batches = TensorBatches(digits.train, 64, shuffle=True, **share)
        torch.manual_seed(0)
        net = group.spread(MLP(64), "fsdp")
        optimizer = torch.optim.Adam(net.parameters())
        callbacks = [Checkpoint(folder)]
        trainer = Trainer(net, optimizer, callbacks=callbacks, device="cpu")
        resume(trainer, folder)
        trainer.fit(batches, epochs=epochs)
        return trainer.step, group.gather(net)["layers.0.weight"].tolist()


with tempfile.TemporaryDirectory() as folder:
    print("two processes, steps:", launch(lambda: part_of_a_run(folder, 1), 2)[0][0])
    for path in sorted(Path(folder).rglob("*")):
        print(path.relative_to(folder))
    step, resumed = part_of_a_run(folder, 2)
    print("one process went on to step", step)
with tempfile.TemporaryDirectory() as folder:
    _, whole = part_of_a_run(folder, 2)
close = torch.allclose(torch.tensor(resumed), torch.tensor(whole), atol=1e-4)
print("equal to a run by one process:", close)
# --8<-- [end:checkpoint]

# --8<-- [start:plan]
def efficiency(parameters, seconds, world_size, bandwidth):
    """The share of the time that is left for computing, if nothing overlaps."""
    exchange = 2 * (world_size - 1) / world_size * 4 * parameters / bandwidth
    return seconds / (seconds + exchange)


print("processes   1 GB/s  10 GB/s  100 GB/s")
for world_size in (2, 8, 64):
    row = [efficiency(124e6, 0.5, world_size, b) for b in (1e9, 1e10, 1e11)]
    print(f"{world_size:9}", *(f"{100 * e:7.0f}%" for e in row))
# --8<-- [end:plan]

# --8<-- [start:batch]
def steps(w, lr, batch):
    """Steps on the mean of (w - t)^2 / 2, the targets t in batches."""
    for targets in torch.arange(8.0).split(batch):
        w = w - lr * (w - targets.mean())
    return w


for lr in (0.001, 0.1):
    small, large = steps(0.0, lr, batch=2), steps(0.0, 4 * lr, batch=8)
    print(f"lr {lr}: 4 small steps {small:.4f}, one of 4 times the size {large:.4f}")
# --8<-- [end:batch]

# --8<-- [start:same-data]
def same_data():
    with processes("cpu") as group:
        net = group.spread(MLP(64))
        trainer = Trainer(net, torch.optim.SGD(net.parameters(), lr=0.1), device="cpu")
        try:
            trainer.fit(TensorBatches(digits.train, 64), epochs=1)
        except ValueError as error:
            return str(error).split(":")[0]


print(*launch(same_data, 2), sep="\n")
# --8<-- [end:same-data]

# --8<-- [start:one-metric]
def metric():
    with processes("cpu") as group:
        mine = (y % 3 == 0)[group.rank :: 2].double()  # 1 for a hit
        both = torch.stack([mine.sum(), torch.tensor(len(mine)).double()])
        dist.all_reduce(both)
        return mine.mean().item(), (both[0] / both[1]).item()


for rank, (own, all_of_them) in enumerate(launch(metric, 2)):
    print(f"process {rank}: of its own share {own:.3f}, of all {all_of_them:.3f}")
# --8<-- [end:one-metric]

# --8<-- [start:batchnorm]
def normalized():
    with processes("cpu") as group:
        layer = nn.BatchNorm1d(4).double()
        layer(x[group.rank :: 2])
        try:
            nn.SyncBatchNorm.convert_sync_batchnorm(layer)(x[group.rank :: 2])
        except ValueError as error:
            return layer.running_mean[0].item(), str(error).split(" or ")[0]


for rank, (mean, refusal) in enumerate(launch(normalized, 2)):
    print(f"process {rank}: running mean {mean:.3f}; {refusal}")
# --8<-- [end:batchnorm]

# --8<-- [start:hang]
from datetime import timedelta

over = multiprocessing.get_context("fork").Event()


def one_is_missing():
    with processes("cpu") as group:
        if group.rank == 0:  # the mistake: the other process never comes here
            try:
                work = dist.all_reduce(torch.ones(1), async_op=True)
                work.wait(timedelta(seconds=0.5))
            except RuntimeError as error:
                return str(error)
            finally:
                over.set()
        over.wait()
        return "process 1 is somewhere else"


print(*launch(one_is_missing, 2), sep="\n")
# --8<-- [end:hang]

# --8<-- [start:unused]
def unused():
    with processes("cpu"):
        net = nn.ModuleDict({"used": nn.Linear(4, 3), "unused": nn.Linear(4, 3)})
        net.forward = lambda x: net["used"](x)
        ddp = nn.parallel.DistributedDataParallel(net)
        try:
            for _ in range(2):
                F.cross_entropy(ddp(x.float()), y).backward()
        except RuntimeError as error:
            return str(error).split(".")[0]


print(launch(unused, 2)[0])
# --8<-- [end:unused]

# --8<-- [start:exercise-ring]
def seconds_of_exchange(parameters, world_size, bandwidth, bytes_each=4, sharded=False):
    """The time that one step sends for: all-reduce, or FSDP's three exchanges."""
    rounds = 3 if sharded else 2
    return rounds * (world_size - 1) / world_size * parameters * bytes_each / bandwidth


link = 100e9 / 8  # 100 gigabits a second, in bytes
print(f"DDP  {seconds_of_exchange(124e6, 8, link):.4f} s")
print(f"FSDP {seconds_of_exchange(124e6, 8, link, sharded=True):.4f} s")
# --8<-- [end:exercise-ring]

# --8<-- [start:exercise-loss]
def loss_of_all(losses, counts):
    """The mean loss over all examples from the mean losses of processes."""
    return sum(l * n for l, n in zip(losses, counts, strict=True)) / sum(counts)


print(loss_of_all([1.0, 2.0], [3, 1]))
# --8<-- [end:exercise-loss]
