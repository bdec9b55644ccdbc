"""From one weight to a network of layers: the program of mathematics/forward-pass."""

# --8<-- [start:line]
import torch
from torch import Tensor, nn


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


w = torch.tensor([1.0], requires_grad=True)
b = torch.tensor([0.0], requires_grad=True)
x = torch.tensor([1.0])
y = w * x + b
print(y.detach())
y.backward()
print("dy/dw", w.grad, "  dy/db", b.grad)
try:
    (w.detach() * x + b.detach()).backward()
except RuntimeError as error:
    print("without requires_grad:", str(error).split(" and")[0])
# --8<-- [end:line]

# --8<-- [start:neuron]
x = tensor([1, 2, 3])
w, b = tensor([0.1, 0.2, -0.1]), tensor(0)
for weight, entry in zip(w, x, strict=True):
    print(f"{weight:4.1f} * {entry:.0f} = {weight * entry:4.1f}")
z = w @ x + b
a = torch.sigmoid(z)
print(f"z = {z:.6f}   a = {a:.6f}")
# --8<-- [end:neuron]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
nodes = {"z": (2.2, 1), "a": (4.2, 1)}
for name, (right, up) in nodes.items():
    ax.add_patch(plt.Circle((right, up), 0.34, fill=False, edgecolor="C0"))
    ax.text(right, up, f"${name}$", ha="center", va="center")
arrow = {"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0}
for i in range(3):
    start = (0.3, 2 - i)
    ax.text(0.1, 2 - i, f"$x_{i + 1} = {x[i]:.0f}$", ha="right", va="center")
    ax.annotate("", (1.84, 1 + 0.12 * (1 - i)), start, arrowprops=arrow)
    ax.text(1, (1.75, 1.06, 0.05)[i], f"{w[i]:.1f}", ha="center", va="bottom")
ax.annotate("", (3.84, 1), (2.56, 1), arrowprops=arrow)
ax.text(3.2, 1.08, r"$\sigma$", ha="center", va="bottom")
ax.annotate("", (2.2, 0.62), (2.2, 0.05), arrowprops=arrow)
ax.text(2.2, -0.02, "$b = 0$", ha="center", va="top")
ax.text(2.2, 1.42, f"{z:.1f}", ha="center", va="bottom")
ax.text(4.2, 1.42, f"{a:.3f}", ha="center", va="bottom")
ax.set(xlim=(-0.9, 4.8), ylim=(-0.4, 2.3), aspect="equal")
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:layer]
W1 = tensor([[0.1, 0.2, -0.1], [-0.2, 0.1, 0.1]])  # (2, 3): a row for each neuron
b1 = tensor([0, 0])  # (2,)
z1 = W1 @ x + b1  # (2, 3) @ (3,) -> (2,)
h = torch.sigmoid(z1)
print("z1", [f"{v:.6f}" for v in z1.tolist()])
print("h ", [f"{v:.6f}" for v in h.tolist()])

linear = nn.Linear(3, 2, dtype=torch.float64)
with torch.no_grad():
    linear.weight.copy_(W1)
    linear.bias.copy_(b1)
print("nn.Linear:", torch.allclose(torch.sigmoid(linear(x)), h, rtol=1e-12))
# --8<-- [end:layer]


# --8<-- [start:two-layers]
def three_steps(W1, b1, W2, b2, x):
    z1 = W1 @ x + b1  # step 1: into the hidden layer
    h = torch.sigmoid(z1)
    z2 = W2 @ h + b2  # step 2: into the output layer
    y = torch.sigmoid(z2)
    return z1, h, z2, y


t = tensor([0.5])
examples = {
    "A": (tensor([[1, 1, 1], [1, 1, 1]]), b1, tensor([[1, 1]]), tensor([0])),
    "B": (tensor([[1, 1, 1], [1, 1, 2]]), b1, tensor([[1, 1]]), tensor([0])),
    "C": (W1, b1, tensor([[0.5, -0.3]]), tensor([0])),
}
for name, parameters in examples.items():
    z1, h, z2, y = three_steps(*parameters, x)
    L = ((y - t) ** 2).sum() / 2  # step 3: compare
    print(name, " z1", [round(v, 6) for v in z1.tolist()], end="   ")
    print("h", [f"{v:.10f}" for v in h.tolist()])
    print(f"   z2 {z2.item():.10f}   y {y.item():.10f}   L {L.item():.10f}")
# --8<-- [end:two-layers]


# --8<-- [start:sequential]
def as_modules(W1, b1, W2, b2):
    model = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
    values = {"0.weight": W1, "0.bias": b1, "2.weight": W2, "2.bias": b2}
    model.double().load_state_dict(values)
    return model


for name, parameters in examples.items():
    y = three_steps(*parameters, x)[-1]
    same = torch.allclose(as_modules(*parameters)(x), y, rtol=1e-12)
    print(name, "equals nn.Sequential:", same)
for name, parameter in as_modules(*examples["A"]).named_parameters():
    print(f"{name:9}", tuple(parameter.shape))
# --8<-- [end:sequential]

