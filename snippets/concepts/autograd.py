"""Gradients by autograd: the program of the page concepts/autograd."""

# --8<-- [start:first]
import torch

x = torch.tensor([1.0])
w = torch.tensor([1.0], requires_grad=True)
b = torch.tensor([0.0], requires_grad=True)
y = w * x + b
print("y:", y.detach())
y.backward()
print("dy/dw:", w.grad, " dy/db:", b.grad, " dy/dx:", x.grad)
# --8<-- [end:first]

# --8<-- [start:numbers]
from pathlib import Path

print(w * 2 + 1)
print("core is a compiled library:", Path(torch._C.__file__).suffix in {".so", ".pyd"})
# --8<-- [end:numbers]

# --8<-- [start:chain]
x = torch.tensor(2.0, requires_grad=True)
a = 3 * x
b = a + 1
y = b**2
for between in (a, b, y):
    between.retain_grad()
y.backward()
for name, node in [("x", x), ("a", a), ("b", b), ("y", y)]:
    print(f"{name} = {node.item():2.0f}   dy/d{name} = {node.grad.item():2.0f}")
# --8<-- [end:chain]

# --8<-- [start:picture]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 3.0), layout="constrained")
labels = ["x", "a = 3x", "b = a + 1", "y = b²"]
for i, (label, node) in enumerate(zip(labels, (x, a, b, y), strict=True)):
    ax.text(3 * i, 0.16, label, ha="center", va="center")
    ax.text(3 * i, -0.16, f"{node.item():.0f}", ha="center", va="center")
    ax.text(3 * i, -0.75, f"{node.grad.item():.0f}", ha="center", va="center")
forward = {"arrowstyle": "->", "linewidth": 1.5}
back = {"arrowstyle": "->", "linewidth": 1.5, "linestyle": "--"}
for i, local in enumerate(["times 3", "times 1", "times 2b = 14"]):
    ax.annotate("", (3 * i + 2.1, 0), (3 * i + 0.9, 0), arrowprops=forward)
    ax.annotate("", (3 * i + 0.9, -0.75), (3 * i + 2.1, -0.75), arrowprops=back)
    ax.text(3 * i + 1.5, -0.66, local, ha="center", va="bottom")
ax.text(4.5, 0.42, "forward: values", ha="center")
ax.text(4.5, -1.05, "backward: gradients of y", ha="center")
ax.set_xlim(-1, 10)
ax.set_ylim(-1.2, 0.6)
ax.axis("off")
plt.show()
# --8<-- [end:picture]

# --8<-- [start:accumulate]
w = torch.tensor(1.0, requires_grad=True)
for _ in range(3):
    (2 * w).backward()
    print(w.grad)
# --8<-- [end:accumulate]

# --8<-- [start:zero]
optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.5)
optimizer.zero_grad()
print("after zero_grad():", w.grad)
optimizer.step()
print("a step without a gradient:", w.item())

(2 * w).backward()
optimizer.zero_grad(set_to_none=False)
print("after zero_grad(set_to_none=False):", w.grad)
optimizer.step()
print(f"a step with gradient zero: {w.item():.3f}")
# --8<-- [end:zero]

# --8<-- [start:five]
from torch import nn

torch.manual_seed(0)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs, targets = torch.randn(8, 3), torch.randn(8, 1)

prediction = model(inputs)
loss = nn.functional.mse_loss(prediction, targets)
optimizer.zero_grad()
before = model.weight.detach().clone()
loss.backward()
print("changed by backward:", not torch.equal(before, model.weight))
optimizer.step()
print("changed by step:    ", not torch.equal(before, model.weight))
# --8<-- [end:five]

# --8<-- [start:vector]
def f(x: torch.Tensor) -> torch.Tensor:
    """Two outputs of three inputs."""
    return torch.stack([x[0] * x[1], x[1] * x[2] ** 2])


x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
v = torch.tensor([1.0, 10.0], dtype=torch.float64)
f(x).backward(gradient=v)
print(x.grad)

x.grad = None
(v * f(x)).sum().backward()
print(x.grad)
# --8<-- [end:vector]

# --8<-- [start:grad]
x = torch.tensor(2.0, requires_grad=True)
y = x**3
(first,) = torch.autograd.grad(y, x, create_graph=True)
(second,) = torch.autograd.grad(first, x, create_graph=True)
(third,) = torch.autograd.grad(second, x)
print(first.item(), second.item(), third.item(), x.grad)
# --8<-- [end:grad]

# --8<-- [start:products]
import warnings

# Forward mode makes PyTorch warn about an old tool inside PyTorch itself.
warnings.filterwarnings("ignore", r".*torch\.jit\.script", FutureWarning)

x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
u = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
jacobian = torch.func.jacrev(f)(x)
print(jacobian)

