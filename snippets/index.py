"""The home page: one gradient, found by PyTorch and by its formula."""

# --8<-- [start:gradient]
import torch

x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
y = torch.tensor([2.1, 3.9, 6.2], dtype=torch.float64)
w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

loss = ((w * x - y) ** 2).mean()
loss.backward()  # PyTorch's answer is now in w.grad

with torch.no_grad():
    by_formula = 2 / len(x) * (x * (w * x - y)).sum()

print(f"PyTorch  dL/dw = {w.grad:.6f}")
print(f"formula  dL/dw = {by_formula:.6f}")
# --8<-- [end:gradient]