# --8<-- [start:batch]
X = torch.stack([x, tensor([0, 1, -1]), tensor([2, 0, 1]), tensor([1, 1, 1])])
Z = X @ W1.T + b1  # (4, 3) @ (3, 2) -> (4, 2): a sample is a row
columns = W1 @ X.T + b1[:, None]  # (2, 3) @ (3, 4) -> (2, 4): a sample is a column
one_by_one = torch.stack([W1 @ sample + b1 for sample in X])
print(Z)
print("row s is sample s:   ", torch.allclose(Z, one_by_one))
print("columns, transposed: ", torch.allclose(columns.T, Z))
print("nn.Linear takes rows:", torch.allclose(linear(X), Z))
# --8<-- [end:batch]

# --8<-- [start:deep]
from itertools import pairwise

from dlguide.backprop import Layer
from dlguide.backprop.network import forward

torch.manual_seed(0)
parts = [nn.Linear(n, m).double() for n, m in pairwise([64, 32, 16, 10])]
model = nn.Sequential(parts[0], nn.ReLU(), parts[1], nn.ReLU(), parts[2])
activations = ["relu", "relu", "identity"]  # none after the last layer
layers = [
    Layer(part.weight, part.bias, activation)
    for part, activation in zip(parts, activations, strict=True)
]
# --8<-- [end:deep]

# --8<-- [start:deep-run]
pixels = torch.rand(5, 64, dtype=torch.float64)  # five samples
zs, acts = forward(layers, pixels)
for layer, a, z in zip(layers, acts[:-1], zs, strict=True):
    print("a", tuple(a.shape), " W", tuple(layer.W.shape), " z", tuple(z.shape))
print("equals nn.Sequential:", torch.allclose(acts[-1], model(pixels), rtol=1e-12))
# --8<-- [end:deep-run]


# --8<-- [start:count]
def count(widths):
    """Parameters of a chain of linear layers with biases."""
    return sum(m * (n + 1) for n, m in pairwise(widths))


def linears(widths):
    return nn.Sequential(*(nn.Linear(n, m) for n, m in pairwise(widths)))


for widths in ([3, 2, 1], [784, 128, 10], [784, 128, 128, 10]):
    by_torch = sum(p.numel() for p in linears(widths).parameters())
    print(widths, count(widths), by_torch)
# --8<-- [end:count]

# --8<-- [start:collapse]
torch.manual_seed(0)
first, second = nn.Linear(3, 8).double(), nn.Linear(8, 2).double()
W = second.weight @ first.weight  # (2, 8) @ (8, 3) -> (2, 3)
b = second.weight @ first.bias + second.bias
print("two layers are one:  ", torch.allclose(second(first(X)), X @ W.T + b))
with_sigmoid = second(torch.sigmoid(first(X)))
print("with a sigmoid, too? ", torch.allclose(with_sigmoid, X @ W.T + b))

narrow = nn.Sequential(nn.Linear(64, 2), nn.Linear(2, 10))
product = narrow[1].weight @ narrow[0].weight
print("rank of 64 -> 2 -> 10:", torch.linalg.matrix_rank(product).item())
# --8<-- [end:collapse]

# --8<-- [start:wrong-shapes]
picture = torch.rand(64, 1, 28, 28)
attempts = {
    "W 2x2, x of 3": lambda: tensor([[1, 1], [1, 1]]) @ x,
    "W @ X, X of rows": lambda: W1 @ X,
    "a picture": lambda: nn.Linear(784, 128)(picture),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except RuntimeError as error:
        print(f"{name}: {error}")
print("flattened:", tuple(nn.Linear(784, 128)(picture.flatten(1)).shape))
# --8<-- [end:wrong-shapes]

# --8<-- [start:silent]
wrong = W1 @ x + b1[:, None]  # the bias as a column, the product as a vector
print("z1 has shape", tuple(wrong.shape), "instead of", tuple((W1 @ x + b1).shape))
# --8<-- [end:silent]

# --8<-- [start:rounding]
z1, h, z2, y = three_steps(*examples["B"], x)
print("h printed with two digits:", [f"{v:.2f}" for v in h.tolist()])
print(f"y from h = (1, 1):  {torch.sigmoid(tensor(2)):.6f}")
print(f"y from the true h:  {y.item():.6f}")
print(f"sigma(1), not y:    {torch.sigmoid(tensor(1)):.6f}")
print("slope if h were 1: ", 1 * (1 - 1), f"  true: {h[0] * (1 - h[0]):.6f}")
# --8<-- [end:rounding]


# --8<-- [start:exercise-forward]
def run(parameters, X):
    """ReLU after every layer but the last; parameters: [(W, b), …]; X: (S, n)."""
    a = X
    for i, (W, b) in enumerate(parameters):
        z = a @ W.T + b
        a = z.clamp(min=0) if i < len(parameters) - 1 else z
    return a


torch.manual_seed(0)
hidden = [nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU()]
mlp = nn.Sequential(*hidden, nn.Linear(4, 2)).double()
parameters = [(m.weight, m.bias) for m in mlp if isinstance(m, nn.Linear)]
print(torch.allclose(run(parameters, X), mlp(X), rtol=1e-12))
# --8<-- [end:exercise-forward]


# --8<-- [start:exercise-collapse]
def collapse(parameters):
    """One W and one b for a chain of linear layers [(W, b), …] without activations."""
    W, b = parameters[0]
    for V, c in parameters[1:]:
        W, b = V @ W, V @ b + c
    return W, b


W, b = collapse(parameters)
chain = nn.Sequential(*(m for m in mlp if isinstance(m, nn.Linear)))
print(tuple(W.shape), torch.allclose(X @ W.T + b, chain(X), rtol=1e-12))
# --8<-- [end:exercise-collapse]
