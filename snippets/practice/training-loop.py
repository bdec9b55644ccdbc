"""The program of practice/training-loop: a page shows its sections."""

# --8<-- [start:smallest]
import torch
from torch import nn

x = torch.linspace(-1, 1, 20).unsqueeze(1)  # [20, 1]
y = 3 * x + 1
line = nn.Linear(1, 1)
loss_function = nn.MSELoss()
optimizer = torch.optim.SGD(line.parameters(), lr=0.5)
for _ in range(100):
    optimizer.zero_grad()
    loss = loss_function(line(x), y)
    loss.backward()
    optimizer.step()
print(f"y = {line.weight.item():.2f} x + {line.bias.item():.2f}")
mse = loss_function(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
print("MSE of (1, 2) and (0, 4):", mse.item())
# --8<-- [end:smallest]

# --8<-- [start:data]
from dlguide.data import load

digits = load("digits")
for part in ("train", "validation", "test"):
    x, y = getattr(digits, part).tensors
    print(f"{part:10} x {list(x.shape)}  y {list(y.shape)}")
# --8<-- [end:data]

# --8<-- [start:model]
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def new_model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
    ).to(device)


model = new_model()
# --8<-- [end:model]

# --8<-- [start:loss]
import torch.nn.functional as F

x, y = (t[:4].to(device) for t in digits.train.tensors)
print("logits", list(model(x).shape), " loss", F.cross_entropy(model(x), y).shape)
# --8<-- [end:loss]

# --8<-- [start:optimizer]
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
# --8<-- [end:optimizer]

# --8<-- [start:loop]
def train_by_hand(model, optimizer, epochs):
    x, y = (t.to(device) for t in digits.train.tensors)
    order = torch.Generator().manual_seed(0)  # the order of the examples
    torch.manual_seed(0)  # what dropout draws
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(x), generator=order).split(64):
            optimizer.zero_grad()  # forget the gradients of the last step
            loss = F.cross_entropy(model(x[rows]), y[rows])  # forward pass
            loss.backward()  # gradients
            optimizer.step()  # new weights


train_by_hand(model, optimizer, epochs=5)
# --8<-- [end:loop]

# --8<-- [start:evaluation]
@torch.no_grad()
def accuracy(model, dataset):
    model.eval()
    x, y = (t.to(device) for t in dataset.tensors)
    return (model(x).argmax(1) == y).double().mean().item()


print(f"validation accuracy {accuracy(model, digits.validation):.2f}")
# --8<-- [end:evaluation]

# --8<-- [start:trainer]
from dlguide.data import TensorBatches
from dlguide.train import Trainer

same = new_model()
trainer = Trainer(same, torch.optim.Adam(same.parameters(), lr=0.01), device=device)
train = TensorBatches(digits.train, 64, shuffle=True, seed=0)
history = trainer.fit(train, epochs=5)
print("epochs", trainer.epoch, " steps", trainer.step)
pairs = list(zip(model.parameters(), same.parameters(), strict=True))
print("the same weights, bit for bit:", all(torch.equal(a, b) for a, b in pairs))
# --8<-- [end:trainer]

# --8<-- [start:curves]
import matplotlib.pyplot as plt
from dlguide.train import EarlyStopping

few = torch.utils.data.TensorDataset(*(t[:150] for t in digits.train.tensors))
train = TensorBatches(few, 32, shuffle=True)
validation = TensorBatches(digits.validation, 1024)


def learner(*callbacks, lr=0.01, **options):
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    return Trainer(model, optimizer, callbacks=callbacks, device=device, **options)


trainer = learner(EarlyStopping(patience=5), lr=0.03)
history = trainer.fit(train, validation, epochs=100)
print("stopped", trainer.epoch - history.best_epoch, "epochs after the best one")
best, last = min(history.validation_loss), history.validation_loss[-1]
print("the last one was worse:", last > best)
after = trainer.evaluate(validation)["loss"]
print("the model has the best weights:", abs(after - best) < 1e-6)
history.plot()
plt.show()
# --8<-- [end:curves]

# --8<-- [start:accumulate]
x, y = (t[:100].to(device) for t in few.tensors)
x, model = x.double(), new_model().double().eval()  # no dropout here
parameters = list(model.parameters())
whole = torch.autograd.grad(F.cross_entropy(model(x), y), parameters)

model.zero_grad()
for part in torch.arange(100).split(32):  # 32, 32, 32 and 4 examples
    loss = F.cross_entropy(model(x[part]), y[part])
    (loss * len(part) / 100).backward()  # gradients add up
pairs = zip(whole, parameters, strict=True)
print("as one batch of 100:", all(torch.allclose(g, p.grad) for g, p in pairs))
# --8<-- [end:accumulate]

# --8<-- [start:schedule]
model = new_model()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
steps = 5 * len(train)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
trainer = Trainer(
    model, optimizer, scheduler=scheduler, accumulate=1, clip=1.0, device=device
)
trainer.fit(train, epochs=5)
print("steps", trainer.step, f" lr {optimizer.param_groups[0]['lr']:.4f}")
print("norm of the last gradient is known:", trainer.logs["norm"] > 0)
# --8<-- [end:schedule]

# --8<-- [start:precision]
seen = []
trainer = learner(precision="bf16")
trainer.model[1].register_forward_hook(lambda layer, x, y: seen.append(y.dtype))
trainer.fit(train, epochs=1)
print("weights", trainer.model[1].weight.dtype, " output", seen[0])
print("loss", trainer.last_loss.dtype)
# --8<-- [end:precision]

