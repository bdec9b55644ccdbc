"""The program of practice/modules: what modules register, save, share and freeze."""

# --8<-- [start:first]
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, classes)

    def forward(self, x):  # [N, inputs] -> [N, classes]
        return self.second(torch.relu(self.first(x)))


torch.manual_seed(0)
net = Net(64, 32, 10)
print(net)
print(net(torch.zeros(5, 64)).shape)
# --8<-- [end:first]

# --8<-- [start:named]
for name, p in net.named_parameters():
    print(f"{name:14} {tuple(p.shape)!s:9} {p.numel():5}  learns: {p.requires_grad}")
print("in all", sum(p.numel() for p in net.parameters()))
print("by hand", (64 + 1) * 32 + (32 + 1) * 10)
# --8<-- [end:named]

# --8<-- [start:lenet]
from dlguide.models import LeNet

lenet = LeNet((3, 32, 32))
layers = {}
for name, module in lenet.named_modules():
    if not list(module.children()) and list(module.parameters()):
        layers[name] = sum(p.numel() for p in module.parameters())
        print(f"{name:11} {type(module).__name__:7} {layers[name]:6}")
print("in all", sum(layers.values()))
# --8<-- [end:lenet]

# --8<-- [start:bars]
import matplotlib.pyplot as plt

shapes = {}


def remember(name):
    def hook(module, inputs, output):
        shapes[name] = tuple(output.shape[1:])

    return hook


handles = [lenet.get_submodule(name).register_forward_hook(remember(name))
           for name in layers]  # fmt: skip
lenet(torch.zeros(1, 3, 32, 32))
for handle in handles:
    handle.remove()
labels = [f"{name}  {'x'.join(map(str, shapes[name]))}" for name in layers]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained")
left.barh(labels, list(layers.values()))
left.set(xlabel="parameters")
places = [torch.Size(shapes[name][1:]).numel() for name in layers]  # 1 for a linear one
weights = [lenet.get_submodule(name).weight.numel() for name in layers]
products = [a * b for a, b in zip(places, weights, strict=True)]
right.barh(labels, products, color="C1")
right.set(xlabel="multiplications for one picture", yticks=[])
for ax in (left, right):
    ax.invert_yaxis()
plt.show()
# --8<-- [end:bars]

# --8<-- [start:hooks]
for name, shape in shapes.items():
    print(f"{name:11} {shape}")
print("hooks left:", sum(len(module._forward_hooks) for module in lenet.modules()))
# --8<-- [end:hooks]

# --8<-- [start:kinds]
class Standardize(nn.Module):
    """Subtract the mean, divide by the standard deviation, scale."""

    def __init__(self, x):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(x.shape[1]))  # learned and saved
        self.register_buffer("mean", x.mean(0))  # saved, not learned
        self.register_buffer("std", x.std(0), persistent=False)  # neither
        self.note = torch.tensor(1.0)  # a tensor like any other attribute

    def forward(self, x):
        return (x - self.mean) / self.std * self.scale


layer = Standardize(torch.randn(100, 3))
print("parameters:", [name for name, _ in layer.named_parameters()])
print("buffers:   ", [name for name, _ in layer.named_buffers()])
print("saved:     ", list(layer.state_dict()))
layer.double()  # or .to("cuda"): what is registered comes along
print("moved:     ", [name for name in ("scale", "mean", "std", "note")
                      if getattr(layer, name).dtype == torch.float64])  # fmt: skip
# --8<-- [end:kinds]

