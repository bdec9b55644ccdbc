"""A state carried along, and the way back: the program of mathematics/recurrence."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
frame = {"boxstyle": "round,pad=0.5", "facecolor": "none"}
arrow = {"arrowstyle": "->", "shrinkA": 17, "shrinkB": 17}
states = ["$h_0$", "$h_1$", "$h_2$", "$h_3$"]
for t, state in enumerate(states):
    ax.text(2 * t, 1, state, ha="center", va="center", bbox=frame)
    if t:
        ax.text(2 * t, -0.3, f"$x_{t}$", ha="center", va="center")
        ax.annotate("", (2 * t, 1), (2 * t, -0.3), arrowprops=arrow)
        ax.text(2 * t + 0.1, 0.35, "$W_{ih}$", va="center")
        ax.annotate("", (2 * t, 1), (2 * t - 2, 1), arrowprops=arrow)
        ax.text(2 * t - 1, 0.72, "$W_{hh}$", ha="center")
        back = {**arrow, "color": "C1", "connectionstyle": "arc3,rad=0.35"}
        ax.annotate("", (2 * t - 2, 1.05), (2 * t, 1.05), arrowprops=back)
        ax.text(2 * t - 1, 1.5, rf"$\delta_{t}$", ha="center", color="C1")
ax.text(7.4, 1, "$L$", ha="center", va="center", bbox=frame)
ax.annotate("", (7.4, 1), (6, 1), arrowprops=arrow)
ax.set(xlim=(-0.6, 8), ylim=(-0.6, 1.8))
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:five-steps]
import torch
from torch import Tensor, nn


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


xs, target = tensor([1.0, 0.0, -1.0]), tensor(0.0)
w_ih, w_hh, b = tensor(0.5), tensor(0.8), tensor(0.0)
weights = [w.requires_grad_() for w in (w_ih, w_hh, b)]

h = tensor(0.0)  # 1. the state before the first step
states, sums = [h], []
for x in xs:  # 2. read one step
    a = w_ih * x + w_hh * h + b
    h = torch.tanh(a)  # 3. the new state
    a.retain_grad()
    sums.append(a)
    states.append(h)
    print(f"x = {x.item():4.1f}   a = {a.item():7.4f}   h = {h.item():7.4f}")
loss = 0.5 * (h - target) ** 2  # 4. compare the last state with the target
loss.backward()  # 5. back through all steps
print(f"L = {loss.item():.4f}")
# --8<-- [end:five-steps]

# --8<-- [start:parameters]
layer = nn.RNN(1, 1)
print([name for name, _ in layer.named_parameters()])
# --8<-- [end:parameters]

# --8<-- [start:imports]
from collections.abc import Callable

from dlguide.functional.rnn import rnn, rnn_backward

Function = Callable[[Tensor], Tensor]
# --8<-- [end:imports]

# --8<-- [start:same]
torch.manual_seed(0)
layer = nn.RNN(3, 2, dtype=torch.float64)
x, h0 = torch.randn(5, 4, 3).double(), torch.randn(4, 2).double()
theirs, last = layer(x, h0[None])  # PyTorch wants a dimension for the layers
ours, h_n = rnn(x, h0, *layer.parameters())
print(tuple(ours.shape), torch.allclose(ours, theirs), torch.allclose(h_n, last[0]))
# --8<-- [end:same]


# --8<-- [start:tree]
class TreeSum(nn.Module):
    """One matrix for every node of a binary tree: h = f(W [left; right])."""

    def __init__(self, weight: Tensor, f=torch.tanh):
        super().__init__()
        self.weight, self.f = nn.Parameter(weight), f

    def forward(self, tree) -> Tensor:
        if isinstance(tree, Tensor):  # a leaf
            return tree
        left, right = map(self, tree)  # the same module, lower down
        return self.f(self.weight @ torch.cat([left, right]))


a, b, c = tensor([1.0]), tensor([2.0]), tensor([3.0])
pairs, chain = ((a, b), c), (a, (b, c))
total = TreeSum(tensor([[1.0, 1.0]]), f=lambda s: s)
print("sum  ", total(pairs).item(), total(chain).item())
bent = TreeSum(tensor([[0.5, 0.2]]))
print("tanh ", round(bent(pairs).item(), 4), round(bent(chain).item(), 4))
# --8<-- [end:tree]

# --8<-- [start:chain]
leaning = tensor([0.0])
for step in xs:
    leaning = (leaning, step[None])  # (((h0, x1), x2), x3)
as_tree = TreeSum(tensor([[0.8, 0.5]]))(leaning)
print(f"tree {as_tree.item():.4f}, recurrent {states[-1].item():.4f}")
named = [n for n in dir(nn) if "recursive" in n.lower() or "tree" in n.lower()]
print("in torch.nn:", named)
# --8<-- [end:chain]

# --8<-- [start:by-hand]
hs = [h.item() for h in states]
back, d_w_ih, d_w_hh, d_b = hs[-1], 0.0, 0.0, 0.0  # dL/dh3 = h3 - target
for t in (3, 2, 1):
    slope = 1 - hs[t] ** 2
    delta = back * slope
    d_w_ih += delta * xs[t - 1].item()
    d_w_hh += delta * hs[t - 1]
    d_b += delta
    back = 0.8 * delta  # w_hh: on to h_{t-1}
    auto = sums[t - 1].grad.item()
    adds = delta * hs[t - 1] or 0.0  # not -0.0
    print(f"t = {t}   slope {slope:.4f}   delta {delta:7.4f}", end="   ")
    print(f"autograd {auto:7.4f}   adds {adds:7.4f}")
print("by hand ", *(f"{g:8.5f}" for g in (d_w_ih, d_w_hh, d_b)))
print("autograd", *(f"{w.grad.item():8.5f}" for w in weights))
# --8<-- [end:by-hand]

# --8<-- [start:same-gradients]
leaves = [x.requires_grad_(), h0.requires_grad_(), *layer.parameters()]
output, h_n = rnn(*leaves)
e, e_n = torch.randn_like(output), torch.randn_like(h_n)  # dL/d each result
auto = torch.autograd.grad((output, h_n), leaves, (e, e_n))
hand = rnn_backward(e, e_n, *leaves)
for name, a, b in zip(("x", "h0", "W_ih", "W_hh"), auto, hand, strict=False):
    print(f"{name:5}", tuple(b.shape), torch.allclose(a, b, rtol=1e-10))
# --8<-- [end:same-gradients]

# --8<-- [start:radius]
turn = tensor([[0.6, -0.8], [0.8, 0.6]])  # a rotation: both |eigenvalues| are 1
start = tensor([1.0, 0.0])
print("radius   linear     tanh")
for radius in (0.8, 1.0, 1.2):
    row = []
    for f in (lambda s: s, torch.tanh):
        h = h_start = start.clone().requires_grad_()
        for _ in range(50):
            h = f(radius * turn @ h)
        row.append(torch.autograd.grad(h[0], h_start)[0].norm().item())
    print(f"{radius:6}", *(f"{size:8.1e}" for size in row))
print(f"0.8^50 = {0.8**50:.1e}   1.2^50 = {1.2**50:.1e}")
# --8<-- [end:radius]


# --8<-- [start:fade]
def fade(layer: nn.Module, steps: int = 51) -> Tensor:
    """How much each step's input still matters for the last state; the last: 1."""
    x = 0.1 * torch.randn(steps, 16, layer.input_size, dtype=torch.float64)
    x.requires_grad_()
    output, _ = layer(x)
    (grad,) = torch.autograd.grad(output[-1].sum(), x)
    size = grad.norm(dim=(1, 2))
    return size / size[-1]


