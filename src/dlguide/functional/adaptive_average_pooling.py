"""Adaptive average pooling, forward and backward: as many windows as are asked for, whatever the input's size."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._adaptive import OutputSize, adaptive, mean, mean_backward


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    r"""Take the mean of each of `output_size` windows that cover the input.

    $$y_i = \frac{1}{e_i - f_i} \sum_{j=f_i}^{e_i - 1} x_j, \qquad
    f_i = \Bigl\lfloor \frac{i n}{o} \Bigr\rfloor, \qquad e_i = \Bigl\lceil \frac{(i + 1) n}{o} \Bigr\rceil$$

    $n$ entries go in, $o$ come out. Windows may differ in size by one and overlap if $o$ does not divide $n$.

    Args:
        input: $x$, of shape (N, C, L) or (C, L); floating point.
        output_size: $o \ge 1$, one number.

    Returns:
        $y$, of shape (N, C, L_out) or (C, L_out), the last size as asked.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_average_pooling import adaptive_avg_pool1d

        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
        print(adaptive_avg_pool1d(x, 2))  # of 1 2 3 and of 3 4 5
        ```

        ``` {.text .output}
        tensor([[[2., 4.]]])
        ```

    References:
        - [torch.nn.functional.adaptive_avg_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool1d.html)
    """
    return mean(input, *adaptive(1, input, output_size))


def adaptive_avg_pool1d_backward(grad_output: Tensor, input: Tensor, output_size: OutputSize) -> Tensor:
    r"""Vector-Jacobian product of `adaptive_avg_pool1d`.

    Each gradient spreads evenly over its window; where windows overlap, the shares add up.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `adaptive_avg_pool1d`.
        output_size: as in `adaptive_avg_pool1d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_average_pooling import adaptive_avg_pool1d_backward

        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
        print(adaptive_avg_pool1d_backward(torch.tensor([[[6.0, 60.0]]]), x, 2))
        ```

        ``` {.text .output}
        tensor([[[ 2.,  2., 22., 20., 20.]]])
        ```

    References:
        - [torch.nn.functional.adaptive_avg_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool1d.html)
    """
    return mean_backward(grad_output, *adaptive(1, input, output_size), input.shape[-1:])


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    r"""Take the mean of each of `output_size` windows that cover the input.

    $$y_i = \frac{1}{e_i - f_i} \sum_{j=f_i}^{e_i - 1} x_j, \qquad
    f_i = \Bigl\lfloor \frac{i n}{o} \Bigr\rfloor, \qquad e_i = \Bigl\lceil \frac{(i + 1) n}{o} \Bigr\rceil$$

    $n$ entries go in, $o$ come out, in rows and in columns alike.
    Windows may differ in size by one and overlap if $o$ does not divide $n$.

    Args:
        input: $x$, of shape (N, C, H, W) or (C, H, W); floating point.
        output_size: $o \ge 1$, one number or a pair; None in a pair keeps that size.

    Returns:
        $y$, of shape (N, C, H_out, W_out) or (C, H_out, W_out), the last two sizes as asked.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_average_pooling import adaptive_avg_pool2d

        x = torch.arange(9.0).reshape(1, 1, 3, 3)
        print(adaptive_avg_pool2d(x, (1, None)))  # one row, as many columns as before
        ```

        ``` {.text .output}
        tensor([[[[3., 4., 5.]]]])
        ```

    References:
        - [torch.nn.functional.adaptive_avg_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html)
    """
    return mean(input, *adaptive(2, input, output_size))


def adaptive_avg_pool2d_backward(grad_output: Tensor, input: Tensor, output_size: OutputSize) -> Tensor:
    r"""Vector-Jacobian product of `adaptive_avg_pool2d`.

    Each gradient spreads evenly over its window; where windows overlap, the shares add up.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `adaptive_avg_pool2d`.
        output_size: as in `adaptive_avg_pool2d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.adaptive_average_pooling import adaptive_avg_pool2d_backward

        x = torch.arange(9.0).reshape(1, 1, 3, 3)
        print(adaptive_avg_pool2d_backward(torch.tensor([[[[3.0, 30.0, 300.0]]]]), x, (1, None)))
        ```

        ``` {.text .output}
        tensor([[[[  1.,  10., 100.],
                  [  1.,  10., 100.],
                  [  1.,  10., 100.]]]])
        ```

    References:
        - [torch.nn.functional.adaptive_avg_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html)
    """
    return mean_backward(grad_output, *adaptive(2, input, output_size), input.shape[-2:])
