"""The exponential linear units: a line on the right, an exponential on the left."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional import _activations as _f


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Keep the positive numbers, let the others level off at $-\alpha$.

    $$f(x) = x \text{ if } x > 0, \qquad f(x) = \alpha\,(e^x - 1) \text{ otherwise}$$

    Args:
        input: $x$, any shape, floating point.
        alpha: $\alpha$; the function tends to $-\alpha$ far on the left.

    Returns:
        A tensor with the shape and dtype of `input`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import elu

        print(elu(torch.tensor([-100.0, -1.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-1.0000, -0.6321,  2.0000])
        ```

    References:
        - Clevert, Unterthiner, Hochreiter: Fast and Accurate Deep Network Learning by Exponential Linear Units,
          [arXiv:1511.07289](https://arxiv.org/abs/1511.07289), equation 15.
        - [torch.nn.ELU](https://docs.pytorch.org/docs/stable/generated/torch.nn.ELU.html)
    """
    return _f.elu(input, alpha)


def elu_derivative(input: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Give the slope of ELU.

    $$f'(x) = 1 \text{ if } x > 0, \qquad f'(x) = \alpha e^x \text{ otherwise}$$

    Args:
        input: $x$, any shape, floating point.
        alpha: $\alpha$; the function tends to $-\alpha$ far on the left.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import elu_derivative

        print(elu_derivative(torch.tensor([-100.0, -1.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([3.7835e-44, 3.6788e-01, 1.0000e+00])
        ```
    """
    return _f.elu_derivative(input, alpha)


def selu(input: Tensor) -> Tensor:
    r"""ELU with the two constants that keep mean 0 and variance 1.

    $$f(x) = \lambda\, x \text{ if } x > 0, \qquad f(x) = \lambda \alpha\,(e^x - 1) \text{ otherwise}$$

    with $\alpha = 1.6733$ and $\lambda = 1.0507$, rounded: for $x$ from a normal distribution of mean 0 and variance 1,
    the result has mean 0 and variance 1 again.

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import selu

        print(selu(torch.tensor([-100.0, -1.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-1.7581, -1.1113,  2.1014])
        ```

    References:
        - Klambauer et al.: Self-Normalizing Neural Networks, [arXiv:1706.02515](https://arxiv.org/abs/1706.02515),
          equation 2.
        - [torch.nn.SELU](https://docs.pytorch.org/docs/stable/generated/torch.nn.SELU.html)
    """
    return _f.selu(input)


def selu_derivative(input: Tensor) -> Tensor:
    r"""Give the slope of SELU.

    It is $\lambda$ for positive numbers, else $\lambda \alpha e^x$.

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import selu_derivative

        print(selu_derivative(torch.tensor([-100.0, -1.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([6.5861e-44, 6.4677e-01, 1.0507e+00])
        ```
    """
    return _f.selu_derivative(input)
