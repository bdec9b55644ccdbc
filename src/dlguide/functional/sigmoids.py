"""Sigmoid, tanh and softplus, each beside its derivative."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional import _activations as _f


def sigmoid(input: Tensor) -> Tensor:
    r"""Squash each number into the interval from 0 to 1.

    $$\sigma(x) = \frac{1}{1 + e^{-x}}$$

    Computed from $e^{\min(x, 0)}$ and $e^{-\max(x, 0)}$, which are at most 1, so that nothing overflows.

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`, entries from 0 to 1.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import sigmoid

        print(sigmoid(torch.tensor([-1000.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([0.0000, 0.5000, 0.8808])
        ```

    References:
        - [torch.nn.Sigmoid](https://docs.pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html)
    """
    return _f.sigmoid(input)


def sigmoid_derivative(input: Tensor) -> Tensor:
    r"""Give the slope of the sigmoid, at most a quarter.

    $$\sigma'(x) = \sigma(x)\,(1 - \sigma(x)) = \sigma(x)\, \sigma(-x)$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import sigmoid_derivative

        print(sigmoid_derivative(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([0.1050, 0.2500, 0.1050])
        ```
    """
    return _f.sigmoid_derivative(input)


def tanh(input: Tensor) -> Tensor:
    r"""Squash each number into the interval from -1 to 1.

    $$\tanh(x) = \frac{e^x - e^{-x}}{e^x + e^{-x}} = 2\,\sigma(2x) - 1$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`, entries from -1 to 1.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import tanh

        print(tanh(torch.tensor([-1000.0, 0.0, 0.5])))
        ```

        ``` {.text .output}
        tensor([-1.0000,  0.0000,  0.4621])
        ```

    References:
        - [torch.nn.Tanh](https://docs.pytorch.org/docs/stable/generated/torch.nn.Tanh.html)
    """
    return _f.tanh(input)


def tanh_derivative(input: Tensor) -> Tensor:
    r"""Give the slope of the hyperbolic tangent, at most 1.

    $$\tanh'(x) = 1 - \tanh^2(x) = 4\,\sigma'(2x)$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import tanh_derivative

        print(tanh_derivative(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([0.0707, 1.0000, 0.0707])
        ```
    """
    return _f.tanh_derivative(input)


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    r"""Bend the ReLU smoothly.

    $$f(x) = \frac{1}{\beta} \ln(1 + e^{\beta x})$$

    Args:
        input: $x$, any shape, floating point.
        beta: $\beta$; the larger, the sharper the bend at 0. Not 0.
        threshold: where $\beta x$ is larger, the result is $x$ itself.

    Returns:
        A tensor with the shape and dtype of `input`, entries of at least 0 if `beta` is positive.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import softplus

        print(softplus(torch.tensor([-2.0, 0.0, 30.0])))
        ```

        ``` {.text .output}
        tensor([ 0.1269,  0.6931, 30.0000])
        ```

    References:
        - [torch.nn.Softplus](https://docs.pytorch.org/docs/stable/generated/torch.nn.Softplus.html)
    """
    return _f.softplus(input, beta, threshold)


def softplus_derivative(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    r"""Give the slope of softplus, which is a sigmoid.

    $$f'(x) = \sigma(\beta x)$$

    It is 1 where $\beta x$ is above the threshold.

    Args:
        input: $x$, any shape, floating point.
        beta: $\beta$; the larger, the sharper the bend at 0. Not 0.
        threshold: where $\beta x$ is larger, the result is $x$ itself.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import softplus_derivative

        print(softplus_derivative(torch.tensor([-2.0, 0.0, 30.0])))
        ```

        ``` {.text .output}
        tensor([0.1192, 0.5000, 1.0000])
        ```
    """
    return _f.softplus_derivative(input, beta, threshold)
