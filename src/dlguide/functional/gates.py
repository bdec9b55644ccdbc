"""Products in which one tensor gates another: GLU and SwiGLU."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional import _activations as _f


def glu(input: Tensor, dim: int = -1) -> Tensor:
    r"""Let the sigmoid of one half of the input gate the other half.

    $$f(a, b) = a \odot \sigma(b)$$

    Args:
        input: $x$, floating point; its size along `dim` is even: first all of $a$, then all of $b$.
        dim: the dimension that is split into two halves.

    Returns:
        A tensor like `input`, half as long along `dim`.

    Raises:
        RuntimeError: `input` is a single number, or its size along `dim` is odd.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import glu

        print(glu(torch.tensor([[2.0, 4.0, 0.0, 100.0]])))
        ```

        ``` {.text .output}
        tensor([[1., 4.]])
        ```

    References:
        - Dauphin et al.: Language Modeling with Gated Convolutional Networks,
          [arXiv:1612.08083](https://arxiv.org/abs/1612.08083), equation 1.
        - [torch.nn.GLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.GLU.html)
    """
    _expect_halves(input, dim)
    return _f.glu(input, dim)


def glu_backward(grad_output: Tensor, input: Tensor, dim: int = -1) -> tuple[Tensor]:
    r"""Pass a gradient back through the gated linear unit.

    With $g$ for `grad_output`, the two halves of the gradient are $g \odot \sigma(b)$ and $g \odot a \odot \sigma'(b)$.

    Args:
        grad_output: $g$, the gradient of the loss with respect to the output; shape of the output.
        input: $x$, floating point; its size along `dim` is even: first all of $a$, then all of $b$.
        dim: the dimension that is split into two halves.

    Returns:
        A tuple with one tensor: the gradient of `input`, in its shape.

    Raises:
        RuntimeError: `input` is a single number, or its size along `dim` is odd.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import glu_backward

        print(glu_backward(torch.ones(1, 1), torch.tensor([[2.0, 0.0]]))[0])
        ```

        ``` {.text .output}
        tensor([[0.5000, 0.5000]])
        ```
    """
    _expect_halves(input, dim)
    return _f.glu_backward(grad_output, input, dim)


def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    r"""Let the SiLU of one tensor gate another.

    $$f(a, b) = \operatorname{SiLU}(a) \odot b$$

    In a transformer $a = W x$ and $b = V x$ are two linear maps of one input.

    Args:
        gate: $a$, any shape, floating point.
        value: $b$, the shape and dtype of `gate`.

    Returns:
        A tensor with the shape and dtype of `gate`.

    Raises:
        RuntimeError: the two shapes differ.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import swiglu

        print(swiglu(torch.tensor([0.0, 2.0]), torch.tensor([10.0, 10.0])))
        ```

        ``` {.text .output}
        tensor([ 0.0000, 17.6159])
        ```

    References:
        - Shazeer: GLU Variants Improve Transformer, [arXiv:2002.05202](https://arxiv.org/abs/2002.05202), equation 5.
    """
    _expect_like(gate, value)
    return _f.swiglu(gate, value)


def swiglu_backward(grad_output: Tensor, gate: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    r"""Pass a gradient back through SwiGLU.

    With $g$ for `grad_output`, the gradients are $g \odot b \odot \operatorname{SiLU}'(a)$ and $g \odot
    \operatorname{SiLU}(a)$.

    Args:
        grad_output: $g$, the gradient of the loss with respect to the output; shape of `gate`.
        gate: $a$, any shape, floating point.
        value: $b$, the shape and dtype of `gate`.

    Returns:
        The gradients of `gate` and of `value`.

    Raises:
        RuntimeError: the two shapes differ.

    Example:
        ```python
        import torch
        from dlguide.functional.activations import swiglu_backward

        da, db = swiglu_backward(torch.ones(1), torch.tensor([0.0]), torch.tensor([10.0]))
        print(da, db)
        ```

        ``` {.text .output}
        tensor([5.]) tensor([0.])
        ```
    """
    _expect_like(gate, value)
    return _f.swiglu_backward(grad_output, gate, value)


def _expect_halves(input: Tensor, dim: int) -> None:
    if input.ndim == 0:
        raise RuntimeError("expected an input with at least one dimension to split into halves, got a single number")
    if input.size(dim) % 2:
        raise RuntimeError(f"expected an even size along dimension {dim} to split into halves, got {input.size(dim)}")


def _expect_like(gate: Tensor, value: Tensor) -> None:
    if gate.shape != value.shape:
        shapes = f"{tuple(gate.shape)} and {tuple(value.shape)}"
        raise RuntimeError(f"expected gate and value of one shape, got {shapes}: make both by linear maps of one input")
