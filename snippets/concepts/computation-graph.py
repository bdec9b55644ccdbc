"""The program of concepts/computation-graph."""

# --8<-- [start:line]
import torch

w = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(1.0, requires_grad=True)
x = torch.tensor(3.0)
y = w * x + b
print(y)
# --8<-- [end:line]

# --8<-- [start:flow]
import matplotlib.pyplot as plt

places = {
    "w": (0, 1),
    "x": (0, 0),
    "×": (1, 0.5),
    "b": (1, -0.5),
    "+": (2, 0),
    "y": (3, 0),
}
arrows = [("w", "×"), ("x", "×"), ("×", "+"), ("b", "+"), ("+", "y")]
figure, ax = plt.subplots(figsize=(4.6, 2.6))
for start, end in arrows:
    forward = {"arrowstyle": "->", "shrinkA": 12, "shrinkB": 12}
    ax.annotate("", xy=places[end], xytext=places[start], arrowprops=forward)
    if start != "x":  # nobody asked for the gradient of x
        bend = f"arc3,rad={-0.35 if start == 'b' else 0.35}"
        back = forward | {"linestyle": "--", "connectionstyle": bend}
        ax.annotate("", xy=places[start], xytext=places[end], arrowprops=back)
for name, (right, up) in places.items():
    shape = "square" if name in "×+" else "circle"
    box = {"boxstyle": f"{shape},pad=0.4", "fill": False}
    ax.text(right, up, name, ha="center", va="center", bbox=box)
ax.set(xlim=(-0.4, 3.4), ylim=(-1, 1.5))
ax.axis("off")
plt.show()
# --8<-- [end:flow]

# --8<-- [start:walk]
add = y.grad_fn
print(add.name(), "->", [entry[0].name() for entry in add.next_functions])

mul = add.next_functions[0][0]
print(mul.name(), "->", [entry[0] and entry[0].name() for entry in mul.next_functions])

accumulate = mul.next_functions[0][0]
print(accumulate.variable is w, accumulate.next_functions)
# --8<-- [end:walk]

# --8<-- [start:variable]
from torch.autograd import Variable

print(type(Variable(x)), Variable(x).data_ptr() == x.data_ptr())
# --8<-- [end:variable]

# --8<-- [start:text]
from dlguide.graph import to_text, trace

graph = trace(y, names={"w": w, "b": b, "x": x})
print(to_text(graph))
# --8<-- [end:text]

# --8<-- [start:drawing]
from pathlib import Path

from dlguide.graph import to_svg

Path("line.svg").write_text(to_svg(graph, title="y = wx + b"), encoding="utf-8")
# --8<-- [end:drawing]


# --8<-- [start:loop]
def square_up(x, limit=5.0):
    """Square x until it is above the limit; the data decide how often."""
    turns = 0
    while x < limit:
        x = x * x
        turns += 1
    return x, turns


for start in (3.0, 1.25):
    leaf = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    result, n = square_up(leaf)
    operations = [node.name for node in trace(result).operations]
    result.backward()
    by_formula = 2**n * start ** (2**n - 1)
    print(n, "turns:", operations)
    print(f"   gradient {leaf.grad.item():.6f}, by the formula {by_formula:.6f}")
# --8<-- [end:loop]


# --8<-- [start:branch]
def bend(x):
    return x * x if x > 0 else -x


for start in (2.0, -2.0):
    leaf = torch.tensor(start, requires_grad=True)
    result = bend(leaf)
    result.backward()
    print(start, result.grad_fn.name(), leaf.grad.item())
# --8<-- [end:branch]


# --8<-- [start:freed]
from textwrap import fill


def first_sentence(error):
    sentence = f"{type(error).__name__}: {str(error).split('. ')[0]}"
    return fill(sentence, width=86, subsequent_indent="    ")


y.backward()
try:
    y.backward()
except RuntimeError as error:
    print(first_sentence(error))
print(to_text(trace(y, names={"w": w, "b": b})))
# --8<-- [end:freed]

# --8<-- [start:retain]
w.grad = None
y = w * x + b
y.backward(retain_graph=True)
y.backward()
print(w.grad)
# --8<-- [end:retain]

