"""The linear map of a layer, and the gradients of its three inputs."""

from __future__ import annotations

from torch import Tensor


# --8<-- [start:linear]
def _linear(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    y = x @ W.T  # each sample is a row of x, each neuron a row of W
    return y if b is None else y + b


def _linear_backward(g: Tensor, x: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = x.shape[:-1].numel()  # each sample becomes a row
    rows, samples = g.reshape(count, W.shape[0]), x.reshape(count, W.shape[1])
    return g @ W, rows.T @ samples, rows.sum(0)
# --8<-- [end:linear]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Multiply each sample with a matrix and add the biases.

    $$y = x W^\top + b$$

    Args:
        input: $x$, shape (..., n): the last dimension holds the $n$ inputs of a sample; floating point.
        weight: $W$, shape (m, n): one row per neuron; the dtype of `input`.
        bias: $b$, shape (m,), or None for none.

    Returns:
        $y$, shape (..., m).

    Raises:
        RuntimeError: the shapes or dtypes do not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.linear import linear

        W = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        print(linear(torch.tensor([1.0, 10.0]), W, torch.ones(3)))
        ```

        ``` {.text .output}
        tensor([22., 44., 66.])
        ```

    References:
        - [torch.nn.functional.linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html)
    """
    _expect_fit(input, weight, bias)
    return _linear(input, weight, bias)


def linear_backward(grad_output: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Pass a gradient back through a linear map, to its input, weight and bias.

    With $g$ for `grad_output` and the samples as rows:

    $$\frac{\partial L}{\partial x} = g\, W, \qquad \frac{\partial L}{\partial W} = g^\top x, \qquad
    \frac{\partial L}{\partial b} = \sum_{\text{samples}} g$$

    Args:
        grad_output: $g$, the gradient of the loss with respect to the output; shape (..., m).
        input: $x$, shape (..., n); floating point.
        weight: $W$, shape (m, n); the dtype of `input`.

    Returns:
        The gradients of the input (..., n), of the weight (m, n) and of the bias (m,).

    Raises:
        RuntimeError: the shapes or dtypes do not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.linear import linear_backward

        W, x = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])
        for gradient in linear_backward(torch.ones(2, 1), x, W):
            print(gradient.tolist())
        ```

        ``` {.text .output}
        [[1.0, 2.0], [1.0, 2.0]]
        [[8.0, 10.0]]
        [2.0]
        ```
    """
    _expect_fit(input, weight, None)
    expected = (*input.shape[:-1], weight.shape[0])
    if grad_output.shape != expected:
        raise RuntimeError(
            f"expected grad_output in the shape {expected} of the output, got {tuple(grad_output.shape)}: pass the"
            " gradient of the loss with respect to what linear returned"
        )
    return _linear_backward(grad_output, input, weight)


def _expect_fit(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if weight.ndim != 2:
        raise RuntimeError(f"expected weight of shape (m, n), one row per neuron, got {tuple(weight.shape)}")
    m, n = weight.shape
    if input.ndim == 0 or input.shape[-1] != n:
        raise RuntimeError(
            f"expected input of shape (..., {n}) for weight of shape {(m, n)}, got {tuple(input.shape)}: the last"
            " dimension holds the inputs of one sample"
        )
    if bias is not None and bias.shape != (m,):
        raise RuntimeError(f"expected one bias for each of the {m} neurons, got shape {tuple(bias.shape)}")
