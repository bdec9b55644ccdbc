"""The program of training/precision: what floating-point numbers lose."""

# --8<-- [start:picture]
import matplotlib.pyplot as plt
import torch

FORMATS = {"float32": (8, 23), "bfloat16": (8, 7), "float16": (5, 10)}
fig, ax = plt.subplots(figsize=(7, 2), layout="constrained")
for row, (name, (exponent, fraction)) in enumerate(FORMATS.items()):
    start = 0
    for size, color in [(1, "C3"), (exponent, "C0"), (fraction, "C2")]:
        ax.broken_barh([(start, size)], (-row, 0.7), color=color, alpha=0.5)
        ax.text(start + size / 2, 0.35 - row, size, ha="center", va="center")
        start += size
    ax.text(-0.5, 0.35 - row, name, ha="right", va="center")
for at, label in [(0.5, "sign"), (5, "exponent"), (20, "fraction")]:
    ax.text(at, 0.95, label, ha="center")
ax.set(xlim=(-6, 33), ylim=(-2.1, 1.4))
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:bits]
x = torch.tensor(0.1, dtype=torch.float16)
bits = f"{x.view(torch.int16).item() & 0xFFFF:016b}"
s, e, m = bits[0], bits[1:6], bits[6:]
print(s, e, m, "->", int(s), int(e, 2), int(m, 2))
by_hand = (-1) ** int(s) * 2.0 ** (int(e, 2) - 15) * (1 + int(m, 2) / 2**10)
print(by_hand, "= PyTorch's:", by_hand == x.item())
# --8<-- [end:bits]

# --8<-- [start:limits]
print("type      eps        largest     smallest    smallest with fewer digits")
for name, (k, p) in {**FORMATS, "float64": (11, 52)}.items():
    bias = 2 ** (k - 1) - 1
    ours = 2.0**-p, 2.0**bias * (2 - 2.0**-p), 2.0 ** (1 - bias)
    info = torch.finfo(getattr(torch, name))
    assert ours == (info.eps, info.max, info.tiny)
    print(f"{name:<8}", *(f"{v:10.3g}" for v in ours), f"{2.0 ** (1 - bias - p):10.3g}")
# --8<-- [end:limits]

# --8<-- [start:spacing]
for start in (1.0, 3.0, 300.0):
    x = torch.tensor(start, dtype=torch.bfloat16)
    following = torch.nextafter(x, torch.tensor(torch.inf, dtype=torch.bfloat16))
    print(f"after {x.item()} comes {following.item()}")
eps = torch.finfo(torch.bfloat16).eps
print("eps", eps, " u", eps / 2)
for halfway in (1.00390625, 1.01171875):
    print(halfway, "->", torch.tensor(halfway, dtype=torch.bfloat16).item())
# --8<-- [end:spacing]

# --8<-- [start:spacing-picture]
x = 1.1 * torch.logspace(-9, 6, 121, dtype=torch.float64)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, style in [("float16", "-"), ("bfloat16", "--"), ("float32", ":")]:
    rounded = x.to(getattr(torch, name)).double()
    error = (rounded - x).abs() / x
    good = torch.isfinite(error)
    ax.loglog(x[good], error[good].clamp(min=1e-9), style, label=name)
ax.set(xlabel="x", ylabel="relative error of rounding", ylim=(1e-9, 3))
ax.legend()
plt.show()
# --8<-- [end:spacing-picture]

# --8<-- [start:pairwise]
def one_by_one(x):
    total = torch.zeros((), dtype=x.dtype)
    for number in x:
        total = total + number
    return total


def pairwise(x):
    """Add one half of the list to the other until one number is left."""
    while len(x) > 1:
        half = len(x) // 2
        x = x[:half] + x[half:]
    return x[0]


torch.manual_seed(0)
numbers = torch.rand(8192)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    x = numbers.to(dtype)
    exact = x.double().sum()
    sums = one_by_one(x), pairwise(x), exact.to(dtype), x.sum()
    errors = [((s.double() - exact).abs() / exact).item() for s in sums]
    first, second, third, _ = [f"{error:.0e}" for error in errors]
    good = errors[3] < torch.finfo(dtype).eps
    print(f"{str(dtype)[6:]:<9} one by one {first}  pairwise {second}", end="")
    print(f"  rounded once {third}  x.sum() below eps {good}")
# --8<-- [end:pairwise]

# --8<-- [start:stops]
for dtype in (torch.bfloat16, torch.float16):
    count = one_by_one(torch.ones(3000, dtype=dtype))
    print(f"3000 ones in {dtype}: {count.item():.0f}")
# --8<-- [end:stops]

# --8<-- [start:order]
a, b, c = torch.tensor([1e8, -1e8, 1.0])
print((a + b) + c, a + (b + c))
order = torch.randperm(8192, generator=torch.Generator().manual_seed(1))
same = one_by_one(numbers) == one_by_one(numbers[order])
print("the same in another order:", same.item())
# --8<-- [end:order]

