"""Shape, memory, broadcasting, NumPy: the program of the page concepts/tensors."""

# --8<-- [start:first]
import torch

x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(x)
print("shape", tuple(x.shape), " dtype", x.dtype, " device", x.device)
print("dimensions", x.ndim, " numbers", x.numel(), " one of them", x[1, 2].item())
# --8<-- [end:first]

# --8<-- [start:create]
torch.manual_seed(0)
made = {
    "zeros(2, 3)": torch.zeros(2, 3),
    "full((2,), 7.0)": torch.full((2,), 7.0),
    "arange(0, 10, 3)": torch.arange(0, 10, 3),
    "linspace(0, 1, 5)": torch.linspace(0, 1, 5),
    "eye(2)": torch.eye(2),
    "zeros_like(x)": torch.zeros_like(x),
    "randn(2, 3)": torch.randn(2, 3),
    "randint(0, 10, (4,))": torch.randint(0, 10, (4,)),
}
for text, t in made.items():
    print(f"torch.{text:21} {tuple(t.shape)!s:8} {t.dtype}")
# --8<-- [end:create]

# --8<-- [start:dtypes]
import numpy as np

for value in (True, 1, 1.0, 1j, np.float64(1.0), np.zeros(2)):
    print(f"{type(value).__name__:10} -> {torch.tensor(value).dtype}")
# --8<-- [end:dtypes]

# --8<-- [start:promotion]
whole = torch.tensor([1, 2, 3])  # int64
single = torch.tensor([1.0, 2.0, 3.0])  # float32
double = single.double()  # float64
print("int64 / int64       ", (whole / whole).dtype)
print("int64 * 2           ", (whole * 2).dtype)
print("int64 * 2.5         ", (whole * 2.5).dtype)
print("int64 + float32     ", (whole + single).dtype)
print("float32 + float64   ", (single + double).dtype)
print("uint8 + int8        ", (whole.byte() + whole.to(torch.int8)).dtype)
print("float32 + 0-d double", (single + double[0]).dtype)
try:
    single[None] @ double[:, None]
except RuntimeError as error:
    print("float32 @ float64   ", str(error).split(",")[0])
# --8<-- [end:promotion]

# --8<-- [start:device]
device = "cuda" if torch.cuda.is_available() else "cpu"
moved = x.to(device)
print("on the chosen device:", moved.device.type == device)
print("already there: the same tensor:", x.to("cpu") is x)
shape_only = torch.empty(1000, 1000, 1000, device="meta")  # a device without memory
print((shape_only @ shape_only).shape)
# --8<-- [end:device]

# --8<-- [start:shapes]
a = torch.arange(12)
print("reshape(3, 4)    ", tuple(a.reshape(3, 4).shape))
print("reshape(2, -1)   ", tuple(a.reshape(2, -1).shape), "-1: what is left")
print("a[None]          ", tuple(a[None].shape), "as unsqueeze(0)")
print("a[:, None]       ", tuple(a[:, None].shape), "as unsqueeze(1)")
images = torch.zeros(8, 1, 28, 28)
print("flatten(1)       ", tuple(images.flatten(1).shape))
print("squeeze(1)       ", tuple(images.squeeze(1).shape))
print("permute(0,2,3,1) ", tuple(images.permute(0, 2, 3, 1).shape))
print("cat              ", tuple(torch.cat([x, x]).shape), "along a dimension")
print("stack            ", tuple(torch.stack([x, x]).shape), "along a new one")
# --8<-- [end:shapes]

# --8<-- [start:strides]
m = torch.arange(12).reshape(3, 4)
views = {"m": m, "m.T": m.T, "m[:, 1::2]": m[:, 1::2], "m[1]": m[1]}
for name, v in views.items():
    start, steps = v.storage_offset(), v.stride()
    same = v.untyped_storage().data_ptr() == m.untyped_storage().data_ptr()
    shape = tuple(v.shape)
    print(f"{name:11} {shape!s:7} offset {start} strides {steps} shared {same}")
