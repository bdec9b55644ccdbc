"""Transposed convolution: each input number spreads a copy of the kernel; copies add up."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._convolve import transposed_backward, transposed_forward
from dlguide.functional._spatial import Size


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Size = 0, output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Tensor:  # fmt: skip
    r"""Spread each number of a sequence over the output, weighted by the kernel, and add up.

    $$y_{o,j} = b_o + \sum_c \sum_{i s + a d - p = j} w_{c,o,a}\, x_{c,i}$$

    This is the transpose of the convolution with the same weight and options: it computes what the gradient of that
    convolution's input is. It is not its inverse. $s$ is `stride`, $d$ `dilation`, $p$ `padding`.

    Args:
        input: $x$, of shape (N, C_in, L) or (C_in, L); floating point.
        weight: $w$, of shape (C_in, C_out / groups, k): input channels come first; dtype and
            device of the input.
        bias: $b$, of shape (C_out,), or None.
        stride: $s \ge 1$, entries of the output from one input entry to the next.
        padding: $p \ge 0$, entries cut off on each side of the output.
        output_padding: $u \ge 0$, below stride or dilation: entries more at the end of the output.
        groups: parts that both channel counts are divided into.
        dilation: $d \ge 1$, entries of the output from one entry of the kernel to the next.

    Returns:
        $y$, of shape (N, C_out, L_out) or (C_out, L_out), where each
        size is $(n - 1) s - 2p + d (k - 1) + u + 1$.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.transposed_convolution import conv_transpose1d

        x = torch.tensor([[[1.0, 10.0]]])
        kernel = torch.tensor([[[1.0, 2.0, 3.0]]])
        print(conv_transpose1d(x, kernel))  # 1 2 3 and, one place on, 10 20 30
        ```

        ``` {.text .output}
        tensor([[[ 1., 12., 23., 30.]]])
        ```

    References:
        - Dumoulin, Visin: A guide to convolution arithmetic for deep learning,
          [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), section 4.
        - [torch.nn.functional.conv_transpose1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html)
    """
    return transposed_forward(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose1d_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, stride: Size = 1,
    padding: Size = 0, output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""Vector-Jacobian product of `conv_transpose1d`: the gradients of input, weight and bias.

    The transpose of a transpose is the matrix itself: the gradient of the input is a convolution of `grad_output`.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `conv_transpose1d`.
        weight: as in `conv_transpose1d`.
        stride: as in `conv_transpose1d`.
        padding: as in `conv_transpose1d`.
        output_padding: as in `conv_transpose1d`.
        groups: as in `conv_transpose1d`.
        dilation: as in `conv_transpose1d`.

    Returns:
        The gradients of input, weight and bias, each of the shape of its tensor.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.transposed_convolution import conv_transpose1d_backward

        x = torch.tensor([[[1.0, 10.0]]])
        kernel = torch.tensor([[[1.0, 2.0, 3.0]]])
        grad_x, grad_kernel, _ = conv_transpose1d_backward(torch.ones(1, 1, 4), x, kernel)
        print(grad_x, grad_kernel)
        ```

        ``` {.text .output}
        tensor([[[6., 6.]]]) tensor([[[11., 11., 11.]]])
        ```

    References:
        - [torch.nn.functional.conv_transpose1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html)
    """
    return transposed_backward(1, grad_output, input, weight, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Size = 0, output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Tensor:  # fmt: skip
    r"""Spread each pixel over the output, weighted by the kernel, and add up.

    $$y_{o,j,l} = b_o + \sum_c \sum_{i s + a d - p = j} \sum_{m s + e d - p = l} w_{c,o,a,e}\, x_{c,i,m}$$

    This is the transpose of the convolution with the same weight and options: it computes what the gradient of that
    convolution's input is. It is not its inverse. $s$ is `stride`, $d$ `dilation`, $p$ `padding`.

    Args:
        input: $x$, of shape (N, C_in, H, W) or (C_in, H, W); floating point.
        weight: $w$, of shape (C_in, C_out / groups, k_H, k_W): input channels come first; dtype and
            device of the input.
        bias: $b$, of shape (C_out,), or None.
        stride: $s \ge 1$, entries of the output from one input entry to the next.
        padding: $p \ge 0$, entries cut off on each side of the output.
        output_padding: $u \ge 0$, below stride or dilation: entries more at the end of the output.
        groups: parts that both channel counts are divided into.
        dilation: $d \ge 1$, entries of the output from one entry of the kernel to the next.

    Returns:
        $y$, of shape (N, C_out, H_out, W_out) or (C_out, H_out, W_out), where each
        size is $(n - 1) s - 2p + d (k - 1) + u + 1$.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.transposed_convolution import conv_transpose2d

        x = torch.tensor([[[[1.0, 2.0]]]])
        print(conv_transpose2d(x, torch.ones(1, 1, 2, 2), stride=2))
        ```

        ``` {.text .output}
        tensor([[[[1., 1., 2., 2.],
                  [1., 1., 2., 2.]]]])
        ```

    References:
        - Dumoulin, Visin: A guide to convolution arithmetic for deep learning,
          [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), section 4.
        - [torch.nn.functional.conv_transpose2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html)
    """
    return transposed_forward(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, stride: Size = 1,
    padding: Size = 0, output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""Vector-Jacobian product of `conv_transpose2d`: the gradients of input, weight and bias.

    The transpose of a transpose is the matrix itself: the gradient of the input is a convolution of `grad_output`.

    Args:
        grad_output: $\frac{\partial L}{\partial y}$, of the shape of the output.
        input: as in `conv_transpose2d`.
        weight: as in `conv_transpose2d`.
        stride: as in `conv_transpose2d`.
        padding: as in `conv_transpose2d`.
        output_padding: as in `conv_transpose2d`.
        groups: as in `conv_transpose2d`.
        dilation: as in `conv_transpose2d`.

    Returns:
        The gradients of input, weight and bias, each of the shape of its tensor.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.transposed_convolution import conv_transpose2d_backward

        x = torch.tensor([[[[1.0, 2.0]]]])
        grad_x, _, _ = conv_transpose2d_backward(torch.ones(1, 1, 2, 4), x, torch.ones(1, 1, 2, 2), stride=2)
        print(grad_x)
        ```

        ``` {.text .output}
        tensor([[[[4., 4.]]]])
        ```

    References:
        - [torch.nn.functional.conv_transpose2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html)
    """
    return transposed_backward(2, grad_output, input, weight, stride, padding, output_padding, groups, dilation)
