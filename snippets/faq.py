"""Ten questions of newcomers, each answered with code that runs."""

# --8<-- [start:frameworks]
import torch

W = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))


def layer(x):
    return torch.tanh(W @ x)


x = torch.ones(3)
compiled = torch.compile(layer, backend="eager")
print("eager equals compiled:", torch.allclose(layer(x), compiled(x)))
# --8<-- [end:frameworks]

# --8<-- [start:debug-shapes]
from torch import nn


def print_shape(module, inputs, output):
    name = type(module).__name__
    print(f"{name:8} {tuple(inputs[0].shape)} -> {tuple(output.shape)}")


model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10))
handles = [module.register_forward_hook(print_shape) for module in model]
try:
    model(torch.zeros(2, 1, 8, 8))
except RuntimeError as error:
    print(error)
for handle in handles:
    handle.remove()
# --8<-- [end:debug-shapes]

# --8<-- [start:debug-mended]
model[3] = nn.Linear(4 * 6 * 6, 10)
logits = model(torch.zeros(2, 1, 8, 8))
assert logits.shape == (2, 10), logits.shape
print(tuple(logits.shape))
# --8<-- [end:debug-mended]

# --8<-- [start:numpy-shared]
import numpy as np

array = np.zeros(3)
tensor = torch.from_numpy(array)
tensor[0] = 7
print(array, tensor.dtype)
# --8<-- [end:numpy-shared]

# --8<-- [start:numpy-back]
weight = torch.ones(2, requires_grad=True)
try:
    weight.numpy()
except RuntimeError as error:
    print(error)
print(weight.detach().cpu().numpy())
# --8<-- [end:numpy-back]

# --8<-- [start:optimizers]
for name in ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW"]:
    steps = []
    for gradient in (0.01, 1.0, 100.0):
        p = torch.zeros(1, requires_grad=True)
        optimizer = getattr(torch.optim, name)([p], lr=0.1)
        p.grad = torch.tensor([gradient])
        optimizer.step()
        steps.append(f"{-p.item():7.3f}")
    print(f"{name:8}", *steps)
# --8<-- [end:optimizers]

# --8<-- [start:losses]
import torch.nn.functional as F

prediction = torch.tensor([0.5, 2.0, 7.0])
target = torch.tensor([1.0, 2.0, 3.0])
for loss in (F.mse_loss, F.l1_loss, F.huber_loss):
    each = " ".join(f"{e:6.3f}" for e in loss(prediction, target, reduction="none"))
    print(f"{loss.__name__:10} {each}   mean {loss(prediction, target).item():.4f}")
# --8<-- [end:losses]

# --8<-- [start:cross-entropy]
logits = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
label = torch.tensor([0])
by_hand = -torch.log(logits.exp()[0, 0] / logits.exp().sum())
print(f"{F.cross_entropy(logits, label).item():.6f} {by_hand.item():.6f}")
print(f"softmax twice: {F.cross_entropy(logits.softmax(1), label).item():.6f}")
# --8<-- [end:cross-entropy]


# --8<-- [start:softmax]
def naive_softmax(z):
    return z.exp() / z.exp().sum()


def softmax(z):
    shifted = (z - z.max()).exp()
    return shifted / shifted.sum()


large = torch.tensor([1000.0, 999.0, 998.0])
for f in (naive_softmax, softmax, lambda z: z.softmax(dim=0)):
    print([round(value, 4) for value in f(large).tolist()])
# --8<-- [end:softmax]

# --8<-- [start:activations]
z = torch.linspace(-4, 4, 801, dtype=torch.float64)
for name, f in {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": F.gelu,
}.items():
    slope = torch.func.vmap(torch.func.grad(f))(z)
    print(f"{name:7}  slope at -4: {slope[0]:7.4f}   largest: {slope.max():.4f}")
equal = torch.allclose(z.tanh(), 2 * (2 * z).sigmoid() - 1)
print("tanh(z) = 2 sigmoid(2z) - 1:", equal)
# --8<-- [end:activations]