torch.manual_seed(0)
size = 32
plain, gated = (kind(size, size, dtype=torch.float64) for kind in (nn.RNN, nn.LSTM))
curves = {"RNN": fade(plain), "LSTM": fade(gated)}
with torch.no_grad():  # forget gates that are open at the start
    gated.bias_ih_l0[size : 2 * size] = 2.0
    gated.bias_hh_l0[size : 2 * size] = 0.0
curves["LSTM, forget bias 2"] = fade(gated)
radius = torch.linalg.eigvals(plain.weight_hh_l0).abs().max().item()
print(f"spectral radius {radius:.2f}, 1 / sqrt(3) = {3**-0.5:.2f}")
print(f"(1 / sqrt(3))^50 = {3**-25:.0e}")
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, curve in curves.items():
    print(f"{name:20} 25 steps back {curve[25]:.0e}   50 steps back {curve[0]:.0e}")
    ax.plot(range(50, -1, -1), curve, label=name)
ax.set(xlabel="steps back", ylabel="gradient", yscale="log")
ax.legend(loc="lower left")
plt.show()
# --8<-- [end:fade]

# --8<-- [start:truncated]
torch.manual_seed(0)
network = nn.RNN(1, 4, dtype=torch.float64)
long = torch.randn(40, 1, 1, dtype=torch.float64)


