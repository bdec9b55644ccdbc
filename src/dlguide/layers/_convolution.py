"""What the convolutional layers share: options, parameters and their start, padding modes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlguide.functional._convolve import same_sides
from dlguide.functional._spatial import Size, each
from dlguide.layers._base import Layer

MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Layer):
    """Options and parameters; a class below says the number of dimensions and calls its function."""

    dims: int
    weight: nn.Parameter
    bias: nn.Parameter | None
    padding: tuple[int, ...] | str

    def set(
        self, channels: tuple[int, int], kernel_size: Size, stride: Size, padding: Size | str,
        dilation: Size, groups: int, bias: bool, padding_mode: str,
        device: torch.device | str | None, dtype: torch.dtype | None, transposed: bool = False,
    ) -> None:  # fmt: skip
        """Check and keep the options, make the parameters."""
        super().__init__()
        if groups < 1 or any(channel % groups for channel in channels):
            raise ValueError(f"expected groups that divide both channel counts {channels}, got {groups}")
        if padding_mode not in MODES[: 1 if transposed else 4]:
            raise ValueError(f"expected padding_mode as one of {MODES[: 1 if transposed else 4]}, got {padding_mode!r}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"expected padding as 'valid', 'same' or in numbers, got {padding!r}")
        self.in_channels, self.out_channels = channels
        self.kernel_size = each(kernel_size, self.dims, "kernel_size", 1)
        self.stride, self.dilation = each(stride, self.dims, "stride", 1), each(dilation, self.dims, "dilation", 1)
        self.padding = padding if isinstance(padding, str) else each(padding, self.dims, "padding", 0)
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f"expected stride 1 with padding='same', got {stride}: give the padding in numbers")
        self.groups, self.padding_mode = groups, padding_mode
        first, second = channels if transposed else channels[::-1]
        shape = (first, second // groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        made = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias anew, uniform within one over the root of the numbers that one output sums."""
        bound = 1 / sqrt(prod(self.weight.shape[1:]))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)

    def extra_repr(self) -> str:
        """Say the options, as PyTorch does."""
        options = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        options += f", dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        return f"{self.in_channels}, {self.out_channels}, {options}, padding_mode={self.padding_mode!r}"

    # --8<-- [start:padding-mode]
    def padded(self, input: Tensor) -> tuple[Tensor, tuple[int, ...] | str]:
        """The input and the padding that is left to do: the other modes pad with numbers of the input."""
        if self.padding_mode == "zeros" or self.padding == "valid":
            return input, self.padding
        if isinstance(self.padding, str):
            sides = same_sides(self.kernel_size, self.dilation)
        else:
            sides = [(p, p) for p in self.padding]
        flat = [n for side in reversed(sides) for n in side]
        return F.pad(input, flat, mode=self.padding_mode), (0,) * self.dims
    # --8<-- [end:padding-mode]

    def extra_padding(self, input: Tensor, output_size: Sequence[int]) -> list[int]:
        """What a transposed layer must add at the end to reach a size that the convolution maps to its input's."""
        wanted = list(output_size)[-self.dims :]
        padding = each(self.padding, self.dims, "padding", 0)
        options = zip(input.shape[-self.dims :], self.kernel_size, self.stride, padding, self.dilation, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in options]
        extra = [w - m for w, m in zip(wanted, least, strict=True)]
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
            raise ValueError(f"expected output_size from {least} to {most} for this input, got {wanted}")
        return extra