# --8<-- [start:lost]
for dtype in (torch.float32, torch.bfloat16):
    w = torch.tensor(1.0, dtype=dtype)
    for _ in range(1000):
        w = w + 1e-3
    print(f"{dtype}: {w.item():.3f}")

master, w = torch.tensor(1.0), torch.tensor(1.0, dtype=torch.bfloat16)
for _ in range(1000):
    master = master + 1e-3  # the optimizer keeps float32
    w = master.bfloat16()  # the model computes with its copy
print(f"with a float32 master copy: {w.item():.3f}")
# --8<-- [end:lost]

# --8<-- [start:underflow]
torch.manual_seed(0)
gradients = torch.exp(torch.randn(10000) * 3 - 16)  # of many sizes, most of them small
for scale in (1.0, 2.0**10, 2.0**16):
    half = (gradients * scale).half()
    zero, over = (half == 0).float().mean().item(), torch.isinf(half).sum().item()
    print(f"scale {scale:7.0f}: {zero:5.1%} are zero, {over} too large")
# --8<-- [end:underflow]

# --8<-- [start:scaler]
class Scaler:
    """The rule of torch.amp.GradScaler, for one optimizer."""

    def __init__(self, scale=2.0**16, growth=2.0, backoff=0.5, interval=2000):
        self.scale, self.growth, self.backoff = scale, growth, backoff
        self.interval, self.good = interval, 0

    def step(self, optimizer):
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"]]
        for g in gradients:
            g.div_(self.scale)
        if all(torch.isfinite(g).all() for g in gradients):
            optimizer.step()
            self.good += 1
            if self.good == self.interval:
                self.scale, self.good = self.scale * self.growth, 0
        else:  # skip the step
            self.scale, self.good = self.scale * self.backoff, 0
# --8<-- [end:scaler]

# --8<-- [start:scaler-torch]
def leaf():
    w = torch.tensor([1.0], requires_grad=True)
    return w, torch.optim.SGD([w], lr=0.125)


(v, ours), (w, theirs) = leaf(), leaf()
mine = Scaler(scale=16.0, interval=3)
scaler = torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=3)
for slope in (1.0, 1.0, torch.inf, 1.0, 1.0, 1.0, 1.0):
    ours.zero_grad()
    (v * slope * mine.scale).sum().backward()
    mine.step(ours)

    theirs.zero_grad()
    scaler.scale((w * slope).sum()).backward()
    scaler.step(theirs)  # unscales, and steps if all is finite
    scaler.update()
    scales = f"scale {mine.scale:4} {scaler.get_scale():4}"
    print(f"slope {slope:3}  w {v.item():5} {w.item():5}  {scales}")
# --8<-- [end:scaler-torch]

# --8<-- [start:autocast]
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
x, target = torch.randn(32, 64), torch.randint(10, (32,))
with torch.autocast("cpu", dtype=torch.bfloat16):
    logits = model(x)
    loss = F.cross_entropy(logits, target)
loss.backward()
full = F.cross_entropy(model(x), target)
print("weights", model[0].weight.dtype, " their gradient", model[0].weight.grad.dtype)
print("logits ", logits.dtype, " loss", loss.dtype)
print("error below 0.01:", abs(loss.item() - full.item()) < 0.01)
# --8<-- [end:autocast]

# --8<-- [start:autocast-list]
matrix = torch.randn(8, 8)
half = matrix.bfloat16()
calls = {
    "matmul": lambda a: a @ matrix.to(a.dtype),
    "linear": lambda a: F.linear(a, matrix.to(a.dtype)),
    "relu": F.relu,
    "softmax": lambda a: a.softmax(-1),
    "layer_norm": lambda a: F.layer_norm(a, (8,)),
    "sum": torch.sum,
    "cross_entropy": lambda a: F.cross_entropy(a, torch.zeros(8, dtype=torch.long)),
    "mse_loss": lambda a: F.mse_loss(a, matrix.to(a.dtype)),
}
print(f"{'':<14} from float32  from bfloat16")
for name, call in calls.items():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [str(call(a).dtype).removeprefix("torch.") for a in (matrix, half)]
    print(f"{name:<14} {found[0]:<13} {found[1]}")
# --8<-- [end:autocast-list]

# --8<-- [start:tf32]
print("products:", torch.get_float32_matmul_precision())
print("convolutions may use TF32:", torch.backends.cudnn.allow_tf32)
# --8<-- [end:tf32]

# --8<-- [start:cancellation]
torch.manual_seed(0)
x = torch.randn(1024) + 10000
mean = pairwise(x) / 1024
one_pass = pairwise(x**2) / 1024 - mean**2
two_pass = pairwise((x - mean) ** 2) / 1024
right = x.double().var(correction=0)
print(f"mean of squares minus square of mean {one_pass.item():.0f}")
print(f"mean of squared distances            {two_pass.item():.4f}")
print(f"in float64                           {right.item():.4f}")
# --8<-- [end:cancellation]

