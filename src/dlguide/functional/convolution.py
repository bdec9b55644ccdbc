"""Convolution of sequences and pictures, forward and backward."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._convolve import backward, forward
from dlguide.functional._spatial import Size


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Size = 1, padding: Size | str = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    r"""Slide a kernel along a sequence and take the sum of products at each place.

    $$y_{o,i} = b_o + \sum_c \sum_a w_{o,c,a}\, x_{c,\, i s + a d - p}$$

    Entries of $x$ outside the input are 0. $i$ counts places, $a$ entries of the kernel, $c$ the channels of
    one group, $o$ output channels, $s$ is `stride`, $d$ `dilation`, $p$ `padding`.

    Args:
        input: $x$, of shape (N, C_in, L) or (C_in, L); floating point.
        weight: $w$, of shape (C_out, C_in / groups, k); dtype and device of the input.
        bias: $b$, of shape (C_out,), or None.
        stride: $s \ge 1$, one number or a sequence of one.
        padding: $p \ge 0$, or `"valid"` (none), or `"same"` (stride 1: the output has the size of the input).
        dilation: $d \ge 1$, entries of the input from one entry of the kernel to the next.
        groups: parts that both channel counts are divided into; each output sees its own part of the input only.

    Returns:
        $y$, of shape (N, C_out, L_out) or (C_out, L_out), where each
        size is $\lfloor (n + 2p - d (k - 1) - 1) / s \rfloor + 1$.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.convolution import conv1d

        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
        kernel = torch.tensor([[[1.0, 0.0, -1.0]]])
        print(conv1d(x, kernel))
        ```

        ``` {.text .output}
        tensor([[[-2., -2.]]])
        ```

    References:
        - Dumoulin, Visin: A guide to convolution arithmetic for deep learning,
          [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), section 2.
        - [torch.nn.functional.conv1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html)
    """
    return forward(1, input, weight, bias, stride, padding, dilation, groups)


def conv1d_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor,
    stride: Size = 1, padding: Size | str = 0, dilation: Size = 1, groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""Vector-Jacobian product of `conv1d`: the gradients of input, weight and bias.

    With the windows of the padded input as the columns of $X$ and the kernels as the rows of $W$, the forward pass is
    $Y = W X$, and

    $$\frac{\partial L}{\partial X} = W^\top \frac{\partial L}{\partial Y}, \qquad
    \frac{\partial L}{\partial W} = \frac{\partial L}{\partial Y} X^\top$$

    Windows overlap: the columns of $\frac{\partial L}{\partial X}$ are added where they came from.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `conv1d`.
        weight: as in `conv1d`.
        stride: as in `conv1d`.
        padding: as in `conv1d`.
        dilation: as in `conv1d`.
        groups: as in `conv1d`.

    Returns:
        The gradients of input, weight and bias, each of the shape of its tensor.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.convolution import conv1d_backward

        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
        kernel = torch.tensor([[[1.0, 0.0, -1.0]]])
        grad_x, grad_kernel, grad_bias = conv1d_backward(torch.tensor([[[1.0, 10.0]]]), x, kernel)
        print(grad_x, grad_kernel, grad_bias)
        ```

        ``` {.text .output}
        tensor([[[  1.,  10.,  -1., -10.]]]) tensor([[[21., 32., 43.]]]) tensor([11.])
        ```

    References:
        - [torch.nn.grad](https://docs.pytorch.org/docs/stable/nn.html#module-torch.nn.grad)
    """
    return backward(1, grad_output, input, weight, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Size = 1, padding: Size | str = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    r"""Slide a kernel over a picture and take the sum of products at each place.

    $$y_{o,i,j} = b_o + \sum_c \sum_a \sum_e w_{o,c,a,e}\, x_{c,\, i s + a d - p,\, j s + e d - p}$$

    Entries of $x$ outside the input are 0. $i$ and $j$ count places, $a$ and $e$ entries of the kernel, $c$ the
    channels of one group, $o$ output channels, $s$ is `stride`, $d$ `dilation`, $p$ `padding`. A pair of options gives
    the rows their number first, then the columns.

    Args:
        input: $x$, of shape (N, C_in, H, W) or (C_in, H, W); floating point.
        weight: $w$, of shape (C_out, C_in / groups, k_H, k_W); dtype and device of the input.
        bias: $b$, of shape (C_out,), or None.
        stride: $s \ge 1$, one number or a pair.
        padding: $p \ge 0$, or `"valid"` (none), or `"same"` (stride 1: the output has the size of the input).
        dilation: $d \ge 1$, entries of the input from one entry of the kernel to the next.
        groups: parts that both channel counts are divided into; each output sees its own part of the input only.

    Returns:
        $y$, of shape (N, C_out, H_out, W_out) or (C_out, H_out, W_out), where each
        size is $\lfloor (n + 2p - d (k - 1) - 1) / s \rfloor + 1$.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.convolution import conv2d

        picture = torch.arange(9.0).reshape(1, 1, 3, 3)
        mean = torch.full((1, 1, 2, 2), 0.25)
        print(conv2d(picture, mean))
        ```

        ``` {.text .output}
        tensor([[[[2., 3.],
                  [5., 6.]]]])
        ```

    References:
        - Dumoulin, Visin: A guide to convolution arithmetic for deep learning,
          [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), section 2.
        - [torch.nn.functional.conv2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html)
    """
    return forward(2, input, weight, bias, stride, padding, dilation, groups)


def conv2d_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor,
    stride: Size = 1, padding: Size | str = 0, dilation: Size = 1, groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""Vector-Jacobian product of `conv2d`: the gradients of input, weight and bias.

    With the windows of the padded input as the columns of $X$ and the kernels as the rows of $W$, the forward pass is
    $Y = W X$, and

    $$\frac{\partial L}{\partial X} = W^\top \frac{\partial L}{\partial Y}, \qquad
    \frac{\partial L}{\partial W} = \frac{\partial L}{\partial Y} X^\top$$

    Windows overlap: the columns of $\frac{\partial L}{\partial X}$ are added where they came from.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `conv2d`.
        weight: as in `conv2d`.
        stride: as in `conv2d`.
        padding: as in `conv2d`.
        dilation: as in `conv2d`.
        groups: as in `conv2d`.

    Returns:
        The gradients of input, weight and bias, each of the shape of its tensor.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.convolution import conv2d_backward

        picture = torch.arange(9.0).reshape(1, 1, 3, 3)
        mean = torch.full((1, 1, 2, 2), 0.25)
        grad_picture, _, _ = conv2d_backward(torch.ones(1, 1, 2, 2), picture, mean)
        print(grad_picture)  # the middle is in four windows
        ```

        ``` {.text .output}
        tensor([[[[0.2500, 0.5000, 0.2500],
                  [0.5000, 1.0000, 0.5000],
                  [0.2500, 0.5000, 0.2500]]]])
        ```

    References:
        - [torch.nn.grad](https://docs.pytorch.org/docs/stable/nn.html#module-torch.nn.grad)
    """
    return backward(2, grad_output, input, weight, stride, padding, dilation, groups)