# --8<-- [start:list]
class Listed(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.layers = keep([nn.Linear(4, 4, bias=False), nn.Linear(4, 2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


for keep in (list, nn.ModuleList):
    model = Listed(keep)
    print(keep.__name__, "computes", tuple(model(torch.zeros(1, 4)).shape), end=", ")
    print("learns", [name for name, _ in model.named_parameters()])
    try:
        torch.optim.SGD(model.parameters(), lr=0.1)
    except ValueError as error:
        print("ValueError:", error)
# --8<-- [end:list]

# --8<-- [start:modes]
model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
x = torch.randn(4, 3)
for mode in ("train", "eval"):
    getattr(model, mode)()
    flags = [module.training for module in model.modules()]
    mean = model[1].running_mean.clone()
    same = torch.equal(model(x), model(x))
    moved = not torch.equal(model[1].running_mean, mean)
    print(f"{mode:5} {flags}")
    print(f"      same answer twice: {same}, running mean moves: {moved}")
# --8<-- [end:modes]

# --8<-- [start:save]
import io

file = io.BytesIO()  # stands for a file, "net.pt"
torch.save(net.state_dict(), file)
file.seek(0)
state = torch.load(file, weights_only=True)
for name, value in state.items():
    print(name, tuple(value.shape))
other = Net(64, 32, 10)  # a file of weights knows nothing of the class
print(other.load_state_dict(state))
x = torch.randn(5, 64)
print("same answers:", torch.equal(other(x), net(x)))
# --8<-- [end:save]

# --8<-- [start:strict]
for wrong in (Net(64, 16, 10), nn.Linear(64, 10)):
    try:
        wrong.load_state_dict(state)
    except RuntimeError as error:
        print(str(error).splitlines()[1].strip()[:78])
# --8<-- [end:strict]

# --8<-- [start:unsafe]
import os
import pickle


class Trap:
    def __reduce__(self):  # what pickle calls when it reads the file
        return os.getenv, ("HOME",)  # any function could stand here


file = io.BytesIO()
torch.save({"weight": Trap()}, file)
file.seek(0)
try:
    torch.load(file, weights_only=True)
except pickle.UnpicklingError as error:
    print("refused:", "os.getenv" in str(error))
# --8<-- [end:unsafe]

# --8<-- [start:init]
def start(module):
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


wide = Net(1000, 1000, 10)
print(f"as it comes: {wide.first.weight.std():.3f}")
wide.apply(start)  # to every module inside, and to itself
print(f"kaiming:     {wide.first.weight.std():.3f}, sqrt(2 / 1000) = {0.002**0.5:.3f}")
# --8<-- [end:init]

# --8<-- [start:shared]
class Tied(nn.Module):
    """Embed words and score all words by the same table."""

    def __init__(self, words, width):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.out = nn.Linear(width, words, bias=False)
        self.out.weight = self.embedding.weight  # one tensor, two names

    def forward(self, ids):
        return self.out(self.embedding(ids))


tied = Tied(10, 4).double()
print([name for name, _ in tied.named_parameters()], list(tied.state_dict()))
ids = torch.tensor([1, 5])
tied(ids).square().sum().backward()
parts = [tied.embedding.weight.detach().clone().requires_grad_() for _ in range(2)]
(parts[0][ids] @ parts[1].T).square().sum().backward()  # two tables instead
both = parts[0].grad + parts[1].grad
print("gradient is the sum:", torch.allclose(tied.out.weight.grad, both))
# --8<-- [end:shared]

# --8<-- [start:residual]
from dlguide.models import BasicBlock, ResNet

block = BasicBlock(8, 8)
nn.init.zeros_(block.branch[-1].weight)  # the last BatchNorm: the branch gives 0
x = torch.randn(2, 8, 5, 5)
print("x of both signs:", torch.equal(block(x), x))
print("x >= 0:         ", torch.equal(block(x.relu()), x.relu()))
for zero_branches in (False, True):
    torch.manual_seed(0)
    deep = ResNet(32, zero_branches=zero_branches)
    h = deep.stem(torch.randn(4, 3, 8, 8))
    grown = deep.blocks[:5](h).std() / h.std()  # the five blocks of the first stage
    print(f"zero_branches={zero_branches!s:5} spread grows by {grown:.1f}")
# --8<-- [end:residual]

# --8<-- [start:pretrain]
import torch.nn.functional as F
from dlguide.data import load

digits = load("digits")


def part(data, low, high):
    """The pictures of the digits low to high - 1, numbered from 0."""
    x, y = data.tensors
    keep = (low <= y) & (y < high)
    return x[keep].double(), y[keep] - low


def fresh():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 4 * 4, 5),
    ).double()  # fmt: skip


def learn(model, x, y, steps):
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    for _ in range(steps):
        rows = torch.randperm(len(x))[:64]
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model, x, y):
    return (model.eval()(x).argmax(1) == y).double().mean().item()


torch.manual_seed(0)
old = fresh()
learn(old, *part(digits.train, 0, 5), steps=150)
print(f"digits 0 to 4: {accuracy(old, *part(digits.test, 0, 5)):.2f}")
# --8<-- [end:pretrain]

# --8<-- [start:freeze]
import copy


def adapt(model, freeze):
    """A copy with a new last layer; the rest frozen or not."""
    model = copy.deepcopy(model)
    model.requires_grad_(not freeze)
    model[-1] = nn.Linear(32 * 4 * 4, 5).double()  # made after freezing, so it learns
    return model


frozen = adapt(old, freeze=True)
x, y = part(digits.train, 5, 10)
F.cross_entropy(frozen(x[:8]), y[:8]).backward()
for name, p in frozen.named_parameters():
    print(f"{name:8} {'None' if p.grad is None else tuple(p.grad.shape)}")
# --8<-- [end:freeze]

# --8<-- [start:transfer]
ways = {
    "from scratch": fresh,
    "frozen features": lambda: adapt(old, freeze=True),
    "fine-tuned": lambda: adapt(old, freeze=False),
}
counts, curves = (1, 3, 10), {}
test = part(digits.test, 5, 10)
for name, make in ways.items():
    curves[name] = []
    for n in counts:
        runs = []
        for seed in range(4):
            torch.manual_seed(seed)
            order = torch.randperm(len(y))
            few = torch.cat([order[y[order] == c][:n] for c in range(5)])
            model = make()
            learn(model, x[few], y[few], steps=40)
            runs.append(accuracy(model, *test))
        curves[name].append(sum(runs) / len(runs))
    print(f"{name:16}", *(f"{value:.2f}" for value in curves[name]))
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for name, values in curves.items():
    ax.plot(counts, values, "o-", label=name)
ax.set(xscale="log", xlabel="examples of each new digit", ylabel="test accuracy")
ax.set_xticks(counts, counts)
ax.minorticks_off()
ax.legend()
plt.show()
# --8<-- [end:transfer]

# --8<-- [start:eats]
features = torch.zeros(6, 32, 2, 2)  # six pictures
print("view(-1, 64): ", features.view(-1, 64).shape, "and no error")
print("flatten(1):   ", features.flatten(1).shape)
try:
    nn.Linear(64, 10)(features.flatten(1))
except RuntimeError as error:
    print("RuntimeError:", error)
# --8<-- [end:eats]

# --8<-- [start:super]
class Forgetful(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 2)


try:
    Forgetful()
except AttributeError as error:
    print("AttributeError:", error)
# --8<-- [end:super]

# --8<-- [start:replaced]
net = Net(64, 32, 10)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
before = net.first.weight
net.double()  # or .to("cuda"): the same parameters with new contents
print("moved, still the optimizer's:", net.first.weight is before)
net.second = nn.Linear(32, 5).double()  # a new layer the optimizer has never seen
x, y = torch.randn(8, 64).double(), torch.zeros(8, dtype=torch.int64)
start_of = {name: p.detach().clone() for name, p in net.named_parameters()}
F.cross_entropy(net(x), y).backward()
optimizer.step()
for name, p in net.named_parameters():
    print(f"{name:13} changed: {not torch.equal(p, start_of[name])}")
# --8<-- [end:replaced]

# --8<-- [start:exercise-count]
def census(model):
    """Numbers that learn, that are frozen, and in buffers; each tensor once."""
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return learning, frozen, sum(b.numel() for b in model.buffers())


print(census(Tied(10, 4)), census(nn.BatchNorm1d(3)))
# --8<-- [end:exercise-count]

# --8<-- [start:exercise-stack]
class Stack(nn.Module):
    """depth linear layers of one width, each added to what came in."""

    def __init__(self, width, depth):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for layer in self.layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


stack, x = Stack(6, depth=20), torch.randn(3, 6)
print("starts as the identity:", torch.equal(stack(x), x))
print("parameters:", sum(p.numel() for p in stack.parameters()))
# --8<-- [end:exercise-stack]
