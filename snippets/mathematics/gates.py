"""LSTM and GRU, forward and backward by hand: the program of mathematics/gates."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
arrow = {"arrowstyle": "->", "shrinkA": 9, "shrinkB": 9}
wide = {**arrow, "linewidth": 2.5, "color": "C1"}
round_box = {"boxstyle": "circle,pad=0.25", "facecolor": "none"}
gate_box = {"boxstyle": "round,pad=0.4", "facecolor": "none"}
places = {"$c_{t-1}$": (-0.35, 2), "×": (2, 2), "+": (4, 2), "$c_t$": (8, 2)}
places |= {" ×": (4, 1), "tanh": (6.5, 1), "  ×": (6.5, 0), "$h_t$": (8, 0)}
for text, at in places.items():
    box = round_box if text.strip() in "×+" else None
    ax.text(*at, text.strip(), ha="center", va="center", bbox=box)
gates = {
    "$f_t$": (2, 0.6),
    "$i_t$": (3.3, 0.1),
    "$g_t$": (4.7, 0.1),
    "$o_t$": (5.7, -0.6),
}
for text, at in gates.items():
    ax.text(*at, text, ha="center", va="center", bbox=gate_box)
ax.text(0, -0.6, "$x_t,\\ h_{t-1}$", ha="center", va="center")
ax.annotate("", (5.6, -0.6), (0.4, -0.6), arrowprops=arrow)
for text in ("$f_t$", "$i_t$", "$g_t$"):
    right, up = gates[text]
    ax.annotate("", (right, up - 0.05), (right, -0.65), arrowprops=arrow)
for start, end in (("$c_{t-1}$", "×"), ("×", "+"), ("+", "$c_t$")):
    ax.annotate("", places[end], places[start], arrowprops=wide)
ax.annotate("", places["×"], gates["$f_t$"], arrowprops=arrow)
ax.annotate("", places[" ×"], gates["$i_t$"], arrowprops=arrow)
ax.annotate("", places[" ×"], gates["$g_t$"], arrowprops=arrow)
ax.annotate("", places["+"], places[" ×"], arrowprops=arrow)
ax.annotate("", places["tanh"], (6.5, 2.05), arrowprops=arrow)
ax.annotate("", places["  ×"], places["tanh"], arrowprops=arrow)
ax.annotate("", places["  ×"], gates["$o_t$"], arrowprops=arrow)
ax.annotate("", places["$h_t$"], places["  ×"], arrowprops=arrow)
ax.set(xlim=(-0.8, 8.6), ylim=(-1, 2.4))
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:lstm-numbers]
import torch
from dlguide.functional.lstm import lstm_cell, lstm_cell_backward
from torch import Tensor, nn


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


w_ih = tensor([[1.0], [2.0], [0.5], [0.0]])  # four gates of one number: i, f, g, o
w_hh = tensor([[0.5], [0.0], [1.0], [1.0]])
x, h, c = tensor([1.0]), tensor([0.5]), tensor([0.5])

a = w_ih @ x + w_hh @ h
print("sums", *(f"{s.item():.2f}" for s in a))
i, f, o = (torch.sigmoid(a[k]) for k in (0, 1, 3))
g = torch.tanh(a[2])
c_t = f * c + i * g
h_t = o * torch.tanh(c_t)
print(f"i {i:.4f}   f {f:.4f}   g {g:.4f}   o {o:.4f}")
print(f"c {c_t.item():.4f}   h {h_t.item():.4f}")
ours = lstm_cell(x, (h, c), w_ih, w_hh)
print("dlguide ", *(f"{value.item():.4f}" for value in reversed(ours)))
theirs = torch.lstm_cell(x[None], (h[None], c[None]), w_ih, w_hh)
print("torch   ", *(f"{value.item():.4f}" for value in reversed(theirs)))
# --8<-- [end:lstm-numbers]

# --8<-- [start:counts]
inputs, hidden = 3, 5
for gates, kind in ((1, nn.RNN), (4, nn.LSTM), (3, nn.GRU)):
    layer = kind(inputs, hidden)
    count = sum(p.numel() for p in layer.parameters())
    formula = gates * (hidden * inputs + hidden**2 + 2 * hidden)
    print(
        f"{kind.__name__:4} {count:4} {formula:4}   {tuple(layer.weight_hh_l0.shape)}"
    )
# --8<-- [end:counts]

# --8<-- [start:lstm-backward]
dh, dc = tensor(1.0), tensor(0.0)  # dL/dh_t = 1; nothing from the next step
s = torch.tanh(c_t)
dc = dc + dh * o * (1 - s**2)
di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
dg, do = dc * i * (1 - g**2), dh * s * o * (1 - o)
print(f"tanh(c) {s.item():.4f}   1 - f {1 - f.item():.4f}")
print(f"dc {dc.item():.4f}   dL/dc before {(dc * f).item():.4f}")
print("di, df, dg, do ", *(f"{d.item():8.4f}" for d in (di, df, dg, do)))

new_h, _ = lstm_cell(x, (h, c), w_ih.requires_grad_(), w_hh)
(auto,) = torch.autograd.grad(new_h.sum(), w_ih)
print("autograd, W_ih ", *(f"{d:8.4f}" for d in auto.flatten()))  # x = 1
# --8<-- [end:lstm-backward]

# --8<-- [start:lstm-same]
torch.manual_seed(0)
cell = nn.LSTMCell(3, 2, dtype=torch.float64)
x, h, c = (torch.randn(4, k).double().requires_grad_() for k in (3, 2, 2))
results = cell(x, (h, c))
bars = tuple(torch.randn_like(r) for r in results)
auto = torch.autograd.grad(results, [x, h, c, *cell.parameters()], bars)
dx, (dh, dc), *weights = lstm_cell_backward(bars, x, (h, c), *cell.parameters())
pairs = zip(auto, (dx, dh, dc, *weights), strict=True)
print([torch.allclose(a, b, rtol=1e-10) for a, b in pairs])
# --8<-- [end:lstm-same]

# --8<-- [start:forget-bias]
print("bias  sigmoid  after 50 steps")
for bias in (0.0, 1.0, 2.0, 3.0):
    gate = torch.sigmoid(tensor(bias)).item()
    print(f"{bias:4}  {gate:7.4f}  {gate**50:.1e}")
# --8<-- [end:forget-bias]

# --8<-- [start:gru-numbers]
from dlguide.functional.gru import gru_cell, gru_cell_backward

w_ih = tensor([[1.0], [-1.0], [0.5]])  # r, z, n
w_hh = tensor([[0.5], [1.0], [2.0]])
b_ih, b_hh = torch.zeros(3).double(), tensor([0.0, 0.0, 1.0])
x, h = tensor([1.0]), tensor([0.5])

r = torch.sigmoid(w_ih[0] * x + w_hh[0] * h)
z = torch.sigmoid(w_ih[1] * x + w_hh[1] * h)
m = w_hh[2] * h + b_hh[2]  # what the reset gate multiplies
n = torch.tanh(w_ih[2] * x + r * m)
h_t = (1 - z) * n + z * h
for name, value in (("r", r), ("z", z), ("m", m), ("n", n), ("h", h_t)):
    print(f"{name} {value.item():.4f}", end="   ")
print(f"dlguide {gru_cell(x, h, w_ih, w_hh, b_ih, b_hh).item():.4f}")
# --8<-- [end:gru-numbers]


# --8<-- [start:variants]
def gru_1406_1078(x, h, w_ih, w_hh, b_ih, b_hh):
    """The candidate of Cho et al.: reset first, then the matrix."""
    w_r, w_z, w_n = w_hh.chunk(3)
    a_r, a_z, a_n = (w_ih @ x + b_ih + b_hh).chunk(3)
    r, z = torch.sigmoid(a_r + w_r @ h), torch.sigmoid(a_z + w_z @ h)
    n = torch.tanh(a_n + w_n @ (r * h))
    return (1 - z) * n + z * h


torch.manual_seed(0)
cell = nn.GRUCell(3, 2, dtype=torch.float64)
x, h = torch.randn(3).double(), torch.randn(2).double()
print("PyTorch   ", cell(x, h).detach().numpy().round(4))
print("dlguide   ", gru_cell(x, h, *cell.parameters()).detach().numpy().round(4))
print("Cho et al.", gru_1406_1078(x, h, *cell.parameters()).detach().numpy().round(4))
# --8<-- [end:variants]

# --8<-- [start:gru-backward]
x, h, bar = tensor([1.0]), tensor([0.5]), tensor([1.0])  # bar is dL/dh_t
dn = bar * (1 - z) * (1 - n**2)
dz = bar * (h - n) * z * (1 - z)
dr = dn * m * r * (1 - r)
old = bar * z + w_hh[0] * dr + w_hh[1] * dz + w_hh[2] * dn * r
print(f"1 - n^2 {1 - n.item() ** 2:.4f}   r (1 - r) {(r * (1 - r)).item():.4f}")
print("dr, dz, dn, old", *(f"{value.item():8.4f}" for value in (dr, dz, dn, old)))

leaves = [t.clone().requires_grad_() for t in (b_ih, h)]
result = torch.gru_cell(x[None], leaves[1][None], w_ih, w_hh, leaves[0], b_hh)
of_b, of_h = torch.autograd.grad(result.sum(), leaves)
print("autograd       ", *(f"{value:8.4f}" for value in (*of_b, of_h.item())))
# --8<-- [end:gru-backward]

# --8<-- [start:gru-same]
x, h = (torch.randn(4, k).double().requires_grad_() for k in (3, 2))
result = cell(x, h)
bar = torch.randn_like(result)
auto = torch.autograd.grad(result, [x, h, *cell.parameters()], bar)
hand = gru_cell_backward(bar, x, h, *cell.parameters())
pairs = zip(auto, hand, strict=True)
print([torch.allclose(a, b, rtol=1e-10) for a, b in pairs])
print("the biases agree:", torch.allclose(hand[4], hand[5]))
# --8<-- [end:gru-same]

# --8<-- [start:layers]
from dlguide.layers import recurrent
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.manual_seed(0)
x = torch.randn(6, 3, 2, dtype=torch.float64)
packed = pack_padded_sequence(x, [4, 6, 1], enforce_sorted=False)
for name in ("RNN", "LSTM", "GRU"):
    theirs = getattr(nn, name)(2, 5, num_layers=2, bidirectional=True).double()
    ours = getattr(recurrent, name).load_from_torch(theirs)
    (a, _), (b, _) = ours(packed), theirs(packed)
    largest = (a.data - b.data).abs().max().item()
    print(f"{name:4} {tuple(a.data.shape)}  difference below 1e-12: {largest < 1e-12}")
# --8<-- [end:layers]

# --8<-- [start:task]
import torch.nn.functional as F


def example(count: int, steps: int) -> tuple[Tensor, Tensor]:
    """The sign of the first step is the answer; then only noise comes."""
    answer = torch.randint(0, 2, (count,)).float()
    x = torch.zeros(steps, count, 2)
    x[0, :, 0] = 2 * answer - 1
    x[1:, :, 1] = torch.randn(steps - 1, count)
    return x, answer


def accuracy(kind: type, steps: int, bias: float | None = None, seed: int = 0):
    torch.manual_seed(seed)
    size = 16
    net, out = kind(2, size), nn.Linear(size, 1)
    if bias is not None:  # keep: the forget gate f, or the update gate z
        with torch.no_grad():
            net.bias_ih_l0[size : 2 * size] = bias
            net.bias_hh_l0[size : 2 * size] = 0
    optimizer = torch.optim.Adam([*net.parameters(), *out.parameters()], lr=0.01)
    for _ in range(100):
        x, answer = example(32, steps)
        logits = out(net(x)[0][-1])[:, 0]
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, answer).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    x, answer = example(500, steps)
    with torch.no_grad():
        right = (out(net(x)[0][-1])[:, 0] > 0) == (answer > 0.5)
    return right.float().mean().item()


def said(share: float) -> str:
    return "learned" if share > 0.99 else "chance" if share < 0.6 else "partly"


for steps in (10, 40):
    print(f"{steps} steps", end="")
    for kind, bias in ((nn.RNN, None), (nn.LSTM, None), (nn.LSTM, 3), (nn.GRU, 3)):
        name = kind.__name__ + ("" if bias is None else f", bias {bias}")
        print(f"   {name}: {said(accuracy(kind, steps, bias))}", end="")
    print()
# --8<-- [end:task]

# --8<-- [start:two-biases]
lstm = nn.LSTM(3, 4)
with torch.no_grad():
    for name, bias in lstm.named_parameters():
        if name.startswith("bias"):  # there are two
            bias[4:8] = 1.0
total = lstm.bias_ih_l0[4:8] + lstm.bias_hh_l0[4:8]
print("forget bias", total.tolist())
# --8<-- [end:two-biases]

# --8<-- [start:order]
torch.manual_seed(0)
source = nn.LSTMCell(3, 2, dtype=torch.float64)
state = source.state_dict()
ifog = {}  # as another library may store it
for name, value in state.items():
    i, f, g, o = value.chunk(4)
    ifog[name] = torch.cat([i, f, o, g])
target = nn.LSTMCell(3, 2, dtype=torch.float64)
print(target.load_state_dict(ifog))
x = torch.randn(1, 3).double()
print("difference", f"{(source(x)[0] - target(x)[0]).abs().max().item():.3f}")
# --8<-- [end:order]

# --8<-- [start:last]
torch.manual_seed(0)
both = nn.LSTM(1, 2, bidirectional=True)
x = torch.randn(5, 3, 1)
output, (h_n, c_n) = both(x)
print("output", tuple(output.shape), "  h_n", tuple(h_n.shape))
print("forward half is h_n[0]: ", torch.equal(output[-1, :, :2], h_n[0]))
print("backward half is h_n[1]:", torch.equal(output[-1, :, 2:], h_n[1]))
print("it stands at step 0:    ", torch.equal(output[0, :, 2:], h_n[1]))

packed = pack_padded_sequence(x, [2, 5, 3], enforce_sorted=False)
output, (h_n, c_n) = both(packed)
padded, lengths = pad_packed_sequence(output)
print("last row of the short sequence:", padded[-1, 0].tolist())
print("h_n of the short sequence:     ", h_n[0, 0].detach().numpy().round(3))
# --8<-- [end:last]


# --8<-- [start:exercise-forget]
def set_forget_bias(lstm: nn.LSTM, value: float) -> None:
    """Make the forget gates of all layers and directions start at sigmoid(value)."""
    size = lstm.hidden_size
    with torch.no_grad():
        for name, bias in lstm.named_parameters():
            if name.startswith("bias"):
                bias[size : 2 * size] = value if name.startswith("bias_ih") else 0.0


lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
set_forget_bias(lstm, 2.0)
print(lstm.bias_ih_l1_reverse[4:8].tolist(), lstm.bias_hh_l1_reverse[4:8].tolist())
# --8<-- [end:exercise-forget]


# --8<-- [start:exercise-summary]
def summary(h_n: Tensor, layers: int) -> Tensor:
    """[N, 2 H]: what both directions of the last layer ended with."""
    layers_first = h_n.view(layers, 2, *h_n.shape[1:])
    return torch.cat([layers_first[-1, 0], layers_first[-1, 1]], dim=-1)


deep = nn.GRU(1, 2, num_layers=3, bidirectional=True)
output, h_n = deep(x)
found = summary(h_n, 3)
print(tuple(found.shape), torch.equal(found[:, :2], output[-1, :, :2]))
# --8<-- [end:exercise-summary]
