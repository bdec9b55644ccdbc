"""Backpropagation by hand: the program of the page mathematics/backpropagation."""

# --8<-- [start:picture]
import torch
from dlguide.backprop import (
    ACTIVATIONS,
    Activation,
    Layer,
    backprop,
    check,
    draw_network,
)
from matplotlib import pyplot as plt
from torch import Tensor, nn


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


x, t = tensor([1, 2, 3]), tensor([0.5])
hidden = Layer(tensor([[0.1, 0.2, -0.1], [-0.2, 0.1, 0.1]]), tensor([0, 0]))
output = Layer(tensor([[0.5, -0.3]]), tensor([0]))
draw_network([hidden, output], x, t)
plt.show()
# --8<-- [end:picture]

# --8<-- [start:shapes]
try:
    tensor([[1, 1], [1, 1]]) @ x[:, None]  # (2, 2) @ (3, 1)
except RuntimeError as error:
    print("torch:  ", error)

try:
    backprop([Layer(tensor([[1, 1], [1, 1]]), tensor([0, 0]))], x, tensor([1, 1]))
except ValueError as error:
    print("dlguide:", str(error).partition(",")[0])
# --8<-- [end:shapes]

# --8<-- [start:sigmoid]
for z in (1, 2, 6, 9):
    s = torch.sigmoid(tensor(z))
    print(f"z = {z}   sigma(z) = {s:.10f}   sigma'(z) = {s * (1 - s):.10f}")
# --8<-- [end:sigmoid]

# --8<-- [start:hadamard]
a, b = tensor([[1], [2]]), tensor([[3], [4]])  # two columns, (2, 1)
print("a * b   ", (a * b).tolist())  # Hadamard: (2, 1)
print("a @ b.T ", (a @ b.T).tolist())  # column times row: (2, 2)
print("a.T @ b ", (a.T @ b).tolist())  # row times column: (1, 1)
# --8<-- [end:hadamard]

# --8<-- [start:by-hand]
W1, b1 = tensor([[1, 1, 1], [1, 1, 1]]), tensor([[0], [0]])  # (2, 3), (2, 1)
W2, b2 = tensor([[1, 1]]), tensor([[0]])  # (1, 2), (1, 1)
xc, tc = x[:, None], t[:, None]  # columns: (3, 1), (1, 1)

z1 = W1 @ xc + b1  # (2, 3) @ (3, 1) -> (2, 1)
h = torch.sigmoid(z1)  # (2, 1)
z2 = W2 @ h + b2  # (1, 2) @ (2, 1) -> (1, 1)
y = torch.sigmoid(z2)  # (1, 1)
L = ((y - tc) ** 2).sum() / 2  # a number

delta_k = (y - tc) * y * (1 - y)  # (1, 1)
dW2 = delta_k @ h.T  # (1, 1) @ (1, 2) -> (1, 2), the shape of W2
db2 = delta_k  # (1, 1), the shape of b2
delta_h = (W2.T @ delta_k) * h * (1 - h)  # (2, 1) @ (1, 1) -> (2, 1)
dW1 = delta_h @ xc.T  # (2, 1) @ (1, 3) -> (2, 3), the shape of W1
db1 = delta_h  # (2, 1), the shape of b1
print(f"y = {y.item():.10f}   y - t = {(y - tc).item():.10f}   L = {L.item():.10f}")
print(f"delta_k = {delta_k.item():.10f}")
# --8<-- [end:by-hand]

# --8<-- [start:example-a]
a_layers = [Layer(W1, b1[:, 0]), Layer(W2, b2[:, 0])]
trace_a = backprop(a_layers, x, t)
print(trace_a)
print("same as the eleven lines:", torch.allclose(trace_a["dW1"], dW1))
# --8<-- [end:example-a]


# --8<-- [start:symmetry]
def train(layers, steps, rate=0.5):
    """Gradient descent with the gradients found by hand."""
    for _ in range(steps):
        g = backprop(layers, x, t).gradients()
        layers = [
            Layer(layer.W - rate * g[f"W{i}"], layer.b - rate * g[f"b{i}"])
            for i, layer in enumerate(layers, 1)
        ]
    return layers


def report(name, layers):
    rows = layers[0].W
    loss = backprop(layers, x, t)["L"].item()
    print(f"{name:21}  loss {loss:.6f}  rows equal: {torch.equal(rows[0], rows[1])}")


report("before", a_layers)
report("after 500 steps", train(a_layers, 500))
print([round(v, 4) for v in train(a_layers, 500)[0].W[0].tolist()])
# --8<-- [end:symmetry]

# --8<-- [start:broken]
unequal = [a_layers[0], Layer(tensor([[1, 0.5]]), tensor([0]))]
report("W2 unequal, 500 steps", train(unequal, 500))
# --8<-- [end:broken]

# --8<-- [start:example-b]
b_layers = [Layer(tensor([[1, 1, 1], [1, 1, 2]]), tensor([0, 0])), a_layers[1]]
trace_b = backprop(b_layers, x, t)
print(trace_b.table(code=False))
for symbol in ("h", "y", "delta_k", "dW2"):
    print(symbol, [f"{v:.10f}" for v in trace_b[symbol].flatten().tolist()])
