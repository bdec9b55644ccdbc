"""Check an installation: versions that fit, an operator, a gradient, the device."""

# --8<-- [start:versions]
import re
import sys
from importlib.metadata import requires, version

import torch


def release(text):
    """'2.15.0+cpu' -> (2, 15, 0): the build after the plus does not count."""
    return tuple(int(number) for number in text.split("+")[0].split("."))


print("Python new enough:", sys.version_info >= (3, 11))
print("PyTorch new enough:", release(torch.__version__) >= (2, 10, 0))
# --8<-- [end:versions]

# --8<-- [start:pair]
wanted = next(line for line in requires("torchvision") if re.match(r"torch\b", line))
relation, number = re.search(r"(==|>=)\s*([\d.]+)", wanted).groups()
installed = release(version("torch"))
exact = relation == "=="
fits = installed == release(number) if exact else installed >= release(number)
print("torchvision fits PyTorch:", fits)
# --8<-- [end:pair]

# --8<-- [start:operator]
from torchvision.ops import nms

boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [3.0, 3.0, 4.0, 4.0]])
scores = torch.tensor([0.9, 0.8, 0.7])
print(nms(boxes, scores, iou_threshold=0.5))
# --8<-- [end:operator]

# --8<-- [start:gradient]
x = torch.tensor(3.0, requires_grad=True)
(x**2).backward()
print(x.grad)
# --8<-- [end:gradient]

# --8<-- [start:device]
if torch.cuda.is_available():
    device = torch.device("cuda")
elif torch.backends.mps.is_available():
    device = torch.device("mps")
else:
    device = torch.device("cpu")

a = torch.arange(6.0).reshape(2, 3)
product = a.to(device) @ a.to(device).T
print(product.cpu())
# --8<-- [end:device]

# --8<-- [start:missing-operator]
try:
    torch.library.register_fake("no_such_library::nms")(lambda boxes: boxes)
except RuntimeError as error:
    print(error)
# --8<-- [end:missing-operator]

# --8<-- [start:mixed-devices]
try:
    torch.ones(2, device="cpu") + torch.ones(2, device="meta")
except RuntimeError as error:
    print(str(error).split(". ")[0])
# --8<-- [end:mixed-devices]
