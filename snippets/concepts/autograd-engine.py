"""An autograd engine in pure Python: the program of concepts/autograd-engine."""

# --8<-- [start:example]
from dlguide.engine import Value, topological_order

w, x, b = Value(2), Value(3), Value(-4)
p = w * x
s = p + b
q = s * s
loss = q + w
loss.backward()

names = {"w": w, "x": x, "b": b, "p": p, "s": s, "q": q, "L": loss}
for name, node in names.items():
    numbers = f"value {node.data:2g}   gradient {node.grad:2g}"
    print(f"{name}   {numbers}   {node.op or 'leaf'}")
# --8<-- [end:example]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

places = {"w": (0, 2), "x": (0, 1), "b": (1.5, 0), "p": (1.5, 1.3), "s": (3, 0.8)}
places |= {"q": (4.5, 0.8), "L": (6, 1.6)}
bends = {("w", "L"): [-0.2], ("s", "q"): [0.35, -0.35]}  # s goes in twice
fig, ax = plt.subplots(figsize=(7, 3.2))
for name, node in names.items():
    here = places[name]
    frame = {"boxstyle": "round,pad=0.45", "facecolor": "none"}
    label = f"{name} {node.op}".strip() + f"\n{node.data:g}"
    ax.text(*here, label, ha="center", va="center", bbox=frame)
    below = (here[0], here[1] - 0.42)
    ax.text(*below, f"{node.grad:g}", ha="center", va="top", color="C1")
    for parent in {id(parent): parent for parent in node.parents}.values():
        start = next(key for key in names if names[key] is parent)
        for bend in bends.get((start, name), [0]):
            arrow = {"arrowstyle": "->", "connectionstyle": f"arc3,rad={bend}"}
            arrow |= {"shrinkA": 20, "shrinkB": 20, "linewidth": 1.3}
            ax.annotate("", here, places[start], arrowprops=arrow)
ax.set_xlim(-0.6, 6.6)
ax.set_ylim(-0.8, 2.7)
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:leaf]
three = Value(3)
print(three, three.parents, three.rule(1.0))
try:
    Value("3")
except TypeError as error:
    print("TypeError:", error)
# --8<-- [end:leaf]

# --8<-- [start:shares]
six = Value(2) * Value(3)
print(six, "made by", six.op, "from", six.parents)
print("shares for g = 1: ", six.rule(1.0))
print("shares for g = 10:", six.rule(10.0))
# --8<-- [end:shares]

# --8<-- [start:powers]
for base, exponent in ((3, 2), (0, 0.5), (-2, 3), (2, -1)):
    y = Value(base) ** Value(exponent)
    shares = ", ".join(f"{share:.4f}" for share in y.rule(1.0))
    print(f"{base:2} ** {exponent:<4}= {y.data:<5g} shares {shares}")
# --8<-- [end:powers]

# --8<-- [start:one-input]
for name in ("exp", "log", "tanh", "sigmoid", "relu"):
    y = getattr(Value(0.5), name)()
    print(f"{name:8} at 0.5: {y.data:7.4f}   slope {y.rule(1.0)[0]:.4f}")
# --8<-- [end:one-input]

# --8<-- [start:sorted]
letters = {id(node): name for name, node in names.items()}
order = topological_order(loss)
print("parents first:    ", *(letters[id(node)] for node in order))
print("on the way back:  ", *(letters[id(node)] for node in reversed(order)))
# --8<-- [end:sorted]


# --8<-- [start:wrong-order]
def walk(order, add=True):
    """What arrives at each value if the walk visits them in this order."""
    arrived = {id(node): 0.0 for node in order}
    arrived[id(order[0])] = 1.0
    for node in order:
        shares = node.rule(arrived[id(node)])
        for parent, share in zip(node.parents, shares, strict=True):
            arrived[id(parent)] = (arrived[id(parent)] if add else 0.0) + share
    return arrived


def by_distance(root):
    """The result, then what it was made of, then what that was made of."""
    order = [root]
    for node in order:
        for parent in node.parents:
            if all(parent is not known for known in order):
                order.append(parent)
    return order


