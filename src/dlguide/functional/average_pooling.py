"""Average pooling, forward and backward: each window passes on its mean."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._pool import average, average_backward, average_options
from dlguide.functional._spatial import Size


def avg_pool1d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    r"""Take the mean of each window, in each channel of its own.

    $$y_i = \frac{1}{n_i} \sum_{a} x_{i s + a - p}$$

    $s$ is `stride`, $p$ `padding`, $n$ the number of entries that count: those of the window inside the input and, with
    `count_include_pad`, its padding. What `ceil_mode` lets reach over the edge never counts.

    Args:
        input: $x$, of shape (N, C, L) or (C, L); floating point.
        kernel_size: $k \ge 1$, one number.
        stride: $s \ge 1$, entries from one window to the next; None means `kernel_size`.
        padding: zeros on each side, at most half of the kernel.
        ceil_mode: let a last window reach over the edge in place of leaving entries out.
        count_include_pad: whether the padding counts in the mean.

    Returns:
        $y$, of shape (N, C, L_out) or (C, L_out).

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.average_pooling import avg_pool1d

        x = torch.tensor([[[1.0, 5.0, 2.0, 2.0]]])
        print(avg_pool1d(x, 2))
        ```

        ``` {.text .output}
        tensor([[[3., 2.]]])
        ```

    References:
        - [torch.nn.functional.avg_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool1d.html)
    """
    options = average_options(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    return average(input, *options)


def avg_pool1d_backward(
    grad_output: Tensor, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    r"""Vector-Jacobian product of `avg_pool1d`: each gradient spreads evenly over its window.

    The values of the input do not matter, only its shape.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `avg_pool1d`.
        kernel_size: as in `avg_pool1d`.
        stride: as in `avg_pool1d`.
        padding: as in `avg_pool1d`.
        ceil_mode: as in `avg_pool1d`.
        count_include_pad: as in `avg_pool1d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.average_pooling import avg_pool1d_backward

        x = torch.tensor([[[1.0, 5.0, 2.0, 2.0]]])
        print(avg_pool1d_backward(torch.tensor([[[10.0, 20.0]]]), x, 2))
        ```

        ``` {.text .output}
        tensor([[[ 5.,  5., 10., 10.]]])
        ```

    References:
        - [torch.nn.functional.avg_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool1d.html)
    """
    options = average_options(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    return average_backward(grad_output, input.shape[-1:], *options)


def avg_pool2d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    r"""Take the mean of each window, in each channel of its own.

    $$y_{i,j} = \frac{1}{n_{i,j}} \sum_{a, b} x_{i s + a - p,\; j s + b - p}$$

    $s$ is `stride`, $p$ `padding`, $n$ the number of entries that count: those of the window inside the input and, with
    `count_include_pad`, its padding. What `ceil_mode` lets reach over the edge never counts.

    Args:
        input: $x$, of shape (N, C, H, W) or (C, H, W); floating point.
        kernel_size: $k \ge 1$, one number or a pair.
        stride: $s \ge 1$, entries from one window to the next; None means `kernel_size`.
        padding: zeros on each side, at most half of the kernel.
        ceil_mode: let a last window reach over the edge in place of leaving entries out.
        count_include_pad: whether the padding counts in the mean.
        divisor_override: what each sum is divided by in place of the count.

    Returns:
        $y$, of shape (N, C, H_out, W_out) or (C, H_out, W_out).

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.average_pooling import avg_pool2d

        x = torch.arange(16.0).reshape(1, 1, 4, 4)
        print(avg_pool2d(x, 2))
        ```

        ``` {.text .output}
        tensor([[[[ 2.5000,  4.5000],
                  [10.5000, 12.5000]]]])
        ```

    References:
        - [torch.nn.functional.avg_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html)
    """
    options = average_options(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return average(input, *options)


def avg_pool2d_backward(
    grad_output: Tensor, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    r"""Vector-Jacobian product of `avg_pool2d`: each gradient spreads evenly over its window.

    The values of the input do not matter, only its shape.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `avg_pool2d`.
        kernel_size: as in `avg_pool2d`.
        stride: as in `avg_pool2d`.
        padding: as in `avg_pool2d`.
        ceil_mode: as in `avg_pool2d`.
        count_include_pad: as in `avg_pool2d`.
        divisor_override: as in `avg_pool2d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.average_pooling import avg_pool2d_backward

        x = torch.tensor([[[[1.0, 4.0], [3.0, 2.0]]]])
        print(avg_pool2d_backward(torch.tensor([[[[10.0]]]]), x, 2))
        ```

        ``` {.text .output}
        tensor([[[[2.5000, 2.5000],
                  [2.5000, 2.5000]]]])
        ```

    References:
        - [torch.nn.functional.avg_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html)
    """
    options = average_options(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return average_backward(grad_output, input.shape[-2:], *options)