# --8<-- [start:learning-rate]
inputs = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
targets = 2 * inputs
for lr in (0.001, 0.01, 0.1, 0.19):
    line = nn.Linear(1, 1, dtype=torch.float64)
    nn.init.zeros_(line.weight)
    nn.init.zeros_(line.bias)
    optimizer = torch.optim.SGD(line.parameters(), lr=lr)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.mse_loss(line(inputs), targets)
        loss.backward()
        optimizer.step()
    print(f"lr {lr:5}   loss after 100 steps {loss.item():.2e}")
# --8<-- [end:learning-rate]

# --8<-- [start:loader]
from torch.utils.data import DataLoader, Dataset, random_split


class Squares(Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, i):
        return torch.tensor([float(i)]), torch.tensor([float(i * i)])


generator = torch.Generator().manual_seed(0)
train, validation, test = random_split(Squares(), [0.8, 0.1, 0.1], generator)
loader = DataLoader(train, batch_size=32, shuffle=True, generator=generator)
print(len(train), len(validation), len(test))
print([len(batch) for batch, _ in loader])
# --8<-- [end:loader]

# --8<-- [start:collate]
from torch.nn.utils.rnn import pad_sequence


def collate(examples):
    """Pad to the longest of this batch; keep the lengths."""
    ids, labels = zip(*examples, strict=True)
    lengths = torch.tensor([len(row) for row in ids])
    return pad_sequence(ids, batch_first=True), lengths, torch.tensor(labels)


texts = [(torch.tensor([5, 2, 9]), 0), (torch.tensor([7]), 1)]  # words as numbers
for part in next(iter(DataLoader(texts, batch_size=2, collate_fn=collate))):
    print(part.tolist())
# --8<-- [end:collate]

# --8<-- [start:normalize]
from sklearn.datasets import load_digits
from torchvision.models import ResNet18_Weights

pictures = torch.tensor(load_digits().images[:, None] / 16)  # (1797, 1, 8, 8), 0 to 1
seen = pictures[:1257]  # the training part alone
mean, deviation = seen.mean(), seen.std()
z = (seen - mean) / deviation
print(f"mean {mean:.4f}, deviation {deviation:.4f}")
print(f"afterwards {abs(z.mean()):.4f} and {z.std():.4f}")
halves = (seen - 0.5) / 0.5
print(f"with 0.5 and 0.5: {halves.mean():.4f} and {halves.std():.4f}")
print("ImageNet, per channel:", ResNet18_Weights.DEFAULT.transforms().mean)
# --8<-- [end:normalize]

# --8<-- [start:structure]
from dlguide.models import CNN, MLP, RNNClassifier

pictures = torch.rand(2, 1, 8, 8)
for model in (MLP(), CNN(), RNNClassifier()):
    x = pictures[:, 0] if isinstance(model, RNNClassifier) else pictures
    count = sum(p.numel() for p in model.parameters())
    name, shape = type(model).__name__, list(model(x).shape)
    print(f"{name:<14} {count:6} parameters, output {shape}")
# --8<-- [end:structure]

# --8<-- [start:metrics]
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

truth = [1] * 10 + [0] * 90
always_no = [0] * 100
print("accuracy ", accuracy_score(truth, always_no))
print("precision", precision_score(truth, always_no, zero_division=0))
print("recall   ", recall_score(truth, always_no))
print("F1       ", f1_score(truth, always_no))
# --8<-- [end:metrics]

# --8<-- [start:confusion]
target = torch.tensor([0] * 90 + [1] * 10)
guess = torch.tensor([0] * 85 + [1] * 5 + [0] * 4 + [1] * 6)
counts = torch.bincount(2 * target + guess, minlength=4).reshape(2, 2)
(tn, fp), (fn, tp) = counts.tolist()
precision, recall = tp / (tp + fp), tp / (tp + fn)
f1 = 2 * precision * recall / (precision + recall)
print(counts)
print(f"accuracy {(tp + tn) / len(target):.4f}")
print(f"precision {precision:.4f}  recall {recall:.4f}  F1 {f1:.4f}")
print("scikit-learn:", round(f1_score(target, guess), 4))
# --8<-- [end:confusion]

