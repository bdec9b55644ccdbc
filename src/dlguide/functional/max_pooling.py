"""Max pooling, forward and backward: each window passes on its largest entry."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._pool import largest, largest_backward, max_places
from dlguide.functional._spatial import Size, check_grad


def max_pool1d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    r"""Take the largest entry of each window, in each channel of its own.

    $$y_i = \max_{a} x_{i s + a d - p}$$

    $s$ is `stride`, $d$ `dilation`, $p$ `padding`; $a$ counts the entries of a window. There are no parameters.

    Args:
        input: $x$, of shape (N, C, L) or (C, L); any real dtype.
        kernel_size: $k \ge 1$, one number.
        stride: $s \ge 1$, entries from one window to the next; None means `kernel_size`.
        padding: entries of $-\infty$ on each side, at most half of the kernel.
        dilation: $d \ge 1$, entries from one number of a window to the next.
        ceil_mode: let a last window reach over the edge in place of leaving entries out.
        return_indices: whether to return where these entries are, counted over the flattened sizes.

    Returns:
        $y$, of shape (N, C, L_out) or (C, L_out); with `return_indices` a pair of $y$ and
        the indices, torch.int64 of the same shape. Of equal entries the first counts.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.max_pooling import max_pool1d

        x = torch.tensor([[[1.0, 5.0, 2.0, 2.0]]])
        print(*max_pool1d(x, 2, return_indices=True))
        ```

        ``` {.text .output}
        tensor([[[5., 2.]]]) tensor([[[1, 2]]])
        ```

    References:
        - [torch.nn.functional.max_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool1d.html)
    """
    flat = max_places(1, input, kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = largest(input, flat)
    return (values, indices) if return_indices else values


def max_pool1d_backward(
    grad_output: Tensor, input: Tensor, kernel_size: Size, stride: Size | None = None,
    padding: Size = 0, dilation: Size = 1, ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    r"""Vector-Jacobian product of `max_pool1d`: each gradient goes to the entry that won.

    An entry that won in several windows gets the sum. Of equal entries only the first gets anything.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `max_pool1d`, floating point.
        kernel_size: as in `max_pool1d`.
        stride: as in `max_pool1d`.
        padding: as in `max_pool1d`.
        dilation: as in `max_pool1d`.
        ceil_mode: as in `max_pool1d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.max_pooling import max_pool1d_backward

        x = torch.tensor([[[1.0, 5.0, 2.0, 2.0]]])
        print(max_pool1d_backward(torch.tensor([[[10.0, 20.0]]]), x, 2))
        ```

        ``` {.text .output}
        tensor([[[ 0., 10., 20.,  0.]]])
        ```

    References:
        - [torch.nn.functional.max_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool1d.html)
    """
    flat = max_places(1, input, kernel_size, stride, padding, dilation, ceil_mode)
    _, indices = largest(input, flat)
    check_grad(grad_output, indices.shape)
    return largest_backward(grad_output, indices, input.shape[-1:])


def max_pool2d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    r"""Take the largest entry of each window, in each channel of its own.

    $$y_{i,j} = \max_{a, b} x_{i s + a d - p,\; j s + b d - p}$$

    $s$ is `stride`, $d$ `dilation`, $p$ `padding`; $a$ and $b$ count the entries of a window. There are no parameters.

    Args:
        input: $x$, of shape (N, C, H, W) or (C, H, W); any real dtype.
        kernel_size: $k \ge 1$, one number or a pair.
        stride: $s \ge 1$, entries from one window to the next; None means `kernel_size`.
        padding: entries of $-\infty$ on each side, at most half of the kernel.
        dilation: $d \ge 1$, entries from one number of a window to the next.
        ceil_mode: let a last window reach over the edge in place of leaving entries out.
        return_indices: whether to return where these entries are, counted over the flattened sizes.

    Returns:
        $y$, of shape (N, C, H_out, W_out) or (C, H_out, W_out); with `return_indices` a pair of $y$ and
        the indices, torch.int64 of the same shape. Of equal entries the first counts.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.max_pooling import max_pool2d

        x = torch.arange(16.0).reshape(1, 1, 4, 4)
        print(max_pool2d(x, 2))
        ```

        ``` {.text .output}
        tensor([[[[ 5.,  7.],
                  [13., 15.]]]])
        ```

    References:
        - [torch.nn.functional.max_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html)
    """
    flat = max_places(2, input, kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = largest(input, flat)
    return (values, indices) if return_indices else values


def max_pool2d_backward(
    grad_output: Tensor, input: Tensor, kernel_size: Size, stride: Size | None = None,
    padding: Size = 0, dilation: Size = 1, ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    r"""Vector-Jacobian product of `max_pool2d`: each gradient goes to the entry that won.

    An entry that won in several windows gets the sum. Of equal entries only the first gets anything.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `max_pool2d`, floating point.
        kernel_size: as in `max_pool2d`.
        stride: as in `max_pool2d`.
        padding: as in `max_pool2d`.
        dilation: as in `max_pool2d`.
        ceil_mode: as in `max_pool2d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.max_pooling import max_pool2d_backward

        x = torch.tensor([[[[1.0, 4.0], [3.0, 2.0]]]])
        print(max_pool2d_backward(torch.tensor([[[[10.0]]]]), x, 2))
        ```

        ``` {.text .output}
        tensor([[[[ 0., 10.],
                  [ 0.,  0.]]]])
        ```

    References:
        - [torch.nn.functional.max_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html)
    """
    flat = max_places(2, input, kernel_size, stride, padding, dilation, ceil_mode)
    _, indices = largest(input, flat)
    check_grad(grad_output, indices.shape)
    return largest_backward(grad_output, indices, input.shape[-2:])
