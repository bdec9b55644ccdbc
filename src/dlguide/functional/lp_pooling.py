"""LP pooling, forward and backward: each window passes on the p-norm of its entries."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from dlguide.functional._pool import average, average_backward, average_options
from dlguide.functional._spatial import Size


def _check(norm_type: float) -> None:
    """A norm has an exponent."""
    if norm_type == 0:
        raise ValueError("expected norm_type other than 0: there is no root 1 / 0")


# --8<-- [start:lp]
def _norm(dims: int, x: Tensor, p: float, kernel_size: Size, stride: Size | None, ceil_mode: bool) -> Tensor:
    _check(p)
    kernel, stride, sides, counts = average_options(dims, x, kernel_size, stride, 0, ceil_mode, True, None)
    total = average(x**p, kernel, stride, sides, counts) * prod(kernel)  # the sum, if the window is whole
    some = total != 0  # the root is not differentiable at 0: keep autograd away from there
    return torch.where(some, torch.where(some, total, 1) ** (1 / p), 0)


def _norm_backward(
    dims: int, grad: Tensor, x: Tensor, p: float, kernel_size: Size, stride: Size | None, ceil_mode: bool
) -> Tensor:
    y = _norm(dims, x, p, kernel_size, stride, ceil_mode)
    kernel, stride, sides, counts = average_options(dims, x, kernel_size, stride, 0, ceil_mode, True, None)
    scaled = torch.where(y != 0, grad * torch.where(y != 0, y, 1) ** (1 - p), 0)
    spread = average_backward(scaled * prod(kernel), x.shape[-dims:], kernel, stride, sides, counts)
    return spread * x ** (p - 1)
# --8<-- [end:lp]


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:  # fmt: skip
    r"""Take the norm of each window, in each channel of its own.

    $$y_i = \Bigl(\sum_{a} x_{i s + a}^q\Bigr)^{1/q}$$

    $q$ is `norm_type`, $s$ `stride`. There is no absolute value: with an odd $q$, a negative sum has no real root. A
    window that reaches over the edge (`ceil_mode`) is scaled up as if it were whole, as in PyTorch.

    Args:
        input: $x$, of shape (N, C, L) or (C, L); floating point.
        norm_type: $q \ne 0$: 1 is the sum, 2 the root of the sum of squares, more is nearer to the largest.
        kernel_size: $k \ge 1$, one number.
        stride: $s \ge 1$, entries from one window to the next; None means `kernel_size`.
        ceil_mode: let a last window reach over the edge in place of leaving entries out.

    Returns:
        $y$, of shape (N, C, L_out) or (C, L_out).

    Raises:
        ValueError: `norm_type` is 0.
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.lp_pooling import lp_pool1d

        x = torch.tensor([[[3.0, 4.0, 0.0, 2.0]]])
        print(lp_pool1d(x, 2, kernel_size=2))
        ```

        ``` {.text .output}
        tensor([[[5., 2.]]])
        ```

    References:
        - [torch.nn.functional.lp_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool1d.html)
    """
    return _norm(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d_backward(
    grad_output: Tensor, input: Tensor, norm_type: float, kernel_size: Size,
    stride: Size | None = None, ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    r"""Vector-Jacobian product of `lp_pool1d`: entries get a share by their size.

    $$\frac{\partial y}{\partial x_j} = \Bigl(\frac{x_j}{y}\Bigr)^{q-1}$$

    for each window that holds $x_j$. Where $y$ is 0, the gradient is 0, as in PyTorch.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `lp_pool1d`.
        norm_type: as in `lp_pool1d`.
        kernel_size: as in `lp_pool1d`.
        stride: as in `lp_pool1d`.
        ceil_mode: as in `lp_pool1d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        ValueError: `norm_type` is 0.
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.lp_pooling import lp_pool1d_backward

        x = torch.tensor([[[3.0, 4.0, 0.0, 2.0]]])
        print(lp_pool1d_backward(torch.tensor([[[1.0, 1.0]]]), x, 2, kernel_size=2))
        ```

        ``` {.text .output}
        tensor([[[0.6000, 0.8000, 0.0000, 1.0000]]])
        ```

    References:
        - [torch.nn.functional.lp_pool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool1d.html)
    """
    return _norm_backward(1, grad_output, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:  # fmt: skip
    r"""Take the norm of each window, in each channel of its own.

    $$y_{i,j} = \Bigl(\sum_{a, b} x_{i s + a,\; j s + b}^q\Bigr)^{1/q}$$

    $q$ is `norm_type`, $s$ `stride`. There is no absolute value: with an odd $q$, a negative sum has no real root. A
    window that reaches over the edge (`ceil_mode`) is scaled up as if it were whole, as in PyTorch.

    Args:
        input: $x$, of shape (N, C, H, W) or (C, H, W); floating point.
        norm_type: $q \ne 0$: 1 is the sum, 2 the root of the sum of squares, more is nearer to the largest.
        kernel_size: $k \ge 1$, one number or a pair.
        stride: $s \ge 1$, entries from one window to the next; None means `kernel_size`.
        ceil_mode: let a last window reach over the edge in place of leaving entries out.

    Returns:
        $y$, of shape (N, C, H_out, W_out) or (C, H_out, W_out).

    Raises:
        ValueError: `norm_type` is 0.
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.lp_pooling import lp_pool2d

        x = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]]])
        print(lp_pool2d(x, 2, kernel_size=2))
        ```

        ``` {.text .output}
        tensor([[[[5.]]]])
        ```

    References:
        - [torch.nn.functional.lp_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool2d.html)
    """
    return _norm(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d_backward(
    grad_output: Tensor, input: Tensor, norm_type: float, kernel_size: Size,
    stride: Size | None = None, ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    r"""Vector-Jacobian product of `lp_pool2d`: entries get a share by their size.

    $$\frac{\partial y}{\partial x_j} = \Bigl(\frac{x_j}{y}\Bigr)^{q-1}$$

    for each window that holds $x_j$. Where $y$ is 0, the gradient is 0, as in PyTorch.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `lp_pool2d`.
        norm_type: as in `lp_pool2d`.
        kernel_size: as in `lp_pool2d`.
        stride: as in `lp_pool2d`.
        ceil_mode: as in `lp_pool2d`.

    Returns:
        $\frac{\partial L}{\partial x}$, of the shape of the input.

    Raises:
        ValueError: `norm_type` is 0.
        RuntimeError: a shape or an option does not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.lp_pooling import lp_pool2d_backward

        x = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]]])
        print(lp_pool2d_backward(torch.tensor([[[[1.0]]]]), x, 2, kernel_size=2))
        ```

        ``` {.text .output}
        tensor([[[[0.6000, 0.8000],
                  [0.0000, 0.0000]]]])
        ```

    References:
        - [torch.nn.functional.lp_pool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool2d.html)
    """
    return _norm_backward(2, grad_output, input, norm_type, kernel_size, stride, ceil_mode)