# --8<-- [start:overfitting]
generator = torch.Generator().manual_seed(0)


def samples(n):
    x = torch.rand(n, 1, generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    return x, torch.sin(3 * x) + 0.3 * noise


def fit(x, y, degree, decay=0.0):
    """Least squares with L2 decay on the coefficients, solved exactly."""
    X = torch.cat([x**power for power in range(degree + 1)], dim=1)
    normal = X.T @ X + decay * torch.eye(degree + 1, dtype=x.dtype)
    return torch.linalg.solve(normal, X.T @ y)


def error(w, x, y):
    X = torch.cat([x**power for power in range(len(w))], dim=1)
    return F.mse_loss(X @ w, y).item()


few, many, unseen = samples(20), samples(200), samples(1000)
for name, data, degree, decay in [
    ("line", few, 1, 0.0),
    ("degree 9", few, 9, 0.0),
    ("degree 9, decay", few, 9, 0.1),
    ("degree 9, more data", many, 9, 0.0),
]:
    w = fit(*data, degree, decay)
    print(f"{name:20} training {error(w, *data):.3f}   unseen {error(w, *unseen):.3f}")
# --8<-- [end:overfitting]

# --8<-- [start:memory]
from dlguide.memory import saved_bytes
from torch.utils.checkpoint import checkpoint

net = nn.Sequential(nn.Linear(100, 400), nn.ReLU(), nn.Linear(400, 10))
batch = torch.randn(256, 100)
print("training          ", saved_bytes(net, batch))
print("half the batch    ", saved_bytes(net, torch.randn(128, 100)))


def once_more(x):
    return checkpoint(net, x, use_reentrant=False)


print("checkpointed      ", saved_bytes(once_more, batch))
with torch.no_grad():
    print("without gradients ", saved_bytes(net, batch))
# --8<-- [end:memory]

# --8<-- [start:smaller]
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode


def to_int8(w):
    """Whole numbers up to 127 and one factor for each row."""
    scale = w.abs().amax(dim=1, keepdim=True) / 127
    return (w / scale).round().to(torch.int8), scale


def megabytes(*tensors):
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


torch.manual_seed(0)
big, inputs = nn.Linear(1024, 1024).requires_grad_(False), torch.randn(8, 1024)
whole, scale = to_int8(big.weight)
rounded = F.linear(inputs, whole * scale, big.bias)
off = (rounded - big(inputs)).norm() / big(inputs).norm()
print(f"float32 {megabytes(big.weight, big.bias):.2f} MB")
print(f"int8    {megabytes(whole, scale, big.bias):.2f} MB, error {off:.1%}")

exported = torch.export.export(big, (inputs,)).module()
print("exported, same numbers:", torch.allclose(exported(inputs), big(inputs)))

pruned = nn.Linear(100, 100)
print("numbers stored", sum(t.numel() for t in pruned.state_dict().values()))
prune.l1_unstructured(pruned, "weight", amount=0.9)
print("pruned by 90 %", sum(t.numel() for t in pruned.state_dict().values()))
with FlopCounterMode(display=False) as work:
    pruned(torch.ones(1, 100))
print("multiplications and additions", work.get_total_flops())
# --8<-- [end:smaller]

# --8<-- [start:faster]
with torch.autocast("cpu", torch.bfloat16):
    print("under autocast:", net(batch).dtype)

labels = torch.arange(256) % 10


def gradients(x, y):
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])


halves = [gradients(batch[rows], labels[rows]) for rows in torch.arange(256).chunk(2)]
mean = (halves[0] + halves[1]) / 2  # what two processes of DDP exchange
print("same step:", torch.allclose(mean, gradients(batch, labels), atol=1e-6))


def flops(x):
    with FlopCounterMode(display=False) as work:
        gradients(x, labels)
    return work.get_total_flops()


print("augmented, same work:", flops(batch.flip(1)) == flops(batch))
# --8<-- [end:faster]