a = Value(1)
h = 2 * a
y = h + 3 * (h * h)  # 2a + 12a², the slope is 2 + 24a
print("right order:", walk(list(reversed(topological_order(y))))[id(a)])
print("by distance:", walk(by_distance(y))[id(a)])
# --8<-- [end:wrong-order]

# --8<-- [start:assign]
back = list(reversed(topological_order(loss)))
added, assigned = walk(back), walk(back, add=False)
for name, node in names.items():
    print(f"{name}   += {added[id(node)]:2g}   = {assigned[id(node)]:2g}")
# --8<-- [end:assign]

# --8<-- [start:twice]
loss.backward()
print("w after a second call:", w.grad)
w.grad = 0.0
loss.backward()
print("w after grad = 0:     ", w.grad)
# --8<-- [end:twice]

# --8<-- [start:torch]
import torch


def leaf(number):
    return torch.tensor(number, dtype=torch.float64, requires_grad=True)


tw, tx, tb = leaf(2.0), leaf(3.0), leaf(-4.0)
tp = tw * tx
ts = tp + tb
tq = ts * ts
tloss = tq + tw
for t in (tp, ts, tq, tloss):
    t.retain_grad()
tloss.backward()
print(*(f"{t.grad.item():g}" for t in (tw, tx, tb, tp, ts, tq, tloss)))
# --8<-- [end:torch]


# --8<-- [start:network]
import random

generator = random.Random(1)


class Neuron:
    """A weight for each input, and a bias."""

    def __init__(self, inputs):
        self.w = [Value(generator.uniform(-1, 1)) for _ in range(inputs)]
        self.b = Value(0)

    def __call__(self, x):
        return sum((w * v for w, v in zip(self.w, x, strict=True)), self.b)


hidden = [Neuron(2) for _ in range(4)]
output = Neuron(4)
parameters = [value for n in (*hidden, output) for value in (*n.w, n.b)]


def predict(x):
    return output([n(x).tanh() for n in hidden]).sigmoid()


table = [((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 0)]  # XOR
print(len(parameters), "parameters")
print("untrained:", *(f"{predict(x).data:.2f}" for x, _ in table))
# --8<-- [end:network]

# --8<-- [start:twin]
from torch import nn

twin = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid()).double()
numbers = {
    "0.weight": [[value.data for value in n.w] for n in hidden],
    "0.bias": [n.b.data for n in hidden],
    "2.weight": [[value.data for value in output.w]],
    "2.bias": [output.b.data],
}
state = {k: torch.tensor(v, dtype=torch.float64) for k, v in numbers.items()}
print(twin.load_state_dict(state))
# --8<-- [end:twin]

# --8<-- [start:train]
inputs = torch.tensor([x for x, _ in table], dtype=torch.float64)
targets = torch.tensor([[t] for _, t in table], dtype=torch.float64)
optimizer = torch.optim.SGD(twin.parameters(), lr=2.0)
ours, theirs = [], []
for step in range(201):
    error = sum((predict(x) - t) ** 2 for x, t in table) / 4
    for value in parameters:  # zero_grad
        value.grad = 0.0
    error.backward()
    for value in parameters:  # step
        value.data -= 2.0 * value.grad
    ours.append(error.data)

    error_of_twin = nn.functional.mse_loss(twin(inputs), targets)
    optimizer.zero_grad()
    error_of_twin.backward()
    optimizer.step()
    theirs.append(error_of_twin.item())
    if step % 50 == 0:
        print(f"step {step:3}   engine {ours[-1]:.4f}   torch {theirs[-1]:.4f}")
print("trained:", *(f"{predict(x).data:.2f}" for x, _ in table))
gap = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
print("losses equal to 10 decimals in all 201 steps:", gap < 1e-10)
# --8<-- [end:train]

# --8<-- [start:curve]
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(range(0, 201, 5), ours[::5], label="engine")
ax.plot(range(0, 201, 10), theirs[::10], "o", markersize=4, label="torch")
ax.set_xlabel("step")
ax.set_ylabel("loss")
ax.legend()
plt.show()
# --8<-- [end:curve]

# --8<-- [start:count]
from dlguide.graph import trace