# --8<-- [start:stable]
x = torch.tensor(1e-8)
print("log(1 + x)      ", torch.log(1 + x).item(), f"{torch.log1p(x).item():.3g}")
print("exp(x) - 1      ", (torch.exp(x) - 1).item(), f"{torch.expm1(x).item():.3g}")
z = torch.tensor([100.0, 200.0])
print("log of sum of exp", z.exp().sum().log().item(), torch.logsumexp(z, 0).item())
z = torch.tensor(-200.0)
print("log of sigmoid   ", torch.sigmoid(z).log().item(), F.logsigmoid(z).item())
# --8<-- [end:stable]

# --8<-- [start:differences]
def cube(x):
    return x * x * x  # at 1: the slope is 3, the third derivative 6


steps = torch.logspace(-14, 0, 57, dtype=torch.float64)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for dtype, style in [(torch.float32, "o--"), (torch.float64, ".-")]:
    at, h = torch.tensor(1.0, dtype=dtype), steps.to(dtype)
    slope = (cube(at + h) - cube(at - h)) / (2 * h)
    error = (slope.double() - 3).abs()
    ax.loglog(steps, error.clamp(min=1e-13), style, markersize=3, label=str(dtype)[6:])
    print(f"{dtype}: best h {(3 * torch.finfo(dtype).eps / 2 / 6) ** (1 / 3):.2g}")
ax.set(xlabel="h", ylabel="error of the slope", ylim=(1e-13, 10))
ax.legend()
plt.show()
# --8<-- [end:differences]

# --8<-- [start:gradcheck]
import warnings

for dtype in (torch.float64, torch.float32):
    point = torch.tensor([0.3, 1.0], dtype=dtype, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns: use double precision
        print(dtype, torch.autograd.gradcheck(torch.exp, point, raise_exception=False))
# --8<-- [end:gradcheck]

# --8<-- [start:equal]
a, b = torch.tensor([0.1, 0.3], dtype=torch.float64)
a = a + 0.2
print(a.item(), (a == b).item(), torch.allclose(a, b, rtol=1e-7, atol=1e-7))
torch.testing.assert_close(a, b)  # tolerances that fit the type
try:
    torch.testing.assert_close(a + 1e-6, b)
except AssertionError as error:
    print(str(error).splitlines()[-1])
# --8<-- [end:equal]

# --8<-- [start:overflow]
x = torch.tensor([255.0, 256.0], dtype=torch.float16)
print(x**2, torch.finfo(torch.float16).max)
print((x**2).mean(), (x**2 - x**2))
# --8<-- [end:overflow]

# --8<-- [start:nan]
from contextlib import suppress

model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
with torch.no_grad():
    model[2].weight[0, 0] = torch.nan


def report(name):
    def hook(module, inputs, output):
        if not torch.isfinite(output).all():
            print("first in layer", name, type(module).__name__)
            raise FloatingPointError(name)

    return hook


for name, module in model.named_modules():
    module.register_forward_hook(report(name or "the model"))
with suppress(FloatingPointError):
    model(torch.ones(3, 4))
# --8<-- [end:nan]

# --8<-- [start:anomaly]
x = torch.zeros(3, requires_grad=True)
y = torch.where(x > 0, torch.sqrt(x) / x, 0.0).sum()
y.backward()
print(y.item(), x.grad)
try:
    with warnings.catch_warnings(), torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("ignore")  # it also warns where the forward call was
        torch.where(x > 0, torch.sqrt(x) / x, 0.0).sum().backward()
except RuntimeError as error:
    print(error)
# --8<-- [end:anomaly]

# --8<-- [start:exercise-decode]
def decode(bits):
    """The number that 16 bits mean in bfloat16, given as a string of 0 and 1."""
    s, e, m = int(bits[0]), int(bits[1:9], 2), int(bits[9:], 2)
    if e == 255:
        return float("nan") if m else (-1) ** s * float("inf")
    if e == 0:
        return (-1) ** s * 2.0**-126 * (m / 2**7)
    return (-1) ** s * 2.0 ** (e - 127) * (1 + m / 2**7)


print(decode("0011111110000000"), decode("1100000001001000"), decode("0" * 15 + "1"))
# --8<-- [end:exercise-decode]


# --8<-- [start:exercise-kahan]
def kahan(x):
    """The sum of a vector in its own type, with the lost digits carried along."""
    total = lost = torch.zeros((), dtype=x.dtype)
    for number in x:
        wanted = number - lost
        after = total + wanted
        lost = (after - total) - wanted  # what the addition rounded away
        total = after
    return total


print(kahan(torch.ones(3000, dtype=torch.bfloat16)).item())
# --8<-- [end:exercise-kahan]


# --8<-- [start:exercise-welford]
def variance(x):
    """The mean squared distance from the mean, in one pass over the numbers."""
    mean = squares = torch.zeros((), dtype=x.dtype)
    for n, number in enumerate(x, 1):
        before = number - mean
        mean = mean + before / n
        squares = squares + before * (number - mean)
    return squares / len(x)


torch.manual_seed(0)
print(f"{variance(torch.randn(1000) + 10000).item():.2f}")
# --8<-- [end:exercise-welford]