# --8<-- [end:strides]

# --8<-- [start:picture]
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle


def grid(ax, numbers, left, top, marked=()):
    """Draw a table of numbers, its upper left corner at (left, top)."""
    for i, row in enumerate(numbers):
        for j, number in enumerate(row):
            corner = (left + j, top - i - 1)
            if number in marked:
                ax.add_patch(Rectangle(corner, 1, 1, facecolor="C1", alpha=0.35))
            ax.add_patch(Rectangle(corner, 1, 1, fill=False))
            ax.text(left + j + 0.5, top - i - 0.5, number, ha="center", va="center")


fig, ax = plt.subplots(figsize=(7, 3.9))
picked = m[:, 1::2].flatten().tolist()
grid(ax, [range(12)], 0, 6.2, picked)
ax.text(0, 6.4, "memory")
for name, left in (("m", 0), ("m.T", 5.5), ("m[:, 1::2]", 10)):
    grid(ax, views[name].tolist(), left, 4, picked)
    ax.text(left, 4.2, f"{name}  {views[name].stride()}")
ax.set_xlim(-0.2, 13.2)
ax.set_ylim(-0.2, 7.1)
ax.set_aspect("equal")
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:view]
t = m.T
print("m.T contiguous:", t.is_contiguous())
try:
    t.view(12)
except RuntimeError as error:
    print("view:", str(error).split(" (")[0])
flat = t.reshape(12)  # had to copy
print("reshape:", flat.tolist())
print(
    "shares memory:",
    flat.untyped_storage().data_ptr() == m.untyped_storage().data_ptr(),
)
print("after contiguous():", t.contiguous().stride(), "in place of", t.stride())
# --8<-- [end:view]

# --8<-- [start:broadcast]
for left, right in (((3, 1), (4,)), ((2, 3), (3,)), ((5, 1, 4), (3, 1)), ((2, 3), ())):
    result = torch.ones(left) + torch.ones(right)
    print(f"{left!s:10} and {right!s:7} -> {tuple(result.shape)}")
try:
    torch.ones(2, 3) + torch.ones(2)
except RuntimeError as error:
    print("(2, 3) and (2,):", error)
# --8<-- [end:broadcast]

# --8<-- [start:broadcast-picture]
column, row = torch.tensor([[10], [20], [30]]), torch.tensor([0, 1, 2, 3])
total = column + row
fig, ax = plt.subplots(figsize=(7, 2.2))
grid(ax, column.expand(3, 4).tolist(), 0, 3)
grid(ax, row.expand(3, 4).tolist(), 5, 3)
grid(ax, total.tolist(), 10, 3)
for left, width in ((1, 3), (5, 4)):  # what is only repeated, not stored
    height = 3 if left == 1 else 2
    repeated = Rectangle((left, 0), width, height, hatch="//", alpha=0.25, fill=False)
    ax.add_patch(repeated)
labels = ["(3, 1)", "(4,)", "(3, 4)"]
for left, label in zip((0, 5, 10), labels, strict=True):
    ax.text(left + 2, 3.3, label, ha="center")
ax.text(4.5, 1.5, "+", ha="center", va="center")
ax.text(9.5, 1.5, "=", ha="center", va="center")
ax.set_xlim(-0.2, 14.2)
ax.set_ylim(-0.2, 4)
ax.set_aspect("equal")
ax.axis("off")
plt.show()
# --8<-- [end:broadcast-picture]

# --8<-- [start:expand]
wide = column.expand(3, 4)
print("strides of the repeated column:", wide.stride())
try:
    wide += 1
except RuntimeError as error:
    print(str(error).split(". ")[0])
# --8<-- [end:expand]

# --8<-- [start:index]
x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print("x[0]          ", x[0].tolist())
print("x[:, 1]       ", x[:, 1].tolist())
print("x[:, 1:2]     ", x[:, 1:2].tolist(), "keeps the dimension")
print("x[..., -1]    ", x[..., -1].tolist())
print("x[[1, 0, 1]]  ", x[[1, 0, 1]].tolist())
print("x[x > 2.5]    ", x[x > 2.5].tolist())
print("where         ", torch.where(x > 2.5, x, 0.0).tolist())
# --8<-- [end:index]