output, pull_back = torch.func.vjp(f, x)
print("vjp:", pull_back(v)[0].tolist(), "=", (v @ jacobian).tolist())
output, pushed = torch.func.jvp(f, (x,), (u,))
print("jvp:", pushed.tolist(), "=", (jacobian @ u).tolist())
# --8<-- [end:products]

# --8<-- [start:hessian]
def g(x: torch.Tensor) -> torch.Tensor:
    """One output of three inputs."""
    return x[0] * x[1] + x[1] * x[2] ** 2


print(torch.func.hessian(g)(x))
print(torch.equal(torch.func.hessian(g)(x), torch.autograd.functional.hessian(g, x)))
print(torch.equal(jacobian, torch.autograd.functional.jacobian(f, x)))
# --8<-- [end:hessian]

# --8<-- [start:detach]
x = torch.tensor(3.0, requires_grad=True)
(x * x).backward()
print("x * x:         ", x.grad)

x.grad = None
(x * x.detach()).backward()
print("x * x.detach():", x.grad)

with torch.no_grad():
    print("no_grad:       ", (x * x).requires_grad)
# --8<-- [end:detach]

# --8<-- [start:function]
from torch.autograd import Function


class Swish(Function):
    """x times sigmoid(x), with its derivative written by hand."""

    @staticmethod
    def forward(x):
        return x * torch.sigmoid(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad_output * (s + x * s * (1 - s))


x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
Swish.apply(x).sum().backward()
expected = torch.func.grad(lambda x: nn.functional.silu(x).sum())(x)
print(torch.allclose(x.grad, expected, rtol=1e-12))
# --8<-- [end:function]

# --8<-- [start:differences]
def cube(x: torch.Tensor) -> torch.Tensor:
    """A function whose derivative at 1.5 is 6.75."""
    return x * x * x


print("    h   error in float64   error in float32")
for h in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
    errors = []
    for dtype in (torch.float64, torch.float32):
        at = torch.tensor(1.5, dtype=dtype)
        slope = (cube(at + h) - cube(at - h)) / (2 * h)
        errors.append(abs(slope.item() - 6.75))
    print(f"{h:.0e}   {errors[0]:16.0e}   {errors[1]:16.0e}")
# --8<-- [end:differences]

# --8<-- [start:gradcheck]
import inspect

from torch.autograd import gradcheck


class WrongSwish(Swish):
    """The same function with half of the derivative forgotten."""

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * torch.sigmoid(x)


defaults = inspect.signature(gradcheck).parameters
print({name: defaults[name].default for name in ("eps", "atol", "rtol")})
print("Swish:     ", gradcheck(Swish.apply, (x,)))
try:
    gradcheck(WrongSwish.apply, (x,))
except RuntimeError as problem:
    print("WrongSwish:", type(problem).__name__, str(problem).splitlines()[0])
# --8<-- [end:gradcheck]

# --8<-- [start:hooks]
x = torch.tensor([1.0, -2.0], requires_grad=True)
middle = 3 * x
middle.register_hook(lambda grad: print("gradient of middle:", grad.tolist()))
x.register_hook(lambda grad: grad.clamp(-1, 1))
x.register_post_accumulate_grad_hook(lambda leaf: print("stored:", leaf.grad.tolist()))
middle.sum().backward()
# --8<-- [end:hooks]

# --8<-- [start:module-hook]
def report(module, grad_input, grad_output):
    """Print the shapes of the gradients that enter and leave a module's backward."""
    shapes = tuple(grad_output[0].shape), tuple(grad_input[0].shape)
    print(f"{type(module).__name__}: in {shapes[0]}, out {shapes[1]}")


net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
handles = [layer.register_full_backward_hook(report) for layer in net]
net(inputs.clone().requires_grad_()).sum().backward()
for handle in handles:
    handle.remove()
# --8<-- [end:module-hook]

# --8<-- [start:anomaly]
x = torch.tensor([0.0, 4.0], requires_grad=True)
mask = torch.tensor([0.0, 1.0])
(mask * torch.sqrt(x)).sum().backward()
print("gradient:", x.grad)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        with torch.autograd.detect_anomaly():
            (mask * torch.sqrt(x)).sum().backward()
    except RuntimeError as problem:
        print("RuntimeError:", problem)
print(str(caught[-1].message).split(". ")[0])
# --8<-- [end:anomaly]

# --8<-- [start:func]
from torch.func import functional_call, grad, vmap

model.zero_grad()
parameters = {name: value.detach() for name, value in model.named_parameters()}


def sample_loss(parameters, x, y):
    """The loss of one sample as a pure function of the parameters."""
    return nn.functional.mse_loss(functional_call(model, parameters, (x,)), y)


per_sample = vmap(grad(sample_loss), in_dims=(None, 0, 0))(parameters, inputs, targets)
nn.functional.mse_loss(model(inputs), targets).backward()
for name, parameter in model.named_parameters():
    same = torch.allclose(per_sample[name].mean(dim=0), parameter.grad, atol=1e-6)
    print(name, tuple(per_sample[name].shape), "mean equals the batch gradient:", same)
# --8<-- [end:func]

# --8<-- [start:nothing]
x = torch.tensor([0.2, 1.7, 0.4], requires_grad=True)
best = x.argmax()
print("argmax:", best, best.grad_fn, best.requires_grad)

print("round: ", torch.func.grad(lambda x: x.round().sum())(x.detach()))
zero = torch.tensor(0.0)
print("sqrt at 0:", torch.func.grad(torch.sqrt)(zero))
print("relu at 0:", torch.func.grad(torch.relu)(zero))
print("abs at 0: ", torch.func.grad(torch.abs)(zero))
# --8<-- [end:nothing]

# --8<-- [start:where]
def safe_looking(x: torch.Tensor) -> torch.Tensor:
    """The root of x, and 0 where x is not positive; the gradient at 0 is not safe."""
    return torch.where(x > 0, torch.sqrt(x), 0.0)


def safe(x: torch.Tensor) -> torch.Tensor:
    """The same values, but the root never sees the zero."""
    positive = torch.where(x > 0, x, 1.0)
    return torch.where(x > 0, torch.sqrt(positive), 0.0)


x = torch.tensor([0.0, 4.0])
for function in (safe_looking, safe):
    slope = torch.func.grad(lambda x, function=function: function(x).sum())(x)
    print(function.__name__, function(x).tolist(), "gradient", slope.tolist())
# --8<-- [end:where]

# --8<-- [start:no-graph]
w = torch.tensor([1.0])
try:
    (w * 2).backward()
except RuntimeError as problem:
    print("RuntimeError:", problem)
# --8<-- [end:no-graph]

# --8<-- [start:twice]
w = torch.tensor([3.0], requires_grad=True)
y = w * w
y.backward(retain_graph=True)
y.backward()
print("kept once:", w.grad)
try:
    y.backward()
except RuntimeError as problem:
    print("RuntimeError:", str(problem).split(" (")[0])
# --8<-- [end:twice]

# --8<-- [start:not-scalar]
w = torch.tensor([1.0, 2.0], requires_grad=True)
try:
    (w * 2).backward()
except RuntimeError as problem:
    print("RuntimeError:", problem)
# --8<-- [end:not-scalar]

# --8<-- [start:in-place]
try:
    w -= 0.1
except RuntimeError as problem:
    print("RuntimeError:", problem)

with torch.no_grad():
    w -= 0.1
print(w)
# --8<-- [end:in-place]

# --8<-- [start:data-attribute]
w = torch.tensor([3.0], requires_grad=True)
y = (w * w).sum()
w.data.mul_(10)
y.backward()
print("through .data:", w.grad.item(), "where 6 is right")

w = torch.tensor([3.0], requires_grad=True)
y = (w * w).sum()
w.detach().mul_(10)
try:
    y.backward()
except RuntimeError as problem:
    print("through detach(): RuntimeError:", str(problem).split(": ")[0])
# --8<-- [end:data-attribute]

# --8<-- [start:numpy]
w = torch.tensor([1.0, 2.0], requires_grad=True)
try:
    w.numpy()
except RuntimeError as problem:
    print("RuntimeError:", problem)

array = w.detach().cpu().numpy()
array[0] = 99
print(w)
# --8<-- [end:numpy]

# --8<-- [start:hvp]
def hvp(f, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The Hessian of f at x times v, without the Hessian."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(f(x), x, create_graph=True)
    (product,) = torch.autograd.grad(gradient @ v, x)
    return product


x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
print(hvp(g, x, u))
# --8<-- [end:hvp]

# --8<-- [start:safe-norm]
def safe_norm(x: torch.Tensor) -> torch.Tensor:
    """The length of x, with gradient 0 instead of NaN at x = 0."""
    square = (x * x).sum()
    is_zero = square == 0
    positive = torch.where(is_zero, 1.0, square)
    return torch.where(is_zero, 0.0, torch.sqrt(positive))


slope = torch.func.grad(safe_norm)
print(slope(torch.tensor([3.0, 4.0])), slope(torch.zeros(2)))
# --8<-- [end:safe-norm]

# --8<-- [start:straight-through]
class StraightThroughRound(Function):
    """Round forward; pass the gradient back unchanged."""

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


x = torch.tensor([0.2, 1.7], requires_grad=True)
y = StraightThroughRound.apply(x)
(y**2).sum().backward()
print(y.tolist(), x.grad)
# --8<-- [end:straight-through]