# --8<-- [start:ema]
from dlguide.train import EMA

average = EMA(decay=0.9)
trainer = learner(average)
trainer.fit(train, validation, epochs=10)
w = trainer.model[1].weight
print("ends with the average:", torch.equal(w, average.average["1.weight"]))
# --8<-- [end:ema]

# --8<-- [start:callback]
from dlguide.train import Callback


class Largest(Callback):
    """Note the largest weight of a layer after each epoch, and stop above a limit."""

    def __init__(self, name, limit):
        self.name, self.limit, self.seen = name, limit, []

    def on_epoch(self, trainer):
        weight = trainer.model.get_parameter(self.name)
        self.seen.append(weight.abs().max().item())
        if self.seen[-1] > self.limit:
            trainer.stop = True


watch = Largest("1.weight", limit=0.3)
trainer = learner(watch)
trainer.fit(train, epochs=50)
print("stopped early:", trainer.epoch < 50, " above 0.3:", watch.seen[-1] > 0.3)
# --8<-- [end:callback]

# --8<-- [start:nan]
def say(train):
    """Train for an epoch and print why it stops."""
    try:
        learner().fit(train, epochs=1)
    except FloatingPointError as error:
        print(error)


x, y = (t.clone() for t in few.tensors)
x[70] = float("nan")
say([(x[:64], y[:64]), (x[64:128], y[64:128])])
# --8<-- [end:nan]

# --8<-- [start:zero-grad]
model = new_model().eval()
x, y = (t.to(device) for t in few.tensors)
F.cross_entropy(model(x), y).backward()
once = model[1].weight.grad.clone()
for _ in range(2):  # two more steps, and nobody forgets
    F.cross_entropy(model(x), y).backward()
print(f"the gradient is {(model[1].weight.grad.norm() / once.norm()).item():.1f} times")
# --8<-- [end:zero-grad]

# --8<-- [start:eval]
trainer = learner()
trainer.fit(train, epochs=20)
x = digits.validation.tensors[0][:200].to(device)
for mode in (True, False):
    trainer.model.train(mode)
    torch.manual_seed(0)
    first, second = (trainer.model(x).argmax(1) for _ in range(2))
    print(f"training={mode!s:5}  two answers agree: {torch.equal(first, second)}")
# --8<-- [end:eval]

# --8<-- [start:graph]
model = new_model()
x, y = (t[:32].to(device) for t in few.tensors)
total = 0.0
for _ in range(3):
    total = total + F.cross_entropy(model(x), y)  # each step hangs on the sum
print("keeps the graphs of all steps:", total.grad_fn is not None)
total = 0.0
for _ in range(3):
    total += F.cross_entropy(model(x), y).item()
print("a plain number:", type(total).__name__)
# --8<-- [end:graph]

# --8<-- [start:means]
losses, sizes = torch.tensor([0.2, 0.2, 2.0]), torch.tensor([64, 64, 2])
print(f"mean of the means {losses.mean():.2f}")
print(f"mean over examples {(losses * sizes).sum() / sizes.sum():.2f}")
# --8<-- [end:means]

# --8<-- [start:per-epoch]
rates = {}
for when in ("step", "epoch"):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)  # in steps
    for _ in range(5):
        for _ in range(10):
            optimizer.step()
            if when == "step":
                scheduler.step()
        if when == "epoch":
            scheduler.step()
    rates[when] = optimizer.param_groups[0]["lr"]
    print(f"once per {when}: lr at the end {rates[when]:.2f}")
# --8<-- [end:per-epoch]

# --8<-- [start:test-part]
torch.manual_seed(0)
coins = torch.randint(2, (100,))  # targets that nobody can know
guesses = torch.randint(2, (200, 100))  # 200 "epochs" of a model that knows nothing
right = (guesses == coins).double().mean(1)
print(f"the best of 200 on the part that chose it: above 0.6: {right.max() > 0.6}")
again = (guesses[right.argmax()] == torch.randint(2, (100,))).double().mean()
print(f"the same model on another part: below 0.6: {again < 0.6}")
# --8<-- [end:test-part]

# --8<-- [start:exercise-accumulate]
def step_in_parts(model, optimizer, x, y, size):
    """One step on a batch that is too large to be computed at once."""
    optimizer.zero_grad()
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        loss = F.cross_entropy(model(x[part]), y[part], reduction="sum")
        (loss / len(x)).backward()
    optimizer.step()


x, y = (t[:50].to(device) for t in few.tensors)
first, second = new_model().eval(), new_model().eval()
for model, size in ((first, 50), (second, 7)):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step_in_parts(model, optimizer, x, y, size)
print("the same step:", torch.allclose(first[1].weight, second[1].weight, atol=1e-6))
# --8<-- [end:exercise-accumulate]

# --8<-- [start:exercise-warm]
class FrozenStart(Callback):
    """Let only the last layer learn in the first epochs, then all of them."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_start(self, trainer):
        self.on_epoch(trainer)

    def on_epoch(self, trainer):
        frozen = trainer.epoch < self.epochs
        for layer in list(trainer.model)[:-1]:
            layer.requires_grad_(not frozen)


trainer = learner(FrozenStart(2))
before = trainer.model[1].weight.clone()
trainer.fit(train, epochs=2)
print("after 2 epochs unchanged:", torch.equal(before, trainer.model[1].weight))
trainer.fit(train, epochs=3)
print("after 3 epochs unchanged:", torch.equal(before, trainer.model[1].weight))
# --8<-- [end:exercise-warm]
