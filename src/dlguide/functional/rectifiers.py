"""The activations that treat positive and negative numbers differently: ReLU, leaky ReLU and PReLU."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional import _activations as _f


def relu(input: Tensor) -> Tensor:
    r"""Keep the positive numbers, set the others to 0.

    $$\operatorname{ReLU}(x) = \max(0, x)$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`, entries of at least 0.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import relu

        print(relu(torch.tensor([-2.0, 0.0, 3.0])))
        ```

        ``` {.text .output}
        tensor([0., 0., 3.])
        ```

    References:
        - Nair, Hinton: [Rectified Linear Units Improve Restricted Boltzmann
          Machines](https://icml.cc/Conferences/2010/papers/432.pdf), 2010.
        - [torch.nn.ReLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html)
    """
    return _f.relu(input)


def relu_derivative(input: Tensor) -> Tensor:
    r"""Give the slope of the ReLU: 1 for positive numbers, else 0.

    At 0 there is a corner and no slope; this function takes 0, as PyTorch does.

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import relu_derivative

        print(relu_derivative(torch.tensor([-2.0, 0.0, 3.0])))
        ```

        ``` {.text .output}
        tensor([0., 0., 1.])
        ```
    """
    return _f.relu_derivative(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    r"""Keep the positive numbers, shrink the others.

    $$f(x) = x \text{ if } x > 0, \qquad f(x) = a x \text{ otherwise}$$

    Args:
        input: $x$, any shape, floating point.
        negative_slope: $a$, the slope for numbers below 0.

    Returns:
        A tensor with the shape and dtype of `input`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import leaky_relu

        print(leaky_relu(torch.tensor([-2.0, 0.0, 3.0])))
        ```

        ``` {.text .output}
        tensor([-0.0200,  0.0000,  3.0000])
        ```

    References:
        - Maas, Hannun, Ng: [Rectifier Nonlinearities Improve Neural Network Acoustic
          Models](https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf), 2013.
        - [torch.nn.LeakyReLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html)
    """
    return _f.leaky_relu(input, negative_slope)


def leaky_relu_derivative(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    r"""Give the slope of the leaky ReLU: 1 for positive numbers, else the small slope.

    At 0 it takes the small slope, as PyTorch does.

    Args:
        input: $x$, any shape, floating point.
        negative_slope: $a$, the slope for numbers below 0.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import leaky_relu_derivative

        print(leaky_relu_derivative(torch.tensor([-2.0, 0.0, 3.0])))
        ```

        ``` {.text .output}
        tensor([0.0100, 0.0100, 1.0000])
        ```
    """
    return _f.leaky_relu_derivative(input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    r"""Leaky ReLU whose slopes are learned.

    $$f(x) = x \text{ if } x > 0, \qquad f(x) = a x \text{ otherwise}$$

    Args:
        input: $x$, shape (N, C, ...) or any shape if there is one weight; floating point.
        weight: $a$, shape (1,) for all or (C,) for one slope per channel; the dtype of `input`.

    Returns:
        A tensor with the shape and dtype of `input`.

    Raises:
        RuntimeError: the number of weights is neither 1 nor the number of channels.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import prelu

        print(prelu(torch.tensor([[-2.0, -2.0]]), torch.tensor([0.1, 0.5])))
        ```

        ``` {.text .output}
        tensor([[-0.2000, -1.0000]])
        ```

    References:
        - He et al.: Delving Deep into Rectifiers, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852), equation 1.
        - [torch.nn.PReLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.PReLU.html)
    """
    _expect_weight(input, weight)
    return _f.prelu(input, weight)


def prelu_derivative(input: Tensor, weight: Tensor) -> Tensor:
    r"""Give the slope of PReLU with respect to its input.

    It is 1 for positive numbers, else $a$ of the channel.

    Args:
        input: $x$, shape (N, C, ...) or any shape if there is one weight; floating point.
        weight: $a$, shape (1,) for all or (C,) for one slope per channel; the dtype of `input`.

    Returns:
        A tensor with the shape and dtype of `input`.

    Raises:
        RuntimeError: the number of weights is neither 1 nor the number of channels.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import prelu_derivative

        print(prelu_derivative(torch.tensor([[-2.0, 2.0]]), torch.tensor([0.1, 0.5])))
        ```

        ``` {.text .output}
        tensor([[0.1000, 1.0000]])
        ```
    """
    _expect_weight(input, weight)
    return _f.prelu_derivative(input, weight)


def prelu_backward(grad_output: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    r"""Pass a gradient back through PReLU, to the input and to the slopes.

    With $g$ for `grad_output`, the gradient of the input is $g\, f'(x)$. A slope $a$ touches every negative entry of
    its channel, so its gradient is a sum:

    $$\frac{\partial L}{\partial a} = \sum_{x \le 0} g\, x$$

    Args:
        grad_output: $g$, the gradient of the loss with respect to the output; shape of `input`.
        input: $x$, shape (N, C, ...) or any shape if there is one weight; floating point.
        weight: $a$, shape (1,) for all or (C,) for one slope per channel; the dtype of `input`.

    Returns:
        The gradients of `input` and of `weight`, each in its shape.

    Raises:
        RuntimeError: the number of weights is neither 1 nor the number of channels.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import prelu_backward

        dx, da = prelu_backward(torch.ones(1, 2), torch.tensor([[-2.0, 3.0]]), torch.tensor([0.1]))
        print(dx, da)
        ```

        ``` {.text .output}
        tensor([[0.1000, 1.0000]]) tensor([-2.])
        ```
    """
    _expect_weight(input, weight)
    return _f.prelu_backward(grad_output, input, weight)


def _expect_weight(input: Tensor, weight: Tensor) -> None:
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise RuntimeError(
            f"expected one slope, or one for each of the {channels} channels of input, got weight of shape"
            f" {tuple(weight.shape)}: give it shape (1,) or ({channels},)"
        )
