"""Convolutional layers with the arguments, parameters and starting weights of PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dlguide.functional._spatial import Size, each
from dlguide.functional.convolution import conv1d, conv2d
from dlguide.functional.transposed_convolution import conv_transpose1d, conv_transpose2d
from dlguide.layers._convolution import Convolution


class Conv1d(Convolution):
    r"""Convolution of a sequence with kernels that are learned.

    `forward` is `dlguide.functional.convolution.conv1d` with this layer's weight and bias:
    $y_o = b_o + \sum_c w_{o,c} \star x_c$, where $\star$ slides the kernel without flipping it.

    Args:
        in_channels: C_in, channels of the input.
        out_channels: C_out, kernels, and channels of the output.
        kernel_size: size of a kernel, one number.
        stride: entries from one window to the next, at least 1.
        padding: entries added on each side, or `"valid"`, or `"same"`.
        dilation: entries from one number of a window to the next, at least 1.
        groups: parts that the channels are divided into; C_in for one kernel per channel.
        bias: whether each output channel has a number to add.
        padding_mode: what is added: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device: where the parameters are.
        dtype: of the parameters; floating point.

    Raises:
        ValueError: the channels are no multiple of `groups`, or a word is unknown.
        RuntimeError: a size is out of its range.

    Example:
        ```python
        import torch
        from dlguide.layers.convolution import Conv1d

        layer = Conv1d(3, 8, kernel_size=3, stride=2, padding=1)
        print(layer(torch.zeros(5, 3, 10)).shape)
        ```

        ``` {.text .output}
        torch.Size([5, 8, 5])
        ```

    References:
        - [torch.nn.Conv1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html)
    """

    dims = 1

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size | str = 0,
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        channels = in_channels, out_channels
        self.set(channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        padded, padding = self.padded(input)
        return conv1d(padded, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(Convolution):
    r"""Convolution of a picture with kernels that are learned.

    `forward` is `dlguide.functional.convolution.conv2d` with this layer's weight and bias:
    $y_o = b_o + \sum_c w_{o,c} \star x_c$, where $\star$ slides the kernel without flipping it.

    Args:
        in_channels: C_in, channels of the input.
        out_channels: C_out, kernels, and channels of the output.
        kernel_size: size of a kernel, one number or a pair.
        stride: entries from one window to the next, at least 1.
        padding: entries added on each side, or `"valid"`, or `"same"`.
        dilation: entries from one number of a window to the next, at least 1.
        groups: parts that the channels are divided into; C_in for one kernel per channel.
        bias: whether each output channel has a number to add.
        padding_mode: what is added: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device: where the parameters are.
        dtype: of the parameters; floating point.

    Raises:
        ValueError: the channels are no multiple of `groups`, or a word is unknown.
        RuntimeError: a size is out of its range.

    Example:
        ```python
        import torch
        from dlguide.layers.convolution import Conv2d

        layer = Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
        print(layer(torch.zeros(5, 3, 28, 28)).shape)
        ```

        ``` {.text .output}
        torch.Size([5, 8, 14, 14])
        ```

    References:
        - [torch.nn.Conv2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html)
    """

    dims = 2

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size | str = 0,
        dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        channels = in_channels, out_channels
        self.set(channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        padded, padding = self.padded(input)
        return conv2d(padded, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class ConvTranspose1d(Convolution):
    r"""Transposed convolution of a sequence with kernels that are learned.

    `forward` is `dlguide.functional.transposed_convolution.conv_transpose1d` with this layer's weight and bias.

    Args:
        in_channels: C_in, channels of the input.
        out_channels: C_out, channels of the output.
        kernel_size: size of a kernel, one number.
        stride: entries of the output from one entry of the input to the next, at least 1.
        padding: entries cut off on each side of the output.
        output_padding: entries more at the end of the output, below stride or dilation.
        groups: parts that the channels are divided into.
        bias: whether each output channel has a number to add.
        dilation: entries of the output from one entry of the kernel to the next, at least 1.
        padding_mode: only `"zeros"`.
        device: where the parameters are.
        dtype: of the parameters; floating point.

    Raises:
        ValueError: the channels are no multiple of `groups`, or a word is unknown.
        RuntimeError: a size is out of its range.

    Example:
        ```python
        import torch
        from dlguide.layers.convolution import ConvTranspose1d

        layer = ConvTranspose1d(8, 3, kernel_size=2, stride=2)
        print(layer(torch.zeros(5, 8, 10)).shape)
        ```

        ``` {.text .output}
        torch.Size([5, 3, 20])
        ```

    References:
        - [torch.nn.ConvTranspose1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html)
    """

    dims = 1

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size = 0,
        output_padding: Size = 0, groups: int = 1, bias: bool = True, dilation: Size = 1, padding_mode: str = "zeros",
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        channels = in_channels, out_channels
        self.set(channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype, True)
        self.output_padding = each(output_padding, 1, "output_padding", 0)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Spread, to `output_size` if it is given."""
        extra = self.output_padding if output_size is None else self.extra_padding(input, output_size)
        padding, groups, dilation = each(self.padding, 1, "padding", 0), self.groups, self.dilation
        return conv_transpose1d(input, self.weight, self.bias, self.stride, padding, extra, groups, dilation)


class ConvTranspose2d(Convolution):
    r"""Transposed convolution of a picture with kernels that are learned.

    `forward` is `dlguide.functional.transposed_convolution.conv_transpose2d` with this layer's weight and bias.

    Args:
        in_channels: C_in, channels of the input.
        out_channels: C_out, channels of the output.
        kernel_size: size of a kernel, one number or a pair.
        stride: entries of the output from one entry of the input to the next, at least 1.
        padding: entries cut off on each side of the output.
        output_padding: entries more at the end of the output, below stride or dilation.
        groups: parts that the channels are divided into.
        bias: whether each output channel has a number to add.
        dilation: entries of the output from one entry of the kernel to the next, at least 1.
        padding_mode: only `"zeros"`.
        device: where the parameters are.
        dtype: of the parameters; floating point.

    Raises:
        ValueError: the channels are no multiple of `groups`, or a word is unknown.
        RuntimeError: a size is out of its range.

    Example:
        ```python
        import torch
        from dlguide.layers.convolution import ConvTranspose2d

        layer = ConvTranspose2d(8, 3, kernel_size=2, stride=2)
        print(layer(torch.zeros(5, 8, 14, 14)).shape)
        ```

        ``` {.text .output}
        torch.Size([5, 3, 28, 28])
        ```

    References:
        - [torch.nn.ConvTranspose2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html)
    """

    dims = 2

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size = 0,
        output_padding: Size = 0, groups: int = 1, bias: bool = True, dilation: Size = 1, padding_mode: str = "zeros",
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        channels = in_channels, out_channels
        self.set(channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype, True)
        self.output_padding = each(output_padding, 2, "output_padding", 0)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Spread, to `output_size` if it is given."""
        extra = self.output_padding if output_size is None else self.extra_padding(input, output_size)
        padding, groups, dilation = each(self.padding, 2, "padding", 0), self.groups, self.dilation
        return conv_transpose2d(input, self.weight, self.bias, self.stride, padding, extra, groups, dilation)