# --8<-- [start:gather]
scores = torch.tensor([[0.125, 0.75, 0.125], [0.5, 0.25, 0.25]])  # 2 samples, 3 classes
classes = torch.tensor([1, 0])
print(scores.gather(1, classes[:, None]).tolist(), "gather")
print(scores[torch.arange(2), classes].tolist(), "a row and a column number each")
print(tuple(scores[:, classes].shape), "not this: every row with every class")
# --8<-- [end:gather]

# --8<-- [start:copies]
x = torch.zeros(2, 3)
part = x[0]  # a view
part += 1
chosen = x[[0]]  # a copy
chosen += 10
print("through x[0]:    ", x[0].tolist())
x[[1]] = 5.0  # assignment writes into x, whatever the index
print("by assignment:   ", x[1].tolist())
part = part + 100  # a new tensor; x is left alone
print("by part = part +:", x[0].tolist())
# --8<-- [end:copies]

# --8<-- [start:reduce]
x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print("sum()              ", x.sum().item())
print("sum(dim=0)         ", x.sum(dim=0).tolist(), "over the rows")
print("sum(dim=1)         ", x.sum(dim=1).tolist(), "over the columns")
print("keepdim            ", x.sum(dim=1, keepdim=True).tolist())
print("max(dim=1)         ", *(part.tolist() for part in x.max(dim=1)))
shares = x / x.sum(dim=1, keepdim=True)
print("rows that sum to 1:", shares.sum(dim=1).tolist())
# --8<-- [end:reduce]

