"""Scaled dot-product attention, forward and backward, and the split into heads."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dlguide.functional.dropout import dropout


# --8<-- [start:attend]
def _weights(q: Tensor, k: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    scores = q @ k.mT * scale  # (..., L, S): one row for each query, one column per key
    if mask is not None:
        scores = scores + mask  # 0 where a query may look, -inf where it may not
    largest = scores.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(q.dtype).min)
    e = torch.exp(scores - largest)
    total = e.sum(-1, keepdim=True)
    return e / torch.where(total == 0, 1, total)  # a query that sees nothing gets zeros
# --8<-- [end:attend]


# --8<-- [start:attend-backward]
def _attend_backward(
    g: Tensor, a: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    dv = a.mT @ g
    da = g @ v.mT
    dscores = a * (da - (a * da).sum(-1, keepdim=True))  # the softmax, row by row
    return dscores @ k * scale, dscores.mT @ q * scale, dv
# --8<-- [end:attend-backward]


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    r"""Give each query the average of the values, weighted by how well its key matches.

    $$A = \operatorname{softmax}\left(\frac{Q K^\top}{\sqrt{E}} + M\right), \qquad Y = A V$$

    The softmax goes along each row. A query whose row of $M$ is $-\infty$ throughout gets zeros, as in PyTorch.

    Args:
        query: $Q$, shape (..., L, E): L queries of E numbers; floating point.
        key: $K$, shape (..., S, E); dtype and device of `query`.
        value: $V$, shape (..., S, D).
        attn_mask: $M$, shape (L, S) or (..., L, S): floating point numbers that are added, or booleans, True where a
            query may look.
        dropout_p: the probability with which an entry of $A$ is set to 0, from 0 to 1; the others grow by 1/(1 - p).
        is_causal: whether query $i$ may look only at the keys $1 \dots i$; not together with `attn_mask`.
        scale: what the scores are multiplied with; None for $1 / \sqrt{E}$.
        enable_gqa: whether several heads of queries share a head of keys and values (dimension -3).

    Returns:
        $Y$, shape (..., L, D).

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.attention import scaled_dot_product_attention

        q = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        v = torch.tensor([[1.0], [3.0]])
        print(scaled_dot_product_attention(q, q, v, is_causal=True))
        ```

        ``` {.text .output}
        tensor([[1.0000],
                [2.3395]])
        ```

    References:
        - Vaswani et al.: Attention Is All You Need, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), equation 1.
        - [torch.nn.functional.scaled_dot_product_attention](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html)
    """
    a, _, v, _ = _prepare(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"expected dropout_p from 0 to 1, got {dropout_p}")
    return (dropout(a, dropout_p) if dropout_p else a) @ v


def scaled_dot_product_attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    is_causal: bool = False, scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""Vector-Jacobian product of attention without dropout: the gradients of query, key and value.

    With $G = \frac{\partial L}{\partial Y}$ and $\dot A = G V^\top$, the gradient at the scores is
    $\dot Z = A \odot (\dot A - \operatorname{rowsum}(A \odot \dot A))$, and

    $$\frac{\partial L}{\partial V} = A^\top G, \qquad \frac{\partial L}{\partial Q} = \frac{\dot Z K}{\sqrt{E}}, \qquad
    \frac{\partial L}{\partial K} = \frac{\dot Z^\top Q}{\sqrt{E}}$$

    Args:
        grad_output: $G$, shape (..., L, D), of the shape of the output.
        query: as in `scaled_dot_product_attention`.
        key: as there.
        value: as there.
        attn_mask: as there.
        is_causal: as there.
        scale: as there.

    Returns:
        The gradients of query, key and value, each of the shape of its tensor.

    Raises:
        RuntimeError: shapes, dtypes or options do not fit.

    Example:
        ```python
        import torch
        from dlguide.functional.attention import scaled_dot_product_attention_backward

        q, v = torch.eye(2), torch.tensor([[1.0], [3.0]])
        dq, dk, dv = scaled_dot_product_attention_backward(torch.ones(2, 1), q, q, v)
        print(dv)
        ```

        ``` {.text .output}
        tensor([[1.],
                [1.]])
        ```

    References:
        - Dao et al.: FlashAttention, [arXiv:2205.14135](https://arxiv.org/abs/2205.14135), appendix B.2.
    """
    a, k, v, factor = _prepare(query, key, value, attn_mask, is_causal, scale, False)
    if grad_output.shape != (*a.shape[:-1], v.shape[-1]):
        expected = (*a.shape[:-1], v.shape[-1])
        raise RuntimeError(f"expected grad_output of the output's shape {expected}, got {tuple(grad_output.shape)}")
    found = _attend_backward(grad_output, a, query, k, v, factor)
    dq, dk, dv = (g.sum_to_size(x.shape) for g, x in zip(found, (query, key, value), strict=True))
    return dq, dk, dv


def split_heads(x: Tensor, heads: int) -> Tensor:
    r"""Cut the last dimension into heads, each of which attends on its own.

    Args:
        x: shape (N, L, heads · E).
        heads: how many, at least 1; divides the last size.

    Returns:
        Shape (N, heads, L, E); a view of `x`.

    Raises:
        RuntimeError: the last size is no multiple of `heads`.

    Example:
        ```python
        import torch
        from dlguide.functional.attention import split_heads

        print(split_heads(torch.zeros(2, 5, 12), 3).shape)
        ```

        ``` {.text .output}
        torch.Size([2, 3, 5, 4])
        ```
    """
    if heads < 1 or x.shape[-1] % heads:
        raise RuntimeError(f"expected a last size that {heads} heads divide, got {x.shape[-1]}: change the heads")
    return x.unflatten(-1, (heads, x.shape[-1] // heads)).transpose(-3, -2)


def join_heads(x: Tensor) -> Tensor:
    r"""Put the heads side by side again: the inverse of `split_heads`.

    Args:
        x: shape (N, heads, L, E).

    Returns:
        Shape (N, L, heads · E).

    Example:
        ```python
        import torch
        from dlguide.functional.attention import join_heads, split_heads

        x = torch.arange(12.0).reshape(1, 2, 6)
        print(torch.equal(join_heads(split_heads(x, 3)), x))
        ```

        ``` {.text .output}
        True
        ```
    """
    return x.transpose(-3, -2).flatten(-2)


def _prepare(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None, grouped: bool,
) -> tuple[Tensor, Tensor, Tensor, float]:  # fmt: skip
    """The attention weights, the keys and values that they belong to, and the scale."""
    _expect_fit(q, k, v)
    if grouped:
        k, v = (x.repeat_interleave(_shared(q, x), -3) for x in (k, v))
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if is_causal:
        if mask is not None:
            raise RuntimeError("expected is_causal or attn_mask, got both: put the causal limit into the mask")
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
    if not k.shape[-2]:
        return (q @ k.mT), k, v, factor  # no keys: nothing to weigh
    return _weights(q, k, None if mask is None else _additive(mask, q), factor), k, v, factor


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(~mask, -math.inf)
    if not mask.is_floating_point():
        raise RuntimeError(f"expected attn_mask of booleans or of floats that are added, got {mask.dtype}: use .bool()")
    return mask


def _shared(q: Tensor, x: Tensor) -> int:
    if q.ndim < 3 or x.ndim < 3 or q.shape[-3] % x.shape[-3]:
        raise RuntimeError(f"expected query heads that the key heads divide, got {_sizes(q)}, {_sizes(x)}")
    return q.shape[-3] // x.shape[-3]


def _expect_fit(q: Tensor, k: Tensor, v: Tensor) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(f"expected query, key and value of (..., L, E), got {_sizes(q)}, {_sizes(k)}, {_sizes(v)}")
    if not q.is_floating_point() or q.dtype != k.dtype or q.dtype != v.dtype:
        raise RuntimeError(f"expected query, key and value of one floating dtype, got {q.dtype}, {k.dtype}, {v.dtype}")
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"expected queries as long as the keys, got {_sizes(q)} and {_sizes(k)}: last sizes differ")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"expected one value for each key, got {_sizes(k)} and {_sizes(v)}: sizes at -2 differ")


def _sizes(x: Tensor) -> list[int]:
    return list(x.shape)
