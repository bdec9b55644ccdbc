"""The smooth relatives of the ReLU: GELU, SiLU and Mish, each beside its derivative."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional import _activations as _f


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    r"""Weigh each number by the probability that a normal one is smaller.

    With the distribution function $\Phi$ of the standard normal distribution, and its approximation by tanh:

    $$f(x) = x\, \Phi(x) = \frac{x}{2} \left(1 + \operatorname{erf} \frac{x}{\sqrt{2}}\right) \approx \frac{x}{2}
    \left(1 + \tanh\left(\sqrt{2 / \pi}\, (x + 0.044715\, x^3)\right)\right)$$

    Args:
        input: $x$, any shape, floating point.
        approximate: `"none"` for the exact function, `"tanh"` for the cheaper formula.

    Returns:
        A tensor with the shape and dtype of `input`.

    Raises:
        RuntimeError: `approximate` is neither `"none"` nor `"tanh"`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import gelu

        x = torch.tensor([-2.0, 0.0, 2.0])
        print(gelu(x), gelu(x, approximate="tanh"))
        ```

        ``` {.text .output}
        tensor([-0.0455,  0.0000,  1.9545]) tensor([-0.0454,  0.0000,  1.9546])
        ```

    References:
        - Hendrycks, Gimpel: Gaussian Error Linear Units, [arXiv:1606.08415](https://arxiv.org/abs/1606.08415), section
          2.
        - [torch.nn.GELU](https://docs.pytorch.org/docs/stable/generated/torch.nn.GELU.html)
    """
    _expect_approximate(approximate)
    return _f.gelu(input, approximate)


def gelu_derivative(input: Tensor, approximate: str = "none") -> Tensor:
    r"""Give the slope of GELU.

    With the density $\varphi(x) = e^{-x^2/2} / \sqrt{2 \pi}$:

    $$f'(x) = \Phi(x) + x\, \varphi(x)$$

    With `approximate="tanh"` it is the slope of that formula.

    Args:
        input: $x$, any shape, floating point.
        approximate: `"none"` for the exact function, `"tanh"` for the cheaper formula.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Raises:
        RuntimeError: `approximate` is neither `"none"` nor `"tanh"`.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import gelu_derivative

        print(gelu_derivative(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-0.0852,  0.5000,  1.0852])
        ```
    """
    _expect_approximate(approximate)
    return _f.gelu_derivative(input, approximate)


def silu(input: Tensor) -> Tensor:
    r"""Weigh each number by its own sigmoid (SiLU, also called Swish).

    $$f(x) = x\, \sigma(x)$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`, entries of at least -0.2785.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import silu

        print(silu(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-0.2384,  0.0000,  1.7616])
        ```

    References:
        - Ramachandran, Zoph, Le: Searching for Activation Functions,
          [arXiv:1710.05941](https://arxiv.org/abs/1710.05941).
        - [torch.nn.SiLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.SiLU.html)
    """
    return _f.silu(input)


def silu_derivative(input: Tensor) -> Tensor:
    r"""Give the slope of SiLU.

    $$f'(x) = \sigma(x) + x\, \sigma'(x)$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import silu_derivative

        print(silu_derivative(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-0.0908,  0.5000,  1.0908])
        ```
    """
    return _f.silu_derivative(input)


def mish(input: Tensor) -> Tensor:
    r"""Weigh each number by the tanh of its softplus.

    $$f(x) = x \tanh(\ln(1 + e^x))$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`, entries of at least -0.3089.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import mish

        print(mish(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-0.2525,  0.0000,  1.9440])
        ```

    References:
        - Misra: Mish: A Self Regularized Non-Monotonic Activation Function,
          [arXiv:1908.08681](https://arxiv.org/abs/1908.08681), equation 1.
        - [torch.nn.Mish](https://docs.pytorch.org/docs/stable/generated/torch.nn.Mish.html)
    """
    return _f.mish(input)


def mish_derivative(input: Tensor) -> Tensor:
    r"""Give the slope of Mish.

    With the softplus $s(x) = \ln(1 + e^x)$, whose slope is the sigmoid:

    $$f'(x) = \tanh s(x) + x\, \tanh'(s(x))\, \sigma(x)$$

    Args:
        input: $x$, any shape, floating point.

    Returns:
        A tensor with the shape and dtype of `input`: $f'(x)$ for each entry.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import mish_derivative

        print(mish_derivative(torch.tensor([-2.0, 0.0, 2.0])))
        ```

        ``` {.text .output}
        tensor([-0.1084,  0.6000,  1.0693])
        ```
    """
    return _f.mish_derivative(input)


def _expect_approximate(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f'expected approximate to be "none" or "tanh", got {approximate!r}: choose one')
