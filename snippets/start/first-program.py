"""A line found by gradient descent: the program of the page start/first-program."""

# --8<-- [start:data]
import torch
from torch import nn

x = torch.tensor([[1.0], [2.0], [3.0]])
y = torch.tensor([[2.0], [4.0], [6.0]])
print(x.shape, x.dtype, x.device, x.requires_grad)
# --8<-- [end:data]

# --8<-- [start:tensors]
print("row 0:     ", x[0])
print("from row 1:", x[1:].tolist())
print("y - x:     ", (y - x).tolist())
print("x * y:     ", (x * y).tolist())
print("y / x:     ", (y / x).tolist())
print("sum of x:  ", x.sum().item(), " product of x:", x.prod().item())
# --8<-- [end:tensors]

# --8<-- [start:model]
torch.manual_seed(0)
model = nn.Linear(in_features=1, out_features=1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

for name, parameter in model.named_parameters():
    print(name, tuple(parameter.shape), round(parameter.item(), 3))
print("prediction", tuple(model(x).shape), "loss", tuple(criterion(model(x), y).shape))
# --8<-- [end:model]

# --8<-- [start:train]
for epoch in range(1, 501):
    prediction = model(x)
    loss = criterion(prediction, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch == 1 or epoch % 100 == 0:
        print(f"epoch {epoch:3d}  loss {loss.item():.6f}")
# --8<-- [end:train]

# --8<-- [start:result]
with torch.no_grad():
    new = model(torch.tensor([[4.0]]))
print(f"w = {model.weight.item():.3f}")
print(f"b = {model.bias.item():.3f}")
print(f"f(4) = {new.item():.3f}")
print("within 0.0001 of 8:", abs(new.item() - 8) < 1e-4)
# --8<-- [end:result]

# --8<-- [start:line]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.plot(x.flatten(), y.flatten(), "o", label="data")
grid = torch.tensor([[0.0], [4.0]])
for epochs, style in [(0, ":"), (1, "-."), (10, "--"), (500, "-")]:
    torch.manual_seed(0)
    line = nn.Linear(1, 1)
    sgd = torch.optim.SGD(line.parameters(), lr=0.1)
    for _ in range(epochs):
        sgd.zero_grad()
        criterion(line(x), y).backward()
        sgd.step()
    values = line(grid).detach().flatten()
    ax.plot(grid.flatten(), values, style, label=f"epochs: {epochs}")
ax.set_xlabel("x")
ax.set_ylabel("y")
ax.legend()
plt.show()
# --8<-- [end:line]

# --8<-- [start:hand]
w = torch.tensor(0.5, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
loss = ((w * x + b - y) ** 2).mean()
loss.backward()

error = (w * x + b - y).detach()
grad_w = (2 * error * x).mean()
grad_b = (2 * error).mean()
print(f"autograd: dw = {w.grad.item():.4f}, db = {b.grad.item():.4f}")
print(f"by hand:  dw = {grad_w.item():.4f}, db = {grad_b.item():.4f}")
# --8<-- [end:hand]

# --8<-- [start:step]
by_hand = (w - 0.1 * grad_w).item(), (b - 0.1 * grad_b).item()
print("before the step:", w.item(), b.item())
torch.optim.SGD([w, b], lr=0.1).step()
print(f"after the step:  {w.item():.4f} {b.item():.4f}")
print(f"by hand:         {by_hand[0]:.4f} {by_hand[1]:.4f}")
# --8<-- [end:step]

# --8<-- [start:seeds]
def fit(lr: float, epochs: int, seed: int) -> nn.Linear:
    """Train a fresh line on the three points."""
    torch.manual_seed(seed)
    line = nn.Linear(1, 1)
    sgd = torch.optim.SGD(line.parameters(), lr=lr)
    for _ in range(epochs):
        sgd.zero_grad()
        criterion(line(x), y).backward()
        sgd.step()
    return line


lines = [fit(lr=0.01, epochs=100, seed=seed) for seed in range(20)]
weights = [line.weight.item() for line in lines]
biases = [line.bias.item() for line in lines]
predictions = [line(torch.tensor([4.0])).item() for line in lines]
print("20 seeds, lr 0.01, 100 epochs: lowest and highest")
print(f"w     {min(weights):6.3f} {max(weights):6.3f}")
print(f"b     {min(biases):6.3f} {max(biases):6.3f}")
print(f"f(4)  {min(predictions):6.3f} {max(predictions):6.3f}")
# --8<-- [end:seeds]

# --8<-- [start:hessian]
def mean_loss(theta: torch.Tensor) -> torch.Tensor:
    """The loss as a function of theta = [w, b]."""
    return ((theta[0] * x.double() + theta[1] - y.double()) ** 2).mean()


start = torch.zeros(2, dtype=torch.float64)
hessian = torch.autograd.functional.hessian(mean_loss, start)
smallest, largest = torch.linalg.eigvalsh(hessian).tolist()
print(hessian)
print(f"eigenvalues {smallest:.4f} and {largest:.3f}")
print(f"the step must stay under 2 / {largest:.3f} = {2 / largest:.4f}")
# --8<-- [end:hessian]

# --8<-- [start:modes]
print("lr    slow mode  fast mode  slow mode left after 100 epochs")
for lr in (0.01, 0.1, 0.18, 0.19):
    slow, fast = 1 - lr * smallest, 1 - lr * largest
    print(f"{lr:.2f}  {slow:9.4f}  {fast:9.4f}  {slow**100:9.4f}")
# --8<-- [end:modes]

# --8<-- [start:steps]
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for lr, style in [(0.01, ":"), (0.1, "-"), (0.18, "--"), (0.19, "-.")]:
    theta, losses = start.clone(), []
    for _ in range(100):
        losses.append(mean_loss(theta).item())
        theta = theta - lr * torch.func.grad(mean_loss)(theta)
    print(f"lr {lr:.2f}: loss after 100 epochs {mean_loss(theta).item():.3g}")
    ax.plot(losses, style, label=f"lr {lr}")
ax.set_yscale("log")
ax.set_xlabel("epoch")
ax.set_ylabel("loss")
ax.legend()
plt.show()
# --8<-- [end:steps]

# --8<-- [start:increments]
at = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)
plain = nn.Linear(1, 1, dtype=torch.float64)
plain.load_state_dict({"weight": torch.tensor([[-2.0]]), "bias": torch.tensor([5.0])})
with torch.no_grad():
    print("line:          ", plain(at).diff(dim=0).flatten().tolist())
    print("line, then ReLU:", torch.relu(plain(at)).diff(dim=0).flatten().tolist())
# --8<-- [end:increments]

# --8<-- [start:measures]
guess = fit(lr=0.01, epochs=100, seed=0)(x).detach()
mse = ((guess - y) ** 2).mean()
mae = (guess - y).abs().mean()
r2 = 1 - ((guess - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
exact = (guess == y).float().mean()
print("guess:", [round(value, 2) for value in guess.flatten().tolist()])
print(f"MSE {mse:.3f}   MAE {mae:.3f}   R2 {r2:.3f}   exactly equal {exact:.0%}")
# --8<-- [end:measures]

# --8<-- [start:integers]
try:
    torch.tensor([[1], [2], [3]], requires_grad=True)
except RuntimeError as problem:
    print("RuntimeError:", problem)

try:
    model(torch.tensor([[4]]))
except RuntimeError as problem:
    print("RuntimeError:", problem)

print(model(torch.tensor([[4.0]])).shape)
# --8<-- [end:integers]

# --8<-- [start:forgotten]
torch.manual_seed(0)
line = nn.Linear(1, 1)
sgd = torch.optim.SGD(line.parameters(), lr=0.1)
for epoch in range(1, 501):
    loss = criterion(line(x), y)
    loss.backward()
    sgd.step()
    if epoch == 1 or epoch % 100 == 0:
        print(f"epoch {epoch:3d}  loss {loss.item():.1f}")
# --8<-- [end:forgotten]

# --8<-- [start:shapes]
import warnings

flat = torch.tensor([2.0, 4.0, 6.0])
print("prediction", tuple(x.shape), "target", tuple(flat.shape))
print("difference", tuple((x - flat).shape))

torch.manual_seed(0)
line = nn.Linear(1, 1)
sgd = torch.optim.SGD(line.parameters(), lr=0.1)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(500):
        sgd.zero_grad()
        criterion(line(x), flat).backward()
        sgd.step()
print(caught[0].category.__name__ + ":", str(caught[0].message).split(". ")[0])
print("predictions", [round(value, 2) for value in line(x).flatten().tolist()])
# --8<-- [end:shapes]

# --8<-- [start:largest-step]
def largest_step(x: torch.Tensor) -> float:
    """The bound on the learning rate for a line fitted to the points x."""
    columns = torch.stack([x, torch.ones_like(x)], dim=1)  # [n, 2]
    hessian = 2 / len(x) * columns.T @ columns
    return 2 / torch.linalg.eigvalsh(hessian)[-1].item()


three = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
celsius = torch.tensor([0.0, 10.0, 20.0, 30.0], dtype=torch.float64)
print(f"1, 2, 3:       {largest_step(three):.4f}")
print(f"0, 10, 20, 30: {largest_step(celsius):.5f}")
# --8<-- [end:largest-step]

# --8<-- [start:centred]
def fit_centred(x: torch.Tensor, y: torch.Tensor, epochs: int) -> tuple[float, float]:
    """Train on x minus its mean; return w and b for the x of before."""
    middle = x.mean()
    centred = x - middle
    lr = 0.5 * largest_step(centred)
    w = torch.zeros((), dtype=x.dtype)
    b = torch.zeros((), dtype=x.dtype)
    for _ in range(epochs):
        error = w * centred + b - y
        w = w - lr * (2 * error * centred).mean()
        b = b - lr * (2 * error).mean()
    return w.item(), (b - w * middle).item()


slope, height = fit_centred(three, 2 * three, epochs=40)
print(f"w = {slope:.6f}, b = {abs(height):.6f}")
# --8<-- [end:centred]
