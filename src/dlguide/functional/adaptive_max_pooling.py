"""Adaptive max pooling, forward and backward: as many windows as are asked for, whatever the input's size."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._adaptive import OutputSize, adaptive
from dlguide.functional._pool import largest, largest_backward
from dlguide.functional._spatial import check_grad


def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Take the largest entry of each of `output_size` windows that cover the input.

    $$y_i = \max_{f_i \le j < e_i} x_j, \qquad
    f_i = \Bigl\lfloor \frac{i n}{o} \Bigr\rfloor, \qquad e_i = \Bigl\lceil \frac{(i + 1) n}{o} \Bigr\rceil$$

    $n$ entries go in, $o$ come out. Windows may differ in size by one and overlap if $o$ does not divide $n$.

    Args:
        input: $x$, of shape (N, C, L) or (C, L); floating point.
        output_size: $o \ge 1$, one number.
        return_indices: whether to return where these entries are, counted over flattened sizes.

    Returns:
        $y$, of shape (N, C, L_out) or (C, L_out), the last size as asked; with
        `return_indices` a pair of $y$ and the indices, torch.int64 of the same shape. Of equal entries the
        first counts.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_max_pooling import adaptive_max_pool1d

        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
        print(adaptive_max_pool1d(x, 2))  # of 1 2 3 and of 3 4 5
        ```

        ``` {.text .output}
        tensor([[[3., 5.]]])
        ```

    References:
        - [torch.nn.functional.adaptive_max_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool1d.html)
    """
    flat, _ = adaptive(1, input, output_size)
    values, indices = largest(input, flat)
    return (values, indices) if return_indices else values


def adaptive_max_pool1d_backward(grad_output: Tensor, input: Tensor, output_size: OutputSize) -> Tensor:
    r"""Vector-Jacobian product of `adaptive_max_pool1d`.

    Each gradient goes to the entry that won; where windows overlap, it may win twice.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `adaptive_max_pool1d`.
        output_size: as in `adaptive_max_pool1d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_max_pooling import adaptive_max_pool1d_backward

        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
        print(adaptive_max_pool1d_backward(torch.tensor([[[6.0, 60.0]]]), x, 2))
        ```

        ``` {.text .output}
        tensor([[[ 0.,  0.,  6.,  0., 60.]]])
        ```

    References:
        - [torch.nn.functional.adaptive_max_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool1d.html)
    """
    flat, _ = adaptive(1, input, output_size)
    _, indices = largest(input, flat)
    check_grad(grad_output, indices.shape)
    return largest_backward(grad_output, indices, input.shape[-1:])


def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Take the largest entry of each of `output_size` windows that cover the input.

    $$y_i = \max_{f_i \le j < e_i} x_j, \qquad
    f_i = \Bigl\lfloor \frac{i n}{o} \Bigr\rfloor, \qquad e_i = \Bigl\lceil \frac{(i + 1) n}{o} \Bigr\rceil$$

    $n$ entries go in, $o$ come out, in rows and in columns alike.
    Windows may differ in size by one and overlap if $o$ does not divide $n$.

    Args:
        input: $x$, of shape (N, C, H, W) or (C, H, W); floating point.
        output_size: $o \ge 1$, one number or a pair; None in a pair keeps that size.
        return_indices: whether to return where these entries are, counted over flattened sizes.

    Returns:
        $y$, of shape (N, C, H_out, W_out) or (C, H_out, W_out), the last two sizes as asked; with
        `return_indices` a pair of $y$ and the indices, torch.int64 of the same shape. Of equal entries the
        first counts.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_max_pooling import adaptive_max_pool2d

        x = torch.arange(9.0).reshape(1, 1, 3, 3)
        print(adaptive_max_pool2d(x, (1, None)))  # one row, as many columns as before
        ```

        ``` {.text .output}
        tensor([[[[6., 7., 8.]]]])
        ```

    References:
        - [torch.nn.functional.adaptive_max_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool2d.html)
    """
    flat, _ = adaptive(2, input, output_size)
    values, indices = largest(input, flat)
    return (values, indices) if return_indices else values


def adaptive_max_pool2d_backward(grad_output: Tensor, input: Tensor, output_size: OutputSize) -> Tensor:
    r"""Vector-Jacobian product of `adaptive_max_pool2d`.

    Each gradient goes to the entry that won; where windows overlap, it may win twice.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `adaptive_max_pool2d`.
        output_size: as in `adaptive_max_pool2d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_max_pooling import adaptive_max_pool2d_backward

        x = torch.arange(9.0).reshape(1, 1, 3, 3)
        print(adaptive_max_pool2d_backward(torch.tensor([[[[3.0, 30.0, 300.0]]]]), x, (1, None)))
        ```

        ``` {.text .output}
        tensor([[[[  0.,   0.,   0.],
                  [  0.,   0.,   0.],
                  [  3.,  30., 300.]]]])
        ```

    References:
        - [torch.nn.functional.adaptive_max_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool2d.html)
    """
    flat, _ = adaptive(2, input, output_size)
    _, indices = largest(input, flat)
    check_grad(grad_output, indices.shape)
    return largest_backward(grad_output, indices, input.shape[-2:])