# --8<-- [start:leaves]
h = w * x
h.retain_grad()
loss = (h + b) ** 2
b.grad = w.grad = None
loss.backward()
for name, tensor in {"x": x, "w": w, "b": b, "h": h, "h.detach()": h.detach()}.items():
    print(
        f"{name:<10} is_leaf={tensor.is_leaf!s:<5}  "
        f"requires_grad={tensor.requires_grad!s:<5}  grad={tensor.grad}"
    )
# --8<-- [end:leaves]

# --8<-- [start:version]
a = torch.tensor([1.0, 2.0], requires_grad=True)
h = a.exp()
print("version", h._version)
h += 1
print("version", h._version)
total = h.sum()
print(to_text(trace(total, names={"a": a})))
try:
    total.backward()
except RuntimeError as error:
    print(first_sentence(error))
# --8<-- [end:version]

# --8<-- [start:harmless]
h = a * 3
h += 1
h.sum().backward()
print(a.grad)
# --8<-- [end:harmless]

# --8<-- [start:modes]
with torch.no_grad():
    unrecorded = a * 2
with torch.inference_mode():
    inference = a * 2
detached = (a * 2).detach()
for name, tensor in (
    ("no_grad", unrecorded),
    ("inference_mode", inference),
    ("detach", detached),
):
    print(
        f"{name:<15} grad_fn={tensor.grad_fn}  requires_grad={tensor.requires_grad}  "
        f"inference={tensor.is_inference()}"
    )
# --8<-- [end:modes]

# --8<-- [start:inference]
print((a + inference).grad_fn.name())  # an addition keeps nothing
try:
    a * inference  # a product keeps both factors
except RuntimeError as error:
    print(first_sentence(error))
# --8<-- [end:inference]

# --8<-- [start:reasons]
from dlguide.graph import why_no_graph

for value in (a, a.argmax(), inference, detached, detached.sum().item()):
    print(fill(why_no_graph(value), width=86, subsequent_indent="    "))
# --8<-- [end:reasons]

# --8<-- [start:memory]
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
inputs, targets = torch.rand(100, 64), torch.rand(100, 10)
loss = nn.functional.mse_loss(model(inputs), targets)
graph = trace(loss, names=model)
print(to_text(graph))
print("bytes kept:", graph.kept_bytes)
# --8<-- [end:memory]

# --8<-- [start:network]
Path("network.svg").write_text(to_svg(graph, title="A small network"), encoding="utf-8")
# --8<-- [end:network]

# --8<-- [start:checkpoint]
from torch.utils.checkpoint import checkpoint

output = checkpoint(model, inputs, use_reentrant=False)
graph = trace(nn.functional.mse_loss(output, targets), names=model)
states = [saved.state for node in graph.operations for saved in node.saved]
print(states)
print("bytes kept:", graph.kept_bytes)
# --8<-- [end:checkpoint]


# --8<-- [start:compile]
def wave(x):
    return (x.sin() * x).sum()


compiled = torch.compile(wave, backend="aot_eager")
point = torch.linspace(0, 1, 4, dtype=torch.float64, requires_grad=True)
(eager_slope,) = torch.autograd.grad(wave(point), point)
(compiled_slope,) = torch.autograd.grad(compiled(point), point)
print("same value:", torch.allclose(compiled(point), wave(point)))
print("same gradient:", torch.allclose(compiled_slope, eager_slope))
for function in (wave, compiled):
    print([node.name for node in trace(function(point)).operations])
# --8<-- [end:compile]


# --8<-- [start:break]
def branchy(x):
    y = x * x
    if x.sum() > 0:
        return y + 1
    return y - 1


graphs = []


def show(module, example_inputs):
    """A compiler that compiles nothing: it notes the graph that it is given."""
    graphs.append([node.name for node in module.graph.nodes])
    return module.forward


compiled = torch.compile(branchy, backend=show)
ones = torch.ones(3)
print("same values:", torch.equal(compiled(ones), branchy(ones)), end=" ")
print(torch.equal(compiled(-ones), branchy(-ones)))
print(*graphs, sep="\n")
try:
    torch.compile(branchy, backend="eager", fullgraph=True)(ones)
