"""Softmax and its logarithm, each with its vector-Jacobian product."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional import _activations as _f


def softmax(input: Tensor, dim: int) -> Tensor:
    r"""Turn scores into probabilities along one dimension.

    $$p_i = \frac{e^{x_i}}{\sum_k e^{x_k}}$$

    The largest score is subtracted first; this changes no probability, and no exponential overflows.

    Args:
        input: $x$, any shape, floating point.
        dim: the dimension along which the results sum to 1.

    Returns:
        A tensor with the shape and dtype of `input`, entries from 0 to 1; nan where all scores are minus infinity, as
        in PyTorch.

    Raises:
        IndexError: `input` has no dimension `dim`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import softmax

        print(softmax(torch.tensor([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]]), dim=1))
        ```

        ``` {.text .output}
        tensor([[0.0900, 0.2447, 0.6652],
                [1.0000, 0.0000, 0.0000]])
        ```

    References:
        - [torch.nn.Softmax](https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html)
    """
    _expect_dim(input, dim)
    return _f.softmax(input, dim)


def softmax_backward(grad_output: Tensor, input: Tensor, dim: int) -> tuple[Tensor]:
    r"""Pass a gradient back through softmax.

    $$\frac{\partial L}{\partial x_i} = p_i \left(g_i - \sum_k g_k\, p_k\right)$$

    Args:
        grad_output: $g$, the gradient of the loss with respect to the output; shape of `input`.
        input: $x$, any shape, floating point.
        dim: the dimension along which the results sum to 1.

    Returns:
        A tuple with one tensor: the gradient of `input`, in its shape.

    Raises:
        IndexError: `input` has no dimension `dim`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import softmax_backward

        x = torch.tensor([1.0, 2.0, 3.0])
        print(softmax_backward(torch.tensor([1.0, 0.0, 0.0]), x, dim=0)[0])
        ```

        ``` {.text .output}
        tensor([ 0.0819, -0.0220, -0.0599])
        ```
    """
    _expect_dim(input, dim)
    return _f.softmax_backward(grad_output, input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    r"""Give the logarithms of the softmax, without taking the logarithm of 0.

    $$\ln p_i = x_i - \ln \sum_k e^{x_k}$$

    Args:
        input: $x$, any shape, floating point.
        dim: the dimension along which the results sum to 1.

    Returns:
        A tensor with the shape and dtype of `input`, entries of at most 0.

    Raises:
        IndexError: `input` has no dimension `dim`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import log_softmax

        print(log_softmax(torch.tensor([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]]), dim=1))
        ```

        ``` {.text .output}
        tensor([[-2.4076e+00, -1.4076e+00, -4.0761e-01],
                [ 0.0000e+00, -1.0000e+03, -1.0000e+03]])
        ```

    References:
        - [torch.nn.LogSoftmax](https://docs.pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html)
    """
    _expect_dim(input, dim)
    return _f.log_softmax(input, dim)


def log_softmax_backward(grad_output: Tensor, input: Tensor, dim: int) -> tuple[Tensor]:
    r"""Pass a gradient back through log-softmax.

    $$\frac{\partial L}{\partial x_i} = g_i - p_i \sum_k g_k$$

    Args:
        grad_output: $g$, the gradient of the loss with respect to the output; shape of `input`.
        input: $x$, any shape, floating point.
        dim: the dimension along which the results sum to 1.

    Returns:
        A tuple with one tensor: the gradient of `input`, in its shape.

    Raises:
        IndexError: `input` has no dimension `dim`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import log_softmax_backward

        x = torch.tensor([1.0, 2.0, 3.0])
        print(log_softmax_backward(torch.tensor([-1.0, 0.0, 0.0]), x, dim=0)[0])
        ```

        ``` {.text .output}
        tensor([-0.9100,  0.2447,  0.6652])
        ```
    """
    _expect_dim(input, dim)
    return _f.log_softmax_backward(grad_output, input, dim)


def _expect_dim(input: Tensor, dim: int) -> None:
    count = max(input.ndim, 1)  # PyTorch lets a single number have the dimension 0
    if not -count <= dim < count:
        raise IndexError(f"expected dim from {-count} to {count - 1} for input of {input.ndim} dimensions, got {dim}")