def gradient(k: int) -> Tensor:
    """Of W_hh, for a loss at the end that only reaches k steps back."""
    with torch.no_grad():
        state = network(long[:-k])[1] if k < len(long) else None  # None: zeros
    output, _ = network(long[-k:], state)
    return torch.autograd.grad(output[-1].sum(), network.weight_hh_l0)[0]


full = gradient(40)
for k in (1, 2, 5, 10, 20, 40):
    print(f"k = {k:2}   error {((gradient(k) - full).norm() / full.norm()).item():.0e}")
# --8<-- [end:truncated]

# --8<-- [start:padding]
from torch.nn.utils.rnn import pack_padded_sequence

torch.manual_seed(0)
layer = nn.RNN(1, 2)
short = torch.randn(3, 1, 1)  # one sequence of three steps
for zeros in (0, 2, 7):
    padded = torch.cat([short, torch.zeros(zeros, 1, 1)])
    _, read = layer(padded)
    _, packed = layer(pack_padded_sequence(padded, [3]))
    print(zeros, "zeros:", read.detach().numpy().round(3).ravel(), end="   ")
    print("packed:", packed.detach().numpy().round(3).ravel())
# --8<-- [end:padding]

# --8<-- [start:unsorted]
batch = torch.randn(5, 3, 1)
try:
    pack_padded_sequence(batch, [2, 5, 3])
except RuntimeError as error:
    print(str(error).partition(".")[0])
packed = pack_padded_sequence(batch, [2, 5, 3], enforce_sorted=False)
print("batch_sizes", packed.batch_sizes.tolist())
_, h_n = layer(packed)
alone = [layer(batch[:length, [n]])[1] for n, length in enumerate((2, 5, 3))]
print(torch.allclose(h_n, torch.cat(alone, dim=1), atol=1e-6))
# --8<-- [end:unsorted]

# --8<-- [start:batch-first]
x = torch.randn(4, 6, 1)  # four sequences of six steps
changed = x.clone()
changed[0] += 1  # another first sequence
for batch_first in (False, True):
    layer = nn.RNN(1, 2, batch_first=batch_first)
    moved = (layer(x)[0] != layer(changed)[0]).any(dim=2)
    print(f"batch_first={batch_first}: changed", moved.any(dim=1).tolist())
# --8<-- [end:batch-first]

# --8<-- [start:not-detached]
layer = nn.RNN(1, 2)
state = torch.zeros(1, 1, 2)
for detach in (False, True):
    try:
        for part in torch.randn(3, 10, 1, 1):  # a long sequence in three parts
            output, state = layer(part, state.detach() if detach else state)
            output.sum().backward()
        print("detached: three backward passes")
    except RuntimeError as error:
        print(str(error).partition(" (")[0])
        state = torch.zeros(1, 1, 2)
# --8<-- [end:not-detached]


# --8<-- [start:exercise-jacobian]
def state_jacobian(w_hh: Tensor, states: Tensor) -> Tensor:
    """dh_T/dh_0 of a tanh network; states [T, H] holds h_1 to h_T."""
    product = torch.eye(len(w_hh), dtype=w_hh.dtype)
    for h in states:
        product = (1 - h**2)[:, None] * w_hh @ product
    return product


w = tensor([[0.9, -0.5], [0.4, 0.7]])
h0 = tensor([0.3, -0.2])
output, _ = rnn(torch.zeros(8, 1, 2).double(), h0[None], torch.zeros_like(w), w)
print(state_jacobian(w, output[:, 0]).numpy().round(4))
# --8<-- [end:exercise-jacobian]


# --8<-- [start:exercise-last]
def last_states(output: Tensor, lengths: Tensor) -> Tensor:
    """From padded output [T, N, H], the state after each sequence's own last step."""
    return output[lengths - 1, torch.arange(len(lengths))]


torch.manual_seed(0)
layer, lengths = nn.RNN(1, 2), torch.tensor([2, 5, 3])
output, _ = layer(batch)  # reads the padding too, but only after the real steps
packed = pack_padded_sequence(batch, lengths, enforce_sorted=False)
print(torch.allclose(last_states(output, lengths), layer(packed)[1][0]))
# --8<-- [end:exercise-last]
