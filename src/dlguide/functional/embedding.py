r"""Embedding: rows of a matrix looked up by index, with the gradient that goes back to those rows."""

from __future__ import annotations

import torch
from torch import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
) -> Tensor:
    r"""Look up rows of a matrix: the product with a one-hot matrix, without forming it.

    $$y_i = W_{t_i} = \operatorname{onehot}(t_i)^\top W$$

    Args:
        input: indices $t$ of any shape, int64 or int32, each in [0, V).
        weight: $W$ of shape `[V, D]`, floating point.
        padding_idx: the row that never gets a gradient; negative counts from the end.
        max_norm: rows that are looked up and longer are shortened to this norm first, **in place** and outside of the
            gradient; None leaves them.
        norm_type: the $p$ of that norm.
        scale_grad_by_freq: whether to divide each row's gradient by how often the row is looked up.

    Returns:
        $y$ of shape `[*input.shape, D]`, dtype and device of the weight.

    Raises:
        RuntimeError: the indices are no integers, or the weight is no matrix.
        IndexError: an index lies outside of [0, V).
        AssertionError: `padding_idx` lies outside.

    Example:
        ```python
        import torch
        from dlguide.functional.embedding import embedding

        weight = torch.tensor([[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]])
        print(embedding(torch.tensor([2, 0, 2]), weight))
        ```

        ``` {.text .output}
        tensor([[ 2., 20.],
                [ 0.,  0.],
                [ 2., 20.]])
        ```

    References:
        - [torch.nn.Embedding](https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html). Left out is
          `sparse`, which changes how the gradient is stored and not its values.
    """
    _check(input, weight)
    padding_idx = _row(padding_idx, len(weight))
    if max_norm is not None:
        _shorten(weight, input.unique().long(), max_norm, norm_type)
    y = _look_up(input, weight)
    if padding_idx is not None:
        y = torch.where((input == padding_idx)[..., None], y.detach(), y)
    if scale_grad_by_freq:
        times = _counts(input, len(weight))[input.long()][..., None]
        y = y.detach() + (y - y.detach()) / times  # the same values, a smaller gradient
    return y


# --8<-- [start:look-up]
def _look_up(indices: Tensor, weight: Tensor) -> Tensor:
    return weight[indices.long()]
# --8<-- [end:look-up]


def embedding_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Tensor:
    r"""Return the gradient of an embedding with respect to its weight.

    $$\frac{\partial L}{\partial W_v} = \sum_{i:\; t_i = v} \frac{\partial L}{\partial y_i}$$

    Each row gets the sum over the places where it was looked up; the others get 0. Indices have no gradient.

    Args:
        grad_output: $\partial L / \partial y$ of shape `[*input.shape, D]`.
        input: indices $t$ of the forward pass.
        weight: $W$ of shape `[V, D]`; only its shape and dtype matter.
        padding_idx: the row whose gradient is 0.
        scale_grad_by_freq: whether to divide each row's gradient by how often the row was looked up.

    Returns:
        The gradient of the weight, shape `[V, D]`.

    Raises:
        RuntimeError: the indices are no integers, or the weight is no matrix.
        IndexError: an index lies outside of [0, V).
        AssertionError: `padding_idx` lies outside.

    Example:
        ```python
        import torch
        from dlguide.functional.embedding import embedding_backward

        print(embedding_backward(torch.ones(3, 2), torch.tensor([2, 0, 2]), torch.zeros(4, 2)))
        ```

        ``` {.text .output}
        tensor([[1., 1.],
                [0., 0.],
                [2., 2.],
                [0., 0.]])
        ```

    References:
        - [torch.nn.Embedding](https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html)
    """
    _check(input, weight)
    padding_idx = _row(padding_idx, len(weight))
    grad_weight = _scatter(grad_output, input, weight)
    if scale_grad_by_freq:
        grad_weight = grad_weight / _counts(input, len(weight)).clamp(min=1)[:, None]
    if padding_idx is not None:
        grad_weight[padding_idx] = 0
    return grad_weight


# --8<-- [start:scatter]
def _scatter(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    rows = grad.reshape(-1, weight.shape[1])  # one for each place
    return torch.zeros_like(weight).index_add(0, indices.flatten(), rows)
# --8<-- [end:scatter]


def _row(padding_idx: int | None, rows: int) -> int | None:
    """The index counted from the front."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"expected padding_idx in [{-rows}, {rows}) for {rows} rows, got {padding_idx}: row 0 is"
                             " usual")  # fmt: skip
    return padding_idx % rows


def _counts(indices: Tensor, rows: int) -> Tensor:
    """How often each row is looked up."""
    return torch.bincount(indices.flatten(), minlength=rows)


@torch.no_grad()
def _shorten(weight: Tensor, rows: Tensor, max_norm: float, norm_type: float) -> None:
    norms = torch.linalg.vector_norm(weight[rows], norm_type, dim=1, keepdim=True)
    factor = torch.where(norms > max_norm, max_norm / (norms + 1e-7), torch.ones_like(norms))  # 1e-7 as in PyTorch
    weight[rows] = weight[rows] * factor


def _check(input: Tensor, weight: Tensor) -> None:
    if input.dtype not in (torch.int64, torch.int32):
        raise RuntimeError(f"expected indices of dtype torch.int64 or torch.int32, got {input.dtype}: use input.long()")
    if weight.dim() != 2:
        raise RuntimeError(f"expected a weight of shape [V, D], got {list(weight.shape)}: one row for each index")
    if input.numel() and (int(input.min()) < 0 or int(input.max()) >= len(weight)):
        raise IndexError(
            f"expected indices in [0, {len(weight)}) for a weight of {len(weight)} rows, got {int(input.min())} to"
            f" {int(input.max())}: count from 0, or make num_embeddings larger"
        )