# --8<-- [end:example-b]

# --8<-- [start:saturation]
trace_c = backprop([hidden, output], x, t)
for name, trace in (("B", trace_b), ("C", trace_c)):
    h_now = trace["h"]
    print(name, "slopes", [f"{v:.6f}" for v in (h_now * (1 - h_now)).tolist()])
one = torch.sigmoid(torch.tensor(20.0))  # float32
print("sigma(20) in float32:", one.item(), " slope:", (one * (1 - one)).item())
# --8<-- [end:saturation]

# --8<-- [start:example-c]
print(trace_c.table(code=False))
# --8<-- [end:example-c]

# --8<-- [start:autograd]
leaves = {"W1": hidden.W, "b1": hidden.b, "W2": output.W, "b2": output.b}
leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}

h = torch.sigmoid(leaves["W1"] @ x + leaves["b1"])
y = torch.sigmoid(leaves["W2"] @ h + leaves["b2"])
(((y - t) ** 2).sum() / 2).backward()

for name, by_hand in trace_c.gradients().items():
    by_autograd = leaves[name].grad
    close = torch.allclose(by_hand, by_autograd, rtol=1e-12, atol=1e-16)
    print(f"d{name}  shape {tuple(by_autograd.shape)}  allclose {close}")
# --8<-- [end:autograd]


# --8<-- [start:differences]
def loss_with(w):
    """The loss when the entry in row 0, column 2 of W1 is w."""
    W = hidden.W.clone()
    W[0, 2] = w
    return backprop([Layer(W, hidden.b), output], x, t)["L"].item()


eps = 1e-5
slope = (loss_with(-0.1 + eps) - loss_with(-0.1 - eps)) / (2 * eps)
print(f"finite difference {slope:.8f}   by hand {trace_c['dW1'][0, 2].item():.8f}")
print(check([hidden, output], x, t))
# --8<-- [end:differences]

# --8<-- [start:batch]
X = torch.stack([x, tensor([0, 1, -1])])  # (2, 3): two samples, one per row
targets = tensor([[0.5], [0.8]])  # (2, 1)
trace = backprop([hidden, output], X, targets)
print(trace.table(code=False))
# --8<-- [end:batch]

# --8<-- [start:linear]
model = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
model = model.double()
with torch.no_grad():
    for linear, layer in ((model[0], hidden), (model[2], output)):
        linear.weight.copy_(layer.W)
        linear.bias.copy_(layer.b)

(((model(X) - targets) ** 2).sum() / 2).backward()
grads = [parameter.grad for parameter in model.parameters()]
mine = list(trace.gradients().values())
print("forward ", torch.allclose(model(X), trace["y"]))
print("backward", all(torch.allclose(m, g) for m, g in zip(mine, grads, strict=True)))

first = backprop([hidden, output], X[0], targets[0])["dW1"]
second = backprop([hidden, output], X[1], targets[1])["dW1"]
print("dW1 adds up the samples:", torch.allclose(trace["dW1"], first + second))
# --8<-- [end:linear]

# --8<-- [start:update]
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
weight = model[0].weight
start = weight.detach().clone()
optimizer.zero_grad()
loss = ((model(X) - targets) ** 2).sum() / 2
print("gradient before backward():", weight.grad)
loss.backward()
print("weights after backward():  unchanged", torch.equal(weight, start))
optimizer.step()
print("weights after step():      unchanged", torch.equal(weight, start))
print("moved by -lr * gradient:  ", torch.allclose(weight, start - 1.0 * weight.grad))
# --8<-- [end:update]

# --8<-- [start:training-step]
layers, rate = [hidden, output], 1.0
print("1 weights  W2 =", layers[1].W.tolist())
trace = backprop(layers, x, t)
print(f"2 forward  y = {trace['y'].item():.6f}")
print(f"3 loss     L = {trace['L'].item():.8f}")
print("4 backward dW2 =", [round(v, 8) for v in trace["dW2"][0].tolist()])
layers = train(layers, steps=1, rate=rate)
print("5 update   W2 =", [round(v, 8) for v in layers[1].W[0].tolist()])
print(f"  and then L = {backprop(layers, x, t)['L'].item():.8f}")
# --8<-- [end:training-step]

# --8<-- [start:losses]
z2 = trace_c["z2"].clone().requires_grad_()
y = torch.sigmoid(z2)
losses = {
    "half_sse": ((y - t) ** 2).sum() / 2,
    "mse_loss": nn.MSELoss()(y, t),
    "bce": nn.BCELoss()(y, t),
}
for name, value in losses.items():
    (auto,) = torch.autograd.grad(value, z2, retain_graph=True)
    by_hand = backprop([hidden, output], x, t, name)["delta_k"]
    print(f"{name:8}  L = {value:.8f}", end="   ")
    print(f"delta_k by hand {by_hand.item():.8f}, autograd {auto.item():.8f}")
