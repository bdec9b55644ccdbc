"""The program of mathematics/attention: a soft lookup, its gradients, heads, places."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 2.5), layout="constrained")
weights = [0.4, 0.2, 0.4]
frame = {"boxstyle": "round,pad=0.5", "facecolor": "none"}
ax.text(0, 1, "query", ha="center", va="center", bbox=frame)
for i, share in enumerate(weights):
    ax.text(3, 2 - i, f"key {i + 1}", ha="center", va="center", bbox=frame)
    ax.text(5.5, 2 - i, f"value {i + 1}", ha="center", va="center", bbox=frame)
    ax.plot([0.6, 2.4], [1, 2 - i], lw=1, color="gray")
    ax.plot([6.3, 8.2], [2 - i, 1], lw=10 * share, color="C0", alpha=0.6)
    ax.text(6.9, 1.12 + 0.68 * (1 - i), f"{share}", ha="left", va="bottom")
    ax.text(4.2, 2 - i, "→", ha="center", va="center")
ax.text(9, 1, "output", ha="center", va="center", bbox=frame)
ax.text(1.4, -0.45, "how well do they match?", ha="center")
ax.text(7.2, -0.45, "average with these weights", ha="center")
ax.set(xlim=(-0.8, 9.8), ylim=(-0.6, 2.5))
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:start]
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def matrix(rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)
# --8<-- [end:start]


# --8<-- [start:worked]
from dlguide.functional.attention import _weights  # the function above

torch.set_printoptions(precision=4, sci_mode=False)
Q = K = matrix([[1, 0], [0, 1], [1, 1]])
V = matrix([[1, 0], [0, 2], [3, 3]])
scale = 2**-0.5  # E = 2 numbers in each key
scores = Q @ K.mT * scale
print("scores\n", scores)
print("powers of e, and their sum", scores[0].exp(), scores[0].exp().sum())
A = _weights(Q, K, None, scale)
print("weights\n", A)
print("output\n", A @ V)
# --8<-- [end:worked]

# --8<-- [start:worked-torch]
from dlguide.functional.attention import scaled_dot_product_attention

theirs = F.scaled_dot_product_attention(Q, K, V)
ours = scaled_dot_product_attention(Q, K, V)
print("equal", (theirs - ours).abs().max().item() < 1e-12)
# --8<-- [end:worked-torch]

# --8<-- [start:root]
torch.manual_seed(0)
print("   E  variance of q·k   largest weight: plain  divided")
for E in (4, 64, 1024):
    q, k = torch.randn(2, 2000, 8, E, dtype=torch.float64)
    scores = (q[:, :1] * k).sum(-1)  # one query, eight keys, 2000 times
    plain = scores.softmax(-1).amax(-1).mean().item()
    divided = (scores / E**0.5).softmax(-1).amax(-1).mean().item()
    print(f"{E:4}  {scores.var().item():14.0f}   {plain:21.2f}  {divided:7.2f}")
# --8<-- [end:root]

# --8<-- [start:masks]
may_look = torch.ones(3, 3, dtype=torch.bool).tril()  # query i: keys 1 to i
M = torch.zeros(3, 3, dtype=torch.float64).masked_fill(~may_look, -torch.inf)
print(M)
print(_weights(Q, K, M, scale))
M[0] = -torch.inf  # the first query sees nothing at all
print(_weights(Q, K, M, scale)[0], (Q @ K.mT * scale + M).softmax(-1)[0])
# --8<-- [end:masks]

# --8<-- [start:backward]
from dlguide.functional.attention import _attend_backward

G = matrix([[1, 0], [0, 1], [1, -1]])  # dL/dY
dA = G @ V.mT
print("dA\n", dA)
print("row sums", (A * dA).sum(-1))
dZ = A * (dA - (A * dA).sum(-1, keepdim=True))
print("dZ, each row sums to 0\n", dZ)
dQ, dK, dV = _attend_backward(G, A, Q, K, V, scale)
print("dQ\n", dQ)
# --8<-- [end:backward]

# --8<-- [start:backward-torch]
leaves = [x.clone().requires_grad_() for x in (Q, K, V)]
F.scaled_dot_product_attention(*leaves).backward(G)
for name, leaf, found in zip("QKV", leaves, (dQ, dK, dV), strict=True):
    print(f"d{name}", (leaf.grad - found).abs().max().item() < 1e-12)
# --8<-- [end:backward-torch]

# --8<-- [start:heads]
from dlguide.functional.attention import join_heads, split_heads
from dlguide.layers.attention import MultiheadAttention
from torch import nn

theirs = nn.MultiheadAttention(64, 4, batch_first=True)
layer = MultiheadAttention.load_from_torch(theirs)
for name, p in layer.named_parameters():
    print(f"{name:<16} {list(p.shape)}")
print(sum(p.numel() for p in layer.parameters()), 4 * 64 * 64 + 4 * 64)

x = torch.randn(2, 10, 64)
heads = split_heads(x, 4)
print(list(x.shape), "->", list(heads.shape), "->", list(join_heads(heads).shape))
print("equal", torch.allclose(layer(x, x, x)[0], theirs(x, x, x)[0], atol=1e-6))
# --8<-- [end:heads]

# --8<-- [start:cost]
from torch.utils.flop_counter import FlopCounterMode

for L in (256, 1024, 4096):
    x = torch.randn(1, 1, L, 64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        F.scaled_dot_product_attention(x, x, x)
    ours = 4 * L**2 * 64
    flops, bytes_of_a = counter.get_total_flops(), 4 * L**2
    print(f"{L:4} words: {flops:>13,} {ours:>13,}  A: {bytes_of_a:>10,} bytes")
# --8<-- [end:cost]

# --8<-- [start:order]
x = torch.randn(1, 5, 64)
order = torch.tensor([3, 0, 4, 1, 2])
with torch.no_grad():
    moved = layer(x[:, order], x[:, order], x[:, order])[0]
    same = layer(x, x, x)[0][:, order]
print("words moved, outputs moved with them:", torch.allclose(moved, same, atol=1e-6))
# --8<-- [end:order]

# --8<-- [start:sinusoid-picture]
from dlguide.functional.positions import rotary_encoding, sinusoidal_encoding

places = sinusoidal_encoding(32, 16)
fig, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
ax.imshow(places.T.numpy(), aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
ax.set(xlabel="place t", ylabel="entry")
plt.show()
# --8<-- [end:sinusoid-picture]

# --8<-- [start:distance]
p = sinusoidal_encoding(100, 16, dtype=torch.float64)
print("sines:   ", [round((p[t] @ p[t + 3]).item(), 4) for t in (0, 20, 90)])
q, k = torch.randn(2, 1, 16, dtype=torch.float64)
products = []
for t in (0, 20, 90):  # the key always three places before the query
    turned = rotary_encoding(q, offset=t + 3), rotary_encoding(k, offset=t)
    products.append(round((turned[0] * turned[1]).sum().item(), 4))
print("rotation:", products)
print("length kept:", torch.allclose(turned[0].norm(), q.norm()))
# --8<-- [end:distance]

# --8<-- [start:reverse]
class Reverse(nn.Module):
    """One head that learns where to look: the output is the input backwards."""

    def __init__(self, length=8, letters=10, width=32):
        super().__init__()
        self.embedding = nn.Embedding(letters, width)
        self.register_buffer("places", sinusoidal_encoding(length, width))
        self.attention = MultiheadAttention(width, 1, batch_first=True)
        self.output = nn.Linear(width, letters)

    def forward(self, letters):  # (N, L)
        x = self.embedding(letters) + self.places  # (N, L, width)
        y, weights = self.attention(x, x, x)
        return self.output(y), weights


torch.manual_seed(0)
model = Reverse()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for step in range(201):
    letters = torch.randint(0, 10, (64, 8))
    logits, _ = model(letters)
    loss = F.cross_entropy(logits.flatten(0, 1), letters.flip(1).flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 200 == 0:
        print(f"step {step:3}  loss {loss.item():.1f}")

letters = torch.randint(0, 10, (500, 8))
with torch.no_grad():
    logits, weights = model(letters)
accuracy = (logits.argmax(-1) == letters.flip(1)).float().mean().item()
print("more than 95 of 100 letters right:", accuracy > 0.95)
# --8<-- [end:reverse]

# --8<-- [start:reverse-map]
fig, ax = plt.subplots(figsize=(3.4, 3), layout="constrained")
drawn = ax.imshow(weights.mean(0).numpy(), cmap="Blues", vmin=0, vmax=1)
ax.set(xlabel="key", ylabel="query", xticks=range(8), yticks=range(8))
ax.set_xticklabels(range(1, 9))
ax.set_yticklabels(range(1, 9))
fig.colorbar(drawn)
plt.show()
# --8<-- [end:reverse-map]

# --8<-- [start:leak]
torch.manual_seed(1)
x = torch.randn(1, 4, 8)
changed = x.clone()
changed[0, 3] += 1  # only the last word
for causal in (False, True):
    before, after = (
        F.scaled_dot_product_attention(x, x, x, is_causal=causal) for x in (x, changed)
    )
    print("causal" if causal else "plain ", (before != after).any(-1)[0].tolist())
# --8<-- [end:leak]

# --8<-- [start:inverted]
may_look = torch.ones(4, 4, dtype=torch.bool).tril()
attention = nn.MultiheadAttention(8, 2, batch_first=True)
with torch.no_grad():
    _, weights = attention(x, x, x, attn_mask=may_look)
print(weights[0])
with torch.no_grad():
    _, weights = attention(x, x, x, attn_mask=~may_look)
print(weights[0])
# --8<-- [end:inverted]

# --8<-- [start:exercise-window]
def window(length, back):
    """True where a query may look: at its own place and `back` places before it."""
    i = torch.arange(length)
    distance = i[:, None] - i[None, :]  # query minus key
    return (distance >= 0) & (distance <= back)


print(window(5, 2).int())
# --8<-- [end:exercise-window]


# --8<-- [start:exercise-grouped]
def cache_numbers(layers, heads, key_heads, width, length):
    """How many numbers the cache of keys and values holds."""
    return 2 * layers * length * key_heads * (width // heads)


print(cache_numbers(32, 32, 32, 4096, 4096))
print(cache_numbers(32, 32, 8, 4096, 4096))
# --8<-- [end:exercise-grouped]


# --8<-- [start:exercise-linear]
def linear_attention(q, k, v):
    """Causal attention without softmax, one place after the other."""
    state = torch.zeros(q.shape[-1], v.shape[-1], dtype=q.dtype)
    outputs = []
    for t in range(len(q)):
        state = state + k[t, :, None] * v[t, None, :]
        outputs.append(q[t] @ state)
    return torch.stack(outputs)


print(linear_attention(Q, K, V))
print((Q @ K.mT).tril() @ V)
# --8<-- [end:exercise-linear]