print("values in the engine's graph:  ", len(topological_order(error)))
print("operations in PyTorch's graph: ", len(trace(error_of_twin).operations))
# --8<-- [end:count]

# --8<-- [start:edges]
cases = [
    ("log(0)", lambda x: x.log(), 0.0),
    ("log(-1)", lambda x: x.log(), -1.0),
    ("1 / 0", lambda x: 1 / x, 0.0),
    ("exp(1000)", lambda x: x.exp(), 1000.0),
    ("sigmoid(-1000)", lambda x: x.sigmoid(), -1000.0),
    ("relu(0)", lambda x: x.relu(), 0.0),
]
for text, function, number in cases:
    x, t = Value(number), leaf(number)
    y, z = function(x), function(t)
    y.backward()
    z.backward()
    same = (str(y.data), str(x.grad)) == (str(z.item()), str(t.grad.item()))
    print(f"{text:15} {y.data:4g}   slope {x.grad:4g}   as in torch: {same}")
# --8<-- [end:edges]


# --8<-- [start:forgotten]
def minimize(zero):
    """Ten steps of gradient descent on (w - 3)², from w = 0."""
    w = Value(0)
    for _ in range(10):
        if zero:
            w.grad = 0.0
        ((w - 3) ** 2).backward()
        w.data -= 0.2 * w.grad
    return w.data


print(f"grad set to 0 in each step: w = {minimize(zero=True):.3f}")
print(f"grad never set to 0:        w = {minimize(zero=False):.3f}")
# --8<-- [end:forgotten]

# --8<-- [start:dropped]
import math

x = Value(1)
(x * x.exp()).backward()
print(f"x.exp():     {x.grad:.3f}")
x.grad = 0.0
(x * math.exp(x)).backward()
print(f"math.exp(x): {x.grad:.3f}")
# --8<-- [end:dropped]


# --8<-- [start:recursion]
def recursive_order(node, order, seen):
    if id(node) not in seen:
        seen.add(id(node))
        for parent in node.parents:
            recursive_order(parent, order, seen)
        order.append(node)
    return order


chain = Value(1)
for _ in range(50_000):
    chain = chain + 0.001
try:
    recursive_order(chain, [], set())
except RecursionError as error:
    print(type(error).__name__)
print(len(topological_order(chain)), "values")
# --8<-- [end:recursion]


# --8<-- [start:exercise-sin]
def sin(x):
    a = x.data
    return Value(math.sin(a), "sin", (x,), lambda g: (g * math.cos(a),))


x = Value(2)
sin(x * x).backward()
print(f"{x.grad:.4f} = {math.cos(4) * 4:.4f}")
# --8<-- [end:exercise-sin]


# --8<-- [start:exercise-maximum]
def maximum(a, b):
    share = 1.0 if a > b else 0.5 if a == b else 0.0
    number = max(a.data, b.data)
    return Value(number, "max", (a, b), lambda g: (g * share, g * (1 - share)))


for numbers in ((1, 2), (3, 2), (2, 2)):
    a, b = Value(numbers[0]), Value(numbers[1])
    maximum(a, b).backward()
    print(*numbers, "gradients", a.grad, b.grad)
# --8<-- [end:exercise-maximum]


# --8<-- [start:exercise-check]
def largest_error(function, numbers, h=1e-6):
    leaves = [Value(n) for n in numbers]
    function(*leaves).backward()

    def moved(i, by):
        return function(*(Value(n + by * (i == j)) for j, n in enumerate(numbers))).data

    slopes = [(moved(i, h) - moved(i, -h)) / (2 * h) for i in range(len(numbers))]
    return max(abs(slope - v.grad) for slope, v in zip(slopes, leaves, strict=True))


def wrong_sin(x):
    a = x.data
    return Value(math.sin(a), "sin", (x,), lambda g: (g * math.sin(a),))


for op in (sin, wrong_sin):
    error_found = largest_error(lambda a, b, op=op: op(a * b) / b, [0.7, 1.3])
    print(f"{op.__name__:10} right: {error_found < 1e-8}")
# --8<-- [end:exercise-check]
