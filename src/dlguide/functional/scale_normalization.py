r"""Normalizations that only divide: RMS norm and local response norm, with their backward passes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from dlguide.functional._standardize import affine, check_input, check_normalized_shape, check_parameter


# --8<-- [start:rms-norm]
def _divide_by_rms(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    return x / torch.sqrt((x**2).mean(axes, keepdim=True) + eps)
# --8<-- [end:rms-norm]


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    r"""Divide by the root of the mean square over the last dimensions.

    $$y = \gamma \odot \frac{x}{\sqrt{\frac{1}{m} \sum_j x_j^2 + \varepsilon}}$$

    A layer norm that takes no mean away and adds no bias.

    Args:
        input: $x$ of shape `[..., *normalized_shape]`, floating point.
        normalized_shape: the last sizes of the input, at least one.
        weight: $\gamma$ of shape `normalized_shape`, or None for 1.
        eps: $\varepsilon \ge 0$; None is the distance from 1 to the next number of the dtype, about 1.2e-7 in float32.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        RuntimeError: the last sizes of the input are others, or the weight has another shape or dtype.
        NotImplementedError: the input holds integers.
        TypeError: `normalized_shape` is a number.

    Example:
        ```python
        import torch
        from dlguide.functional.scale_normalization import rms_norm

        print(rms_norm(torch.tensor([3.0, 4.0, 0.0, 0.0]), [4]))  # the mean square is 25 / 4
        ```

        ``` {.text .output}
        tensor([1.2000, 1.6000, 0.0000, 0.0000])
        ```

    References:
        - Zhang, Sennrich: Root Mean Square Layer Normalization, [arXiv:1910.07467](https://arxiv.org/abs/1910.07467),
          equation 4.
        - [torch.nn.RMSNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html)
    """
    check_input(input)
    axes = check_normalized_shape(input, normalized_shape)
    check_parameter("weight", weight, normalized_shape, input)
    return affine(_divide_by_rms(input, axes, _eps(input, eps)), weight, None)


def rms_norm_backward(
    grad_output: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return the gradients of an RMS norm.

    With $g = \partial L / \partial y$, $\hat g = \gamma \odot g$, $\rho = \sqrt{\overline{x^2} + \varepsilon}$ and
    $\hat x = x / \rho$,

    $$\frac{\partial L}{\partial x} = \frac{1}{\rho} \left( \hat g - \hat x\, \overline{\hat g \odot \hat x} \right)$$

    Args:
        grad_output: $g$, shape of the input.
        input: $x$ of shape `[..., *normalized_shape]`.
        normalized_shape: the last sizes of the input.
        weight: $\gamma$ of shape `normalized_shape`, or None for 1.
        eps: $\varepsilon$ of the forward pass.

    Returns:
        The gradients of input and weight; the second of shape `normalized_shape`, also where the weight is 1.

    Raises:
        RuntimeError: as [rms_norm][dlguide.functional.scale_normalization.rms_norm].

    Example:
        ```python
        import torch
        from dlguide.functional.scale_normalization import rms_norm_backward

        x = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
        print(rms_norm_backward(torch.ones(1, 4), x, [4])[0])
        ```

        ``` {.text .output}
        tensor([[ 0.0640, -0.0480,  0.4000,  0.4000]])
        ```

    References:
        - [torch.nn.RMSNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html)
    """
    check_input(input)
    axes = check_normalized_shape(input, normalized_shape)
    check_parameter("weight", weight, normalized_shape, input)
    eps = _eps(input, eps)
    rms = torch.sqrt((input**2).mean(axes, keepdim=True) + eps)
    x_hat, grad_hat = input / rms, affine(grad_output, weight, None)
    grad_input = (grad_hat - x_hat * (grad_hat * x_hat).mean(axes, keepdim=True)) / rms
    others = tuple(range(input.dim() - len(axes)))
    grad_weight = grad_output * x_hat
    return grad_input, grad_weight.sum(others) if others else grad_weight


# --8<-- [start:local-response]
def _window_sum(x: Tensor, before: int, after: int) -> Tensor:
    """Sum each channel with `before` channels in front of it and `after` behind it."""
    ends = [0, 0] * (x.dim() - 2) + [before, after]  # pad counts from the last axis
    return pad(x, ends).unfold(1, before + 1 + after, 1).sum(-1)


def _local_base(x: Tensor, size: int, alpha: float, k: float) -> Tensor:
    squares = _window_sum(x**2, size // 2, (size - 1) // 2)
    return k + alpha / size * squares
# --8<-- [end:local-response]


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    r"""Divide each number by a power of the mean square of the neighbouring channels at its position.

    $$y_c = x_c \left( k + \frac{\alpha}{n} \sum_{j = \max(1,\, c - \lfloor n/2 \rfloor)}^{\min(C,\, c + \lfloor
    (n-1)/2 \rfloor)} x_j^2 \right)^{-\beta}$$

    Args:
        input: $x$ of shape `[N, C, ...]` with at least one dimension of positions, floating point.
        size: $n \ge 1$, the channels in a window; an even window reaches one further to the front.
        alpha: $\alpha$; PyTorch divides it by $n$, the paper does not.
        beta: $\beta$, the power.
        k: $k$, the number that the sum is added to.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        ValueError: the input has fewer than three dimensions.
        RuntimeError: the window is empty.
        NotImplementedError: the input holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.scale_normalization import local_response_norm

        x = torch.tensor([[[1.0], [2.0], [3.0]]])  # three channels, one position
        print(local_response_norm(x, 3, alpha=3.0, beta=1.0, k=0.0).flatten())  # 1/5, 2/14, 3/13
        ```

        ``` {.text .output}
        tensor([0.2000, 0.1429, 0.2308])
        ```

    References:
        - Krizhevsky, Sutskever, Hinton: [ImageNet Classification with Deep Convolutional Neural Networks](
          https://proceedings.neurips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html), section 3.3.
        - [torch.nn.LocalResponseNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html)
    """
    _check_local(input, size)
    return input / _local_base(input, size, alpha, k) ** beta


def local_response_norm_backward(
    grad_output: Tensor, input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    r"""Return the gradient of a local response norm with respect to its input.

    With $d_c$ for the bracket, $y_c = x_c d_c^{-\beta}$, and $c$ running over the channels whose window holds $j$,

    $$\frac{\partial L}{\partial x_j} = g_j\, d_j^{-\beta} - \frac{2 \alpha \beta}{n}\, x_j \sum_{c} g_c\, x_c\,
    d_c^{-\beta - 1}$$

    Args:
        grad_output: $g = \partial L / \partial y$, shape of the input.
        input: $x$ of shape `[N, C, ...]`.
        size: $n$ of the forward pass.
        alpha: $\alpha$ of the forward pass.
        beta: $\beta$ of the forward pass.
        k: $k$ of the forward pass.

    Returns:
        The gradient, shape of the input.

    Raises:
        ValueError: the input has fewer than three dimensions.
        RuntimeError: the window is empty.

    Example:
        ```python
        import torch
        from dlguide.functional.scale_normalization import local_response_norm_backward

        x = torch.tensor([[[1.0], [2.0]]])
        print(local_response_norm_backward(torch.ones(1, 2, 1), x, 1, alpha=1.0, beta=1.0, k=1.0).flatten())
        ```

        ``` {.text .output}
        tensor([ 0.0000, -0.1200])
        ```

    References:
        - [torch.nn.LocalResponseNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html)
    """
    _check_local(input, size)
    base = _local_base(input, size, alpha, k)
    passed_on = _window_sum(grad_output * input * base ** (-beta - 1), (size - 1) // 2, size // 2)  # mirrored window
    return grad_output * base**-beta - 2 * alpha * beta / size * input * passed_on


def _eps(input: Tensor, eps: float | None) -> float:
    return torch.finfo(torch.promote_types(input.dtype, torch.float32)).eps if eps is None else eps


def _check_local(input: Tensor, size: int) -> None:
    check_input(input)
    if input.dim() < 3:
        raise ValueError(
            f"expected an input of shape [N, C, ...] with 3 dimensions or more, got {list(input.shape)}: use"
            " input.unsqueeze(-1) for one position"
        )
    if size < 1:
        raise RuntimeError(f"expected a window of size 1 or more channels, got {size}: 5 is usual")
