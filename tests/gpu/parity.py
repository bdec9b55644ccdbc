"""What the parity tests share: run one piece on a device, bring back values and gradients, compare with the CPU's.

Inputs, weights and the gradients that come from behind are drawn on the CPU, so that every device gets the same ones.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# float64 differs only in the order of additions. One rounding of float32 is 6e-8 of a value; a sum of a few hundred
# numbers that partly cancel loses some digits more. TF32, with roundings of 5e-4, would be seen at once.
TOLERANCE = {torch.float64: (1e-9, 1e-11), torch.float32: (1e-4, 2e-5)}  # relative, absolute
DEEP = TOLERANCE | {torch.float32: (1e-3, 1e-4)}  # through many layers, or many steps
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@contextlib.contextmanager
def exact(wanted: str = "ieee") -> Iterator[None]:
    """Compute float32 in float32 on a GPU, not in TF32, and give the settings back. "tf32" asks for the opposite."""
    # by the names of PyTorch 2.9 and later; the old ones (allow_tf32) warn, and must not be mixed with these
    cudnn = torch.backends.cudnn
    settings: list[Any] = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = wanted
    try:
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


@dataclass(frozen=True)
class Case:
    """One use of a public name: `call(*inputs)`; for a layer, `call()(*inputs)`.

    An input is a shape for random numbers with a gradient, a tensor without one, or a tuple of inputs in a list.
    """

    name: str
    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    note: str = ""  # tells two cases of one name apart
    gradient: bool = True  # False: what is called is itself a backward pass, or has no gradient
    layer: bool = False
    initial: bool = False  # keep the weights that the constructor of a layer drew

    def __str__(self) -> str:
        return f"{self.name}-{self.note}" if self.note else self.name


def numbers(seed: str, *shape: int) -> Tensor:
    """Normal random numbers that follow from a word."""
    generator = torch.Generator().manual_seed(zlib.crc32(seed.encode()))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def place(given: Any, name: str, device: str, dtype: torch.dtype) -> Any:
    """An input on the device."""
    if isinstance(given, list):
        return tuple(place(part, f"{name}.{i}", device, dtype) for i, part in enumerate(given))
    if isinstance(given, tuple):
        return numbers(name, *given).to(device, dtype).requires_grad_()
    if isinstance(given, Tensor):
        return given.clone().to(device, dtype if given.is_floating_point() else given.dtype)
    return given


def leaves(given: Any) -> list[Tensor]:
    """The tensors in nested tuples."""
    if isinstance(given, Tensor):
        return [given]
    return [t for part in given for t in leaves(part)] if isinstance(given, (tuple, list)) else []


def module_of(case: Case, dtype: torch.dtype) -> nn.Module:
    """A layer with weights that follow from its name; those of a constructor are often 0 or 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer: nn.Module = case.call().to(dtype)
    with torch.no_grad():
        for key, weight in layer.named_parameters() if not case.initial else ():
            weight.copy_(0.5 * numbers(f"{case}:{key}", *weight.shape))
    return layer


def run(case: Case, device: str, dtype: torch.dtype) -> list[Tensor]:
    """Outputs, gradients of all inputs and weights, and buffers of a case, moved back to the CPU."""
    inputs = [place(given, f"{case}{i}", device, dtype) for i, given in enumerate(case.inputs)]
    layer = module_of(case, dtype).to(device) if case.layer else None
    with torch.set_grad_enabled(case.gradient):
        outputs = leaves((layer or case.call)(*inputs))
    results = list(outputs)
    wanted = [t for t in (*leaves(inputs), *(layer.parameters() if layer else [])) if t.requires_grad]
    if case.gradient and wanted:
        smooth = [y for y in outputs if y.requires_grad]
        behind = [numbers(f"{case}<{i}", *y.shape).to(device, y.dtype) for i, y in enumerate(smooth)]
        results += torch.autograd.grad(smooth, wanted, behind)
    results += list(layer.buffers()) if layer else []
    assert outputs
    assert {t.device.type for t in results} == {torch.device(device).type}, "a result left the device"
    return [t.detach().cpu() for t in results]


def assert_close(
    ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype,
    tolerance: dict[torch.dtype, tuple[float, float]] = TOLERANCE,
) -> None:  # fmt: skip
    relative, absolute = tolerance[dtype]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=relative, atol=absolute)