# --8<-- [start:arithmetic]
p = np.array([[7.0, -2.0], [0.5, 3.0]])
q = np.array([[2.0, 4.0], [-1.5, 8.0]])
u, v = torch.tensor(p), torch.tensor(q)
pairs = {
    "+": (u + v, p + q),
    "-": (u - v, p - q),
    "*": (u * v, p * q),
    "/": (u / v, p / q),
    "//": (u // v, p // q),
    "%": (u % v, p % q),
    "**": (u**2, p**2),
    "@": (u @ v, p @ q),
    "sum": (u.sum(0), p.sum(0)),
    "prod": (u.prod(), p.prod()),
    "mean": (u.mean(1), p.mean(1)),
    "max": (u.amax(1), p.max(1)),
    "sqrt": (v.abs().sqrt(), np.sqrt(abs(q))),
}
print("equal to NumPy:", [name for name, (t, n) in pairs.items() if np.allclose(t, n)])
# --8<-- [end:arithmetic]

# --8<-- [start:differences]
numbers = [1.0, 2.0, 3.0, 4.0]
t, n = torch.tensor(numbers), np.array(numbers)
print(f"std      torch {t.std():.4f}   NumPy {n.std():.4f}")
print(f"std      torch {t.std(correction=0):.4f}   NumPy {n.std(ddof=1):.4f}")
print(f"median   torch {t.median():.1f}      NumPy {np.median(n):.1f}")
print(f"dtype    torch {t.dtype}  NumPy {n.dtype}")
# --8<-- [end:differences]

# --8<-- [start:sharing]
array = np.zeros(3)
shared, copied = torch.from_numpy(array), torch.tensor(array)
array[0] = 7
print("from_numpy:", shared.tolist(), " tensor:", copied.tolist())
shared[1] = 5
print("array:     ", array.tolist())
back = shared.numpy()
back[2] = 3
print("after .numpy():", shared.tolist())
# --8<-- [end:sharing]

# --8<-- [start:detach]
w = torch.tensor([1.0, 2.0], requires_grad=True)
try:
    w.numpy()
except RuntimeError as error:
    print(error)
safe = w.detach().cpu().numpy().copy()
safe[0] = 99
print("w is untouched:", w.tolist())
# --8<-- [end:detach]

# --8<-- [start:pairs]
from torch import nn

torch.manual_seed(0)
inputs = torch.linspace(-1, 1, 20)[:, None]  # (20, 1)
targets = 3 * inputs[:, 0] + 2  # (20,)


def fit(loss_of):
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(200):
        loss = loss_of(model(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return f"slope {model.weight.item():z.2f}, bias {model.bias.item():.2f}"


print("shapes:", tuple(nn.Linear(1, 1)(inputs).shape), "and", tuple(targets.shape))
print("as they are:  ", fit(lambda y: ((y - targets) ** 2).mean()))
print("with y[:, 0]: ", fit(lambda y: ((y[:, 0] - targets) ** 2).mean()))
# --8<-- [end:pairs]

# --8<-- [start:square]
rows = torch.tensor([[1.0, 3.0], [1.0, 1.0]])
print("keepdim=True: ", (rows / rows.sum(dim=1, keepdim=True)).tolist())
print("without:      ", (rows / rows.sum(dim=1)).tolist())
# --8<-- [end:square]

# --8<-- [start:regroup]
batch = torch.arange(9 * 16).reshape(9, 4, 4)  # 9 pictures of 16 numbers
print("view(-1, 8):", tuple(batch.view(-1, 8).shape), "18 rows for 9 pictures")
print("flatten(1): ", tuple(batch.flatten(1).shape))
wide = torch.arange(6).reshape(2, 3)
print("reshape(3, 2):", wide.reshape(3, 2).tolist(), " T:", wide.T.tolist())
# --8<-- [end:regroup]

# --8<-- [start:integers]
i = torch.tensor([7, -7])
print("i / 2       ", (i / 2).tolist())
print("i // 2      ", (i // 2).tolist(), "  i % 2  ", (i % 2).tolist())
print("toward zero ", torch.div(i, 2, rounding_mode="trunc").tolist())
print("uint8 200 + 100:", (torch.tensor(200, dtype=torch.uint8) + 100).item())
for attempt in (lambda: i.float().mean(), lambda: i.mean()):
    try:
        print("mean:", attempt().item())
    except RuntimeError as error:
        print("mean:", str(error).split(". ")[0])
try:
    i += 0.5
except RuntimeError as error:
    print("i += 0.5:", error)
try:
    torch.tensor([1, 2], requires_grad=True)
except RuntimeError as error:
    print("requires_grad:", error)
# --8<-- [end:integers]

# --8<-- [start:floats]
f = torch.tensor([0.1, 0.2], dtype=torch.float64)
print("0.1 + 0.2 == 0.3:", (f.sum() == 0.3).item(), f" difference {f.sum() - 0.3:.0e}")
print("isclose:         ", torch.isclose(f.sum(), torch.tensor(0.3).double()).item())
big = torch.tensor(2.0**24)  # float32
print("2**24 + 1 in float32:", int(big + 1) - 2**24, "more than 2**24")
nan = torch.tensor(float("nan"))
print("nan == nan:", (nan == nan).item(), "  allclose:", torch.allclose(nan, nan))
# --8<-- [end:floats]


# --8<-- [start:exercise-distances]
def distances(a, b):
    difference = a[:, None, :] - b[None, :, :]  # (n, 1, d) - (1, m, d) -> (n, m, d)
    return (difference**2).sum(dim=2).sqrt()


print(distances(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 4.0]])))
# --8<-- [end:exercise-distances]


# --8<-- [start:exercise-windows]
def windows(x, size):
    step = x.stride(0)
    shape = (len(x) - size + 1, size)
    return x.as_strided(shape, (step, step), x.storage_offset())


print(windows(torch.arange(5), 3).tolist())
# --8<-- [end:exercise-windows]


# --8<-- [start:exercise-one-hot]
def one_hot(classes, count):
    return (classes[:, None] == torch.arange(count)).to(torch.int64)


print(one_hot(torch.tensor([1, 0, 2]), 3).tolist())
# --8<-- [end:exercise-one-hot]
