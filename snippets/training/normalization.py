"""The program of training/normalization: one formula, several groups of numbers."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

N, C, L = 3, 4, 2  # examples, channels, positions: rows, blocks, columns in a block
shared = {  # how many examples and channels share one mean
    "batch": (N, 1), "layer": (1, C), "group, 2 groups": (1, 2), "instance": (1, 1),
}  # fmt: skip
fig, axes = plt.subplots(2, 2, figsize=(7, 3.4), layout="constrained")
for ax, (name, (rows, blocks)) in zip(axes.flat, shared.items(), strict=True):
    for n in range(N):
        for column in range(C * L):
            ax.add_patch(Rectangle((column, n), 1, 1, fill=False, lw=0.3, ec="gray"))
    for n in range(0, N, rows):
        for c in range(0, C, blocks):
            size = (blocks * L, rows)
            ax.add_patch(Rectangle((c * L, n), *size, fill=False, lw=1.5, ec="gray"))
    ax.add_patch(Rectangle((0, 0), blocks * L, rows, fc="C0", ec="C0", lw=1.5))
    ax.set(title=name, xlim=(-0.1, C * L + 0.1), ylim=(N + 0.1, -0.1), aspect=1)
    ax.set_xticks([1, 3, 5, 7], ["c1", "c2", "c3", "c4"])
    ax.set_yticks([0.5, 1.5, 2.5], ["n1", "n2", "n3"])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
plt.show()
# --8<-- [end:picture]

# --8<-- [start:start]
import torch
from torch import Tensor, nn


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
# --8<-- [end:start]


# --8<-- [start:forward]
from dlguide.functional._standardize import standardize  # the function above

x = tensor([1, 3, 3, 9])  # one channel, a batch of 4
gamma, beta = tensor(3), tensor(10)
mu = x.mean()
variance = ((x - mu) ** 2).mean()
x_hat = standardize(x, (0,))
y = gamma * x_hat + beta
print("mu", mu.item(), " variance", variance.item())
print("x_hat", x_hat.numpy().round(4))
print("y    ", y.numpy().round(4))
# --8<-- [end:forward]

# --8<-- [start:forward-torch]
import torch.nn.functional as F

weight, bias = gamma.reshape(1), beta.reshape(1)
theirs = F.batch_norm(x[:, None], None, None, weight, bias, training=True)
print("torch", theirs.flatten().numpy().round(4))
print("equal", (theirs.flatten() - y).abs().max().item() < 1e-12)
# --8<-- [end:forward-torch]

# --8<-- [start:no-range]
from dlguide.layers.batch_normalization import BatchNorm1d

outlier = tensor([0] * 9 + [100])
print("largest of ten:", f"{standardize(outlier, (0,)).max():.3f}")
norm = BatchNorm1d(64)
print("parameters:", *(name for name, _ in norm.named_parameters()))
print("buffers:   ", *(name for name, _ in norm.named_buffers()))
# --8<-- [end:no-range]

# --8<-- [start:backward]
from dlguide.functional._standardize import standardize_backward

g = tensor([1, 0, 0, 0])  # dL/dy: the loss is the first output
eps, m = 1e-5, len(x)
sigma = torch.sqrt(variance + eps)
g_hat = gamma * g
direct = g_hat / sigma
through_mean = -g_hat.mean() / sigma * torch.ones(m)
through_variance = -x_hat * (g_hat * x_hat).mean() / sigma
in_one_go = standardize_backward(g_hat, x, (0,))
for name, term in (
    ("direct", direct), ("through the mean", through_mean),
    ("through the variance", through_variance),
    ("sum", direct + through_mean + through_variance), ("in one go", in_one_go),
):  # fmt: skip
    print(f"{name:21}", *(f"{number:8.4f}" for number in term))
# --8<-- [end:backward]

# --8<-- [start:backward-torch]
from dlguide.functional.batch_normalization import batch_norm_backward

leaves = [t.clone().requires_grad_() for t in (x[:, None], weight, bias)]
F.batch_norm(leaves[0], None, None, *leaves[1:], training=True)[0, 0].backward()
ours = batch_norm_backward(g[:, None], x[:, None], None, None, weight, training=True)
for name, leaf, by_hand in zip(("x", "gamma", "beta"), leaves, ours, strict=True):
    print(f"{name:5}", leaf.grad.flatten().numpy().round(4), end="  ")
    print("equal", (leaf.grad - by_hand).abs().max().item() < 1e-12)
# --8<-- [end:backward-torch]

# --8<-- [start:axes]
torch.manual_seed(0)
x4 = torch.randn(2, 6, 5, 5, dtype=torch.float64)  # [N, C, H, W]
groups = 3
cut = x4.reshape(2, groups, 6 // groups, 25)  # [N, G, C / G, H * W]
family = {
    "batch": ((0, 3), F.batch_norm(x4, None, None, training=True)),
    "layer": ((1, 2, 3), F.layer_norm(x4, x4.shape[1:])),
    "group": ((2, 3), F.group_norm(x4, groups)),
    "instance": ((3,), F.instance_norm(x4)),
}
for name, (over, theirs) in family.items():
    y4 = standardize(cut, over).reshape(x4.shape)
    means = cut.mean(over).numel()
    equal = (y4 - theirs).abs().max().item() < 1e-12
    print(f"{name:9} over {over!s:10} {means:3} means, equal to torch: {equal}")
# --8<-- [end:axes]

# --8<-- [start:tokens]
words = torch.randn(2, 7, 8)  # [examples, words, features]
features = torch.nn.LayerNorm(8)(words)  # over the features of each word
everything = torch.nn.LayerNorm((7, 8))(words)  # over the whole sentence
print(torch.allclose(features.mean(-1), torch.zeros(2, 7), atol=1e-6))
print(torch.allclose(everything.mean(-1), torch.zeros(2, 7), atol=1e-6))
# --8<-- [end:tokens]

# --8<-- [start:rms]
from dlguide.functional.scale_normalization import rms_norm

v = tensor([3, 4, 0, 0])  # mean square 25 / 4, root 5 / 2
print("ours ", rms_norm(v, [4]).numpy().round(4))
print("torch", F.rms_norm(v, [4]).numpy().round(4))
centered = v - v.mean()
same = rms_norm(centered, [4], eps=1e-5) - F.layer_norm(v, [4])
print("RMS norm of x - mean is layer norm:", same.abs().max().item() < 1e-12)
# --8<-- [end:rms]

# --8<-- [start:local]
from dlguide.functional.scale_normalization import local_response_norm

pixel = tensor([1, 2, 3]).reshape(1, 3, 1)  # three channels, one position
options = {"size": 3, "alpha": 3.0, "beta": 1.0, "k": 0.0}
ours = local_response_norm(pixel, **options)
theirs = F.local_response_norm(pixel, **options)
print("ours ", ours.flatten().numpy().round(4))
print("torch", theirs.flatten().numpy().round(4))
# --8<-- [end:local]

# --8<-- [start:family-backward]
from dlguide.functional.instance_normalization import instance_norm_backward
from dlguide.functional.normalization import group_norm_backward, layer_norm_backward
from dlguide.functional.scale_normalization import (
    local_response_norm_backward,
    rms_norm_backward,
)

g4 = torch.randn(x4.shape, dtype=torch.float64)
shape = list(x4.shape[1:])
backward = {
    "layer": (lambda x: F.layer_norm(x, shape), layer_norm_backward(g4, x4, shape)),
    "group": (lambda x: F.group_norm(x, groups), group_norm_backward(g4, x4, groups)),
    "instance": (F.instance_norm, instance_norm_backward(g4, x4)),
    "RMS": (lambda x: F.rms_norm(x, shape), rms_norm_backward(g4, x4, shape)),
    "local response": (
        lambda x: F.local_response_norm(x, 3), [local_response_norm_backward(g4, x4, 3)]
    ),
}  # fmt: skip
for name, (function, by_hand) in backward.items():
    leaf = x4.clone().requires_grad_()
    [grad] = torch.autograd.grad(function(leaf), leaf, g4)
    print(f"{name:14}", (grad - by_hand[0]).abs().max().item() < 1e-12)
# --8<-- [end:family-backward]

# --8<-- [start:running]
norm = BatchNorm1d(1, affine=False).double()
for batch in ([1, 3, 3, 9], [0, 2, 2, 8], [2, 4, 4, 10]):
    norm(tensor(batch)[:, None])
    r, v = norm.running_mean.item(), norm.running_var.item()
    print(f"batch {batch!s:13} running mean {r:.3f}  variance {v:.3f}")
norm.eval()
for batch in ([1], [1, 100]):
    answers = norm(tensor(batch)[:, None]).flatten()
    print(f"eval of {batch!s:8}", *(f"{answer:.3f}" for answer in answers))
# --8<-- [end:running]

# --8<-- [start:momentum]
torch.manual_seed(0)
for momentum in (0.1, 0.9, None):
    norm = BatchNorm1d(1, momentum=momentum)
    means = []
    for _ in range(200):
        norm(5 + 2 * torch.randn(8, 1))
        means.append(norm.running_mean.item())
    late = torch.tensor(means[100:])
    print(f"momentum {momentum!s:4} mean {late.mean():.1f}, spread {late.std():.2f}")
# --8<-- [end:momentum]

# --8<-- [start:initialization]
def network(depth, width, normalize, scale=1.0):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(width, width, bias=False)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        linear.weight.data *= scale
        layers += [linear, *([nn.BatchNorm1d(width)] if normalize else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10)).double()


def gradients(*arguments, **options):
    """The length of the gradient of each hidden weight matrix, before training."""
    torch.manual_seed(0)
    net = network(*arguments, **options)
    x, t = torch.randn(128, 64, dtype=torch.float64), torch.randint(10, (128,))
    F.cross_entropy(net(x), t).backward()
    hidden = [layer for layer in net[:-1] if isinstance(layer, nn.Linear)]
    return [layer.weight.grad.norm().item() for layer in hidden]


print("scale     plain: first, last  batch norm: first, last")
for scale in (0.5, 1.0, 2.0):
    plain, with_norm = (gradients(20, 64, norm, scale) for norm in (False, True))
    ends = [plain[0], plain[-1], with_norm[0], with_norm[-1]]
    print(f"{scale:4}  ", *(f"{end:11.1e}" for end in ends))
# --8<-- [end:initialization]

# --8<-- [start:explosion]
import math

factor = math.sqrt(math.pi / (math.pi - 1))
print(f"each layer: times {factor:.2f}, 29 layers: times {factor**29:.0e}")
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for normalize, label in ((False, "plain"), (True, "batch norm")):
    lengths = torch.tensor(gradients(30, 64, normalize))
    ax.plot(range(1, 31), lengths / lengths[-1], label=label)
    print(f"{label:10} first / last = {lengths[0] / lengths[-1]:.0e}")
predicted = [factor ** (30 - layer) for layer in range(1, 31)]
ax.plot(range(1, 31), predicted, "--", color="gray", label="predicted")
ax.set(xlabel="layer", ylabel="gradient / last layer's", yscale="log")
ax.legend()
plt.show()
# --8<-- [end:explosion]

# --8<-- [start:bias]
torch.manual_seed(0)
linear, norm = nn.Linear(5, 3).double(), nn.BatchNorm1d(3).double()
inputs = torch.randn(8, 5, dtype=torch.float64)
before = norm(linear(inputs))
(before**3).sum().backward()
print("weight gradient", f"{linear.weight.grad.abs().max():.1f}")
print("bias gradient is 0:", linear.bias.grad.abs().max().item() < 1e-12)
linear.bias.data += 100
print("output unchanged: ", (norm(linear(inputs)) - before).abs().max().item() < 1e-9)
# --8<-- [end:bias]

# --8<-- [start:one]
for kind in (nn.BatchNorm1d, BatchNorm1d):
    try:
        kind(3)(torch.ones(1, 3))
    except ValueError as error:
        print(str(error).split(":")[0])
print("layer norm:", nn.LayerNorm(3)(torch.tensor([[1.0, 2.0, 3.0]])).detach())
# --8<-- [end:one]

# --8<-- [start:forgotten]
torch.manual_seed(0)
norm = nn.BatchNorm1d(1)
for _ in range(100):
    norm(5 + 2 * torch.randn(32, 1))  # training
companions = {"small": [4.0, 5.0], "large": [20.0, 30.0]}
for mode in (False, True, False):
    norm.train(mode)
    for name, others in companions.items():
        answer = norm(torch.tensor([[6.0], *([other] for other in others)]))[0]
        print(f"training={mode!s:5} beside {name}: {answer.item():5.2f}", end="   ")
        print(f"running mean {norm.running_mean.item():.1f}")
# --8<-- [end:forgotten]

# --8<-- [start:padding]
from dlguide.layers.embedding import Embedding

torch.manual_seed(0)
table = Embedding(10, 4, padding_idx=0)
short, long = [3, 7], [3, 7, 0, 0, 0, 0]  # the same sentence, padded
by_word = nn.LayerNorm(4)
by_batch = nn.BatchNorm1d(4)
for name, over in (("layer norm", by_word), ("batch norm", by_batch)):
    first, second = (over(table(torch.tensor(ids)))[0] for ids in (short, long))
    print(f"{name}: the first word changes by {(first - second).abs().max():.2f}")
# --8<-- [end:padding]

# --8<-- [start:exercise-fold]
def fold(linear, norm):
    """One linear layer that computes norm(linear(x)) in evaluation."""
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    one = nn.Linear(linear.in_features, linear.out_features).to(linear.weight)
    one.weight.data = factor[:, None] * linear.weight.data
    one.bias.data = factor * (linear.bias - norm.running_mean) + norm.bias
    return one


torch.manual_seed(0)
linear, norm = nn.Linear(5, 3), nn.BatchNorm1d(3)
norm(linear(torch.randn(16, 5)))  # one batch of training
norm.eval()
test = torch.randn(4, 5)
difference = fold(linear, norm)(test) - norm(linear(test))
print("equal:", difference.abs().max().item() < 1e-5)
# --8<-- [end:exercise-fold]

# --8<-- [start:exercise-layer]
def layer_norm_by_batch_norm(x, eps=1e-5):
    """Layer norm of [N, D] over D, with F.batch_norm alone."""
    return F.batch_norm(x.T, None, None, training=True, eps=eps).T


rows = torch.randn(3, 6)
difference = layer_norm_by_batch_norm(rows) - F.layer_norm(rows, [6])
print("equal:", difference.abs().max().item() < 1e-5)
# --8<-- [end:exercise-layer]
