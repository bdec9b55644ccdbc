"""The program of practice/checkpoints: a page shows its sections."""

# --8<-- [start:run]
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from dlguide.data import load
from torch import nn

x, y = (t[:200] for t in load("digits").train.tensors)


def new_model(num_classes=10):
    first, last = nn.Linear(64, 32), nn.Linear(32, num_classes)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Dropout(0.3), last)


class Run:
    """A small run by hand: dropout, Adam, a scheduler, a new order in each epoch."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.model = new_model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 40)
        self.order, self.step = torch.randperm(200), 0

    def train(self, steps):
        """Go on until so many steps are done; 10 steps are an epoch."""
        while self.step < steps:
            rows = self.order[20 * (self.step % 10) :][:20]
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(x[rows]), y[rows]).backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            if self.step % 10 == 0:
                self.order = torch.randperm(200)
        return self.model[1].weight.detach().clone()


expected = Run().train(40)  # never stopped
# --8<-- [end:run]

# --8<-- [start:state]
def state(run):
    return {
        "model": run.model.state_dict(),  # parameters and buffers
        "optimizer": run.optimizer.state_dict(),  # Adam's averages, its step, lr
        "scheduler": run.scheduler.state_dict(),
        "random": torch.get_rng_state(),  # what dropout and randperm draw next
        "order": run.order,  # the rest of this epoch
        "step": run.step,
    }


def restore(run, saved):
    for name in ("model", "optimizer", "scheduler"):
        if name in saved:
            getattr(run, name).load_state_dict(saved[name])
    if "random" in saved:
        torch.set_rng_state(saved["random"])
    run.order, run.step = saved.get("order", run.order), saved["step"]


folder = TemporaryDirectory()
path = Path(folder.name) / "run.pt"
run = Run()
run.train(25)  # in the middle of the third epoch
torch.save(state(run), path)
del run  # the machine is switched off

run = Run(seed=1)  # another process: its weights and random numbers are other ones
restore(run, torch.load(path))
print("the same bits:", torch.equal(run.train(40), expected))
# --8<-- [end:state]

# --8<-- [start:without]
import matplotlib.pyplot as plt


def follow(run):
    """The weights after each of the steps 26 to 40."""
    return torch.stack([run.train(step) for step in range(26, 41)])


whole = Run()
whole.train(25)
expected = follow(whole)
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for left_out in ("model", "optimizer", "scheduler", "random", "order"):
    saved = torch.load(path)
    del saved[left_out]
    run = Run(seed=1)
    restore(run, saved)
    off = (follow(run) - expected).flatten(1).norm(dim=1)
    print(f"without {left_out:9}  the same bits: {bool(off[-1] == 0)}")
    ax.semilogy(range(26, 41), off, label=f"without {left_out}")
ax.set(xlabel="step", ylabel="distance of the weights")
ax.legend(loc="lower right")
plt.show()
# --8<-- [end:without]

# --8<-- [start:trainer]
from dlguide.data import TensorBatches
from dlguide.train import EMA, Checkpoint, Trainer, resume
from torch.utils.data import TensorDataset

data = TensorDataset(x, y)


def build(*callbacks):
    torch.manual_seed(0)
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return Trainer(model, optimizer, callbacks=[EMA(0.9), *callbacks], device="cpu")


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


whole_run = build()
whole_run.fit(TensorBatches(data, 20, shuffle=True), epochs=4)

runs = Path(folder.name) / "digits"
first = build(Checkpoint(runs, every=5))
first.fit(TensorBatches(data, 20, shuffle=True), steps=27)
del first  # killed; steps 26 and 27 are lost

second = build(Checkpoint(runs, every=5))
print("found:", resume(second, runs), " goes on after step", second.step)
second.fit(TensorBatches(data, 20, shuffle=True), epochs=4)
print("the same bits:", torch.equal(weights(second), weights(whole_run)))
print([path.name for path in runs.iterdir()])
# --8<-- [end:trainer]

# --8<-- [start:inside]
saved = torch.load(runs / "step-000000040.pt")
for name, value in saved.items():
    print(f"{name:16} {type(value).__name__}")
# --8<-- [end:inside]

# --8<-- [start:careless]
from contextlib import suppress


class PowerCut(Exception):
    pass


def save_carelessly(state, path):
    with open(path, "wb") as file:  # noqa: PTH123
        torch.save(state, file)
        file.truncate(1000)  # only the first 1000 bytes reach the disk ...
        raise PowerCut  # ... and then it is dark


kept = Path(folder.name) / "kept.pt"
torch.save({"step": 100}, kept)
with suppress(PowerCut):
    save_carelessly({"step": 200, "weight": torch.ones(1000)}, kept)
try:
    torch.load(kept)
except (RuntimeError, OSError) as error:
    print("step 200 is not there, and step 100 is gone:", type(error).__name__)
# --8<-- [end:careless]

# --8<-- [start:atomic]
import os


def save(state, path, cut=False):
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        if cut:
            file.truncate(1000)
            raise PowerCut
        file.flush()  # from Python to the system
        os.fsync(file.fileno())  # from the system to the disk
    part.replace(path)  # the old file or the new one, never half of one


save({"step": 100}, kept)
try:
    save({"step": 200, "weight": torch.ones(1000)}, kept, cut=True)
except PowerCut:
    print("after the power cut:", torch.load(kept))
save({"step": 200}, kept)
print("after a quiet save: ", torch.load(kept))
# --8<-- [end:atomic]

# --8<-- [start:danger]
import pickle


class Harmless:
    """A pickle may name any function, which is called when the file is read."""

    def __reduce__(self):
        return print, ("this line was printed by the file",)


content = pickle.dumps(Harmless())
pickle.loads(content)  # never do this with a file from somebody else

torch.save({"model": Harmless()}, path)
try:
    torch.load(path)  # weights_only=True since PyTorch 2.6
except pickle.UnpicklingError as error:
    print("refused:", "Weights only load failed" in str(error))
# --8<-- [end:danger]

# --8<-- [start:refused]
(runs / "step-000000099.pt").write_bytes(path.read_bytes())
try:
    resume(build(), runs)
except ValueError as error:
    print(str(error).replace(folder.name, "..."))
(runs / "step-000000099.pt").unlink()
# --8<-- [end:refused]

# --8<-- [start:best]
from dlguide.train import EarlyStopping

digits = load("digits")
train, validation = (TensorBatches(p, 64) for p in (data, digits.validation))
trainer = build(EarlyStopping(), Checkpoint(runs / "best"))
history = trainer.fit(train, validation, epochs=30)
newest = trainer.callbacks[-1].saved
saved = torch.load(newest)
best = dict(saved["callbacks"])["EarlyStopping"]["weights"]
last, now = saved["model"]["1.weight"], trainer.model[1].weight
print("the model ends with the best:", torch.equal(best["1.weight"], now))
print("the file has the last, too:  ", not torch.equal(last, now))
# --8<-- [end:best]

# --8<-- [start:strict]
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
try:
    model.load_state_dict(best)
except RuntimeError as error:
    print(str(error).replace("\t", "  "))
# --8<-- [end:strict]

# --8<-- [start:loose]
mine = new_model(num_classes=3)
shapes = {name: t.shape for name, t in mine.state_dict().items()}
fitting = {name: t for name, t in best.items() if t.shape == shapes[name]}
result = mine.load_state_dict(fitting, strict=False)
print("left as they were:", result.missing_keys)
# --8<-- [end:loose]

# --8<-- [start:prefix]
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

compiled = torch.compile(new_model())
wrapped = compiled.state_dict()
print(next(iter(wrapped)))
consume_prefix_in_state_dict_if_present(wrapped, "_orig_mod.")
print(next(iter(wrapped)), new_model().load_state_dict(wrapped))
# --8<-- [end:prefix]

# --8<-- [start:device]
device = "cuda" if torch.cuda.is_available() else "cpu"
saved = torch.load(newest, map_location="cpu")  # wherever it was saved
model = build().model.to(device)
model.load_state_dict(saved["model"])  # copies to where the model is
print("all there:", {p.device.type for p in model.parameters()} == {device})
# --8<-- [end:device]

# --8<-- [start:interrupt]
import signal

from dlguide.train import Callback, Interrupted


class Stop(Callback):
    def on_step(self, trainer):
        if trainer.step == 12:
            signal.raise_signal(signal.SIGTERM)  # as the scheduler of a cluster does


try:
    build(Stop(), Checkpoint(runs / "stopped")).fit(train, epochs=100)
except Interrupted as stop:
    print(str(stop).replace(folder.name, "..."))
# --8<-- [end:interrupt]

# --8<-- [start:alias]
trainer = build()
snapshot = trainer.model.state_dict()  # no copy: these are the weights themselves
copied = {name: t.clone() for name, t in snapshot.items()}
trainer.fit(train, epochs=1)
now = trainer.model.state_dict()["1.weight"]
print("snapshot has moved:", torch.equal(snapshot["1.weight"], now))
print("the copy has not:  ", not torch.equal(copied["1.weight"], now))
# --8<-- [end:alias]

# --8<-- [start:whole-model]
torch.save(build().model, path)
try:
    torch.load(path)
except pickle.UnpicklingError as error:
    print("refused:", "Sequential" in str(error))
# --8<-- [end:whole-model]

# --8<-- [start:exercise-newest]
def newest_readable(folder):
    """The newest file that can be read and the step in it; None if there is none."""
    for path in sorted(Path(folder).glob("step-*.pt"), reverse=True):
        try:
            return path.name, torch.load(path)["step"]
        except Exception:  # a damaged file may raise any kind of error
            continue  # the one before it may be whole
    return None


for step in (10, 20):
    save({"step": step}, runs / f"step-{step:09}.pt")
(runs / "step-000000050.pt").write_bytes(b"half of a")
print(newest_readable(runs))
# --8<-- [end:exercise-newest]

# --8<-- [start:exercise-python]
import random


def full_random():
    """The state of Python's generator and of PyTorch's."""
    return {"torch": torch.get_rng_state(), "python": random.getstate()}


def set_random(saved):
    torch.set_rng_state(saved["torch"])
    random.setstate(saved["python"])


torch.save(full_random(), path)
drawn = random.random(), torch.rand(1).item()
set_random(torch.load(path))
print("drawn again:", drawn == (random.random(), torch.rand(1).item()))
folder.cleanup()
# --8<-- [end:exercise-python]