# --8<-- [end:losses]

# --8<-- [start:general]
from itertools import pairwise

torch.manual_seed(0)
sizes, names = [3, 4, 4, 3], ["gelu", "tanh", "softmax"]
deep = [
    Layer(torch.randn(m, n).double(), torch.randn(m).double(), name)
    for (n, m), name in zip(pairwise(sizes), names, strict=True)
]
classes = torch.tensor([0, 2])  # the right class of each of the two samples
trace = backprop(deep, X, classes, "ce")
onehot = tensor([[1, 0, 0], [0, 0, 1]])
by_formula = (trace["y"] - onehot) / 2
print("delta_k = (y - t) / S:", torch.allclose(trace["delta_k"], by_formula))
print("all gradients right:  ", check(deep, X, classes, "ce").passed)

wrong = [
    name
    for name in ACTIVATIONS
    if not check([Layer(hidden.W, hidden.b, name), output], x, t).passed
]
print(len(ACTIVATIONS), "activations, wrong gradients:", wrong)
# --8<-- [end:general]

# --8<-- [start:wrong-order]
h, delta_k, delta_h = trace_a["h"][:, None], trace_a["delta_k"][:, None], db1
for name, inputs, delta in (("h", h, delta_k), ("x", xc, delta_h)):
    try:
        inputs.T @ delta
    except RuntimeError as error:
        print(f"{name}.T @ delta ->", error)
print("h.T @ delta_h ->", tuple((h.T @ delta_h).shape), "and no error")
# --8<-- [end:wrong-order]


# --8<-- [start:wrong-slope]
def sigmoid(z):
    return 1 / (1 + torch.exp(-z))


careless = Activation(r"\sigma", value=sigmoid, slope=sigmoid)
layers = [Layer(hidden.W, hidden.b, careless), Layer(output.W, output.b, careless)]
print(f"delta_k {backprop(layers, x, t)['delta_k'].item():.8f}")
print(check(layers, x, t))
# --8<-- [end:wrong-slope]


# --8<-- [start:wrong-sum]
def show(name, values):
    print(f"{name:20}", [round(v, 6) for v in values.flatten().tolist()])


gradient, W = trace_b["dW2"], b_layers[1].W
show("gradient of W2", gradient)
show("its entries added", gradient.sum())
show("W2 after one step", W - gradient)
show("with the sum, wrong", W - gradient.sum())
# --8<-- [end:wrong-sum]

# --8<-- [start:no-zero-grad]
for parameter in model.parameters():
    parameter.grad = None
for call in (1, 2, 3):
    (((model(X) - targets) ** 2).sum() / 2).backward()
    print(f"backward() number {call}: bias gradient {model[2].bias.grad.item():.6f}")
# --8<-- [end:no-zero-grad]


# --8<-- [start:exercise-bce]
def delta_bce(y, t):
    return (y - t) / y.numel()


z = tensor([2.0, -1.0]).requires_grad_()
u = tensor([1.0, 0.0])
(auto,) = torch.autograd.grad(nn.BCEWithLogitsLoss()(z, u), z)
print("by hand ", [round(v, 8) for v in delta_bce(torch.sigmoid(z), u).tolist()])
print("autograd", [round(v, 8) for v in auto.tolist()])
# --8<-- [end:exercise-bce]


# --8<-- [start:exercise-relu]
def relu_gradients(W1, b1, W2, b2, x, t):
    z1 = W1 @ x + b1
    h = z1.clamp(min=0)
    y = torch.sigmoid(W2 @ h + b2)
    delta_k = (y - t) * y * (1 - y)
    delta_h = (W2.T @ delta_k) * (z1 > 0)  # the slope of ReLU is 1 or 0
    return {
        "W1": torch.outer(delta_h, x),
        "b1": delta_h,
        "W2": torch.outer(delta_k, h),
        "b2": delta_k,
    }


W1 = tensor([[0.1, 0.2, -0.1], [-0.2, 0.1, -0.1]])
found = relu_gradients(W1, hidden.b, output.W, output.b, x, t)
for name, value in found.items():
    print(name, [round(v, 8) + 0.0 for v in value.flatten().tolist()])
expected = backprop([Layer(W1, hidden.b, "relu"), output], x, t).gradients()
print(all(torch.allclose(found[name], expected[name]) for name in expected))
# --8<-- [end:exercise-relu]


# --8<-- [start:exercise-batch]
def batch_gradients(delta, inputs):
    """Gradients of one layer's W and b from its delta (S, m) and its inputs (S, n)."""
    return delta.T @ inputs, delta.sum(0)


trace = backprop([hidden, output], X, targets)
dW1, db1 = batch_gradients(trace["delta_h"], X)
print(torch.allclose(dW1, trace["dW1"]), torch.allclose(db1, trace["db1"]))
d = trace["delta_h"]
by_loop = torch.outer(d[0], X[0]) + torch.outer(d[1], X[1])
print(torch.allclose(dW1, by_loop))
# --8<-- [end:exercise-batch]