except RuntimeError as error:
    print(type(error).__name__, "-", str(error).splitlines()[0])
# --8<-- [end:break]


# --8<-- [start:export]
import io
import logging
from contextlib import redirect_stderr


class Branchy(nn.Module):
    def forward(self, x):
        return branchy(x)


class Cond(nn.Module):
    def forward(self, x):
        y = x * x
        return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (y,))


class Where(nn.Module):
    def forward(self, x):
        y = x * x
        return torch.where(x.sum() > 0, y + 1, y - 1)


logging.disable(logging.WARNING)  # a refusal comes with a long report: silence it
for module in (Branchy(), Cond(), Where()):
    name = type(module).__name__
    try:
        with redirect_stderr(io.StringIO()):
            program = torch.export.export(module, (ones,))
    except Exception as error:
        print(name, "cannot be exported:", type(error).__name__)
        continue
    nodes = [node.name for node in program.graph.nodes if node.op == "call_function"]
    same = [torch.equal(program.module()(v), branchy(v)) for v in (ones, -ones)]
    print(name, same, nodes)
logging.disable(logging.NOTSET)
# --8<-- [end:export]


# --8<-- [start:unrolled]
class Doubling(nn.Module):
    def forward(self, x, turns: int):
        for _ in range(turns):
            x = x * 2
        return x


program = torch.export.export(Doubling(), (ones, 3))
print([node.name for node in program.graph.nodes if node.op == "call_function"])
try:
    program.module()(ones, 1)
except AssertionError as error:
    print("AssertionError:", error)
# --8<-- [end:unrolled]

# --8<-- [start:sum-of-losses]
losses, numbers = 0.0, 0.0
for step in range(100):
    loss = (w * step - 1) ** 2
    losses = losses + loss  # holds the graph of each step
    numbers = numbers + loss.item()  # holds a number
print(len(trace(losses).operations), "operations")
print("same sum:", losses.item() == numbers)
# --8<-- [end:sum-of-losses]

# --8<-- [start:not-a-leaf]
v = torch.tensor(2.0, requires_grad=True)
(v**2).backward()
v = v - 0.1 * v.grad
print("a new tensor:", v.is_leaf, v.grad_fn.name())

v = torch.tensor(2.0, requires_grad=True)
(v**2).backward()
with torch.no_grad():
    v -= 0.1 * v.grad
print("the same leaf:", v.is_leaf, f"{v.item():.4f}")
# --8<-- [end:not-a-leaf]

# --8<-- [start:broken]
scale = torch.tensor(3.0, requires_grad=True)
result = torch.tensor(scale.item() ** 2)  # a number again: the history is lost
try:
    result.backward()
except RuntimeError as error:
    print(first_sentence(error))
print(fill(why_no_graph(result), width=86, subsequent_indent="    "))
# --8<-- [end:broken]


# --8<-- [start:share]
def twice(a, b):
    return (a * b).sin() + a * b


def share(a, b):
    product = a * b
    return product.sin() + product


a = torch.tensor(0.5, requires_grad=True)
b = torch.tensor(2.0, requires_grad=True)
for function in (twice, share):
    print(function.__name__, [node.name for node in trace(function(a, b)).operations])
# --8<-- [end:share]


# --8<-- [start:count]
def count_leaves(result):
    seen, waiting = set(), [result.grad_fn]
    leaves = 0
    while waiting:
        function = waiting.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        leaves += function.name() == "torch::autograd::AccumulateGrad"
        waiting += [target for target, _ in function.next_functions]
    return leaves


print(count_leaves(twice(a, b)), count_leaves(model(inputs)))
# --8<-- [end:count]


# --8<-- [start:rewrite]
class Rectified(nn.Module):
    """x if its mean is positive, else half of x: without a Python branch on data."""

    def forward(self, x):
        return torch.where(x.mean() > 0, x, 0.5 * x)


program = torch.export.export(Rectified(), (ones,))
print(program.module()(ones), program.module()(-ones))
# --8<-- [end:rewrite]
