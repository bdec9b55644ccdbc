"""Multi-head attention."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dlguide.functional.attention import _additive, _weights, join_heads, split_heads
from dlguide.functional.dropout import dropout
from dlguide.functional.linear import linear
from dlguide.init import xavier_uniform_
from dlguide.layers._base import Layer
from dlguide.layers.linear import Linear


class MultiheadAttention(Layer):
    r"""Lets several heads attend side by side, each in a part of the embedding.

    $$Y = \operatorname{concat}(Y_1, \dots, Y_h)\, W_o^\top + b_o, \qquad Y_i = \operatorname{softmax}\left(\frac{Q_i
    K_i^\top}{\sqrt{E / h}} + M\right) V_i$$

    $Q_i$, $K_i$, $V_i$ are the parts that belong to head $i$ of $q W_q^\top + b_q$, $k W_k^\top + b_k$ and
    $v W_v^\top + b_v$.

    Args:
        embed_dim: $E$, the numbers of a query and of the output.
        num_heads: $h$, divides $E$.
        dropout: probability with which an attention weight is dropped while training.
        bias: whether there are $b_q, b_k, b_v, b_o$.
        add_bias_kv: must be False.
        add_zero_attn: must be False.
        kdim: the numbers of a key; None: $E$.
        vdim: the numbers of a value; None: $E$.
        batch_first: whether inputs and output are (N, L, E) instead of (L, N, E).
        device: where the parameters are made.
        dtype: their floating point type.

    Returns:
        A layer that returns (output, weights) as `torch.nn.MultiheadAttention`; its parameters have the same names.

    Raises:
        NotImplementedError: `add_bias_kv` or `add_zero_attn` is set.
        ValueError: a size is below 1.
        AssertionError: `num_heads` does not divide `embed_dim`, as PyTorch raises it.

    Example:
        ```python
        import torch
        from dlguide.layers.attention import MultiheadAttention

        layer = MultiheadAttention(8, 2, batch_first=True)
        x = torch.zeros(1, 3, 8)
        output, weights = layer(x, x, x)
        print(output.shape, weights[0, 0])
        ```

        ``` {.text .output}
        torch.Size([1, 3, 8]) tensor([0.3333, 0.3333, 0.3333], grad_fn=<SelectBackward0>)
        ```

    References:
        - Vaswani et al.: Attention Is All You Need, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), section
          3.2.2.
        - [torch.nn.MultiheadAttention](https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html)
    """

    q_proj_weight: nn.Parameter
    k_proj_weight: nn.Parameter
    v_proj_weight: nn.Parameter

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if add_bias_kv or add_zero_attn:
            raise NotImplementedError("expected add_bias_kv=False and add_zero_attn=False: torch.nn has these options")
        if embed_dim < 1 or num_heads < 1:
            raise ValueError(f"expected embed_dim and num_heads of at least 1, got {embed_dim} and {num_heads}")
        if embed_dim % num_heads:
            raise AssertionError(f"expected num_heads that divides embed_dim={embed_dim}, got {num_heads}: change one")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        empty = partial(torch.empty, device=device, dtype=dtype)
        if self.kdim == self.vdim == embed_dim:  # PyTorch keeps the three matrices in one where it can
            self.in_proj_weight = nn.Parameter(empty(3 * embed_dim, embed_dim))
        else:
            sizes = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
            for name, size in sizes.items():
                self.register_parameter(f"{name}_proj_weight", nn.Parameter(empty(embed_dim, size)))
        self.in_proj_bias = nn.Parameter(empty(3 * embed_dim)) if bias else None
        for name, p in self.named_parameters():
            if name.endswith("proj_weight"):
                xavier_uniform_(p)
        for b in (self.in_proj_bias, self.out_proj.bias):
            if b is not None:
                nn.init.zeros_(b)

    # --8<-- [start:forward]
    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Attend; in both masks True means: do not look there. Returns (output, weights or None)."""
        batched, inputs = self._batch_first(query, key, value)
        projected = [
            linear(x, W, b) for x, W, b in zip(inputs, *self._projections(), strict=True)
        ]
        q, k, v = (split_heads(x, self.num_heads) for x in projected)  # (N, heads, L, E / heads)
        mask = self._mask(attn_mask, key_padding_mask, q, is_causal)
        a = _weights(q, k, mask, q.shape[-1] ** -0.5)
        dropped = dropout(a, self.dropout) if self.training and self.dropout else a
        y = self.out_proj(join_heads(dropped @ v))
        if not batched:
            y = y[0]
        elif not self.batch_first:
            y = y.transpose(0, 1)
        if not need_weights:
            return y, None
        shown = dropped.mean(1) if average_attn_weights else dropped
        return y, shown if batched else shown[0]
    # --8<-- [end:forward]

    def _projections(self) -> tuple[list[Tensor], list[Tensor | None]]:
        """The matrices of queries, keys and values, each (E, its own size), and their biases."""
        if "in_proj_weight" in self._parameters:
            weights = list(self.in_proj_weight.chunk(3))
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases: list[Tensor | None] = [None] * 3 if self.in_proj_bias is None else list(self.in_proj_bias.chunk(3))
        return weights, biases

    def _batch_first(self, *inputs: Tensor) -> tuple[bool, list[Tensor]]:
        """Whether there is a batch, and the inputs as (N, L, size)."""
        dims = {x.ndim for x in inputs}
        if dims not in ({2}, {3}):
            raise AssertionError(f"expected query, key and value all of 2 or all of 3 dimensions, got {sorted(dims)}")
        if dims == {2}:
            return False, [x[None] for x in inputs]
        return True, [x if self.batch_first else x.transpose(0, 1) for x in inputs]

    def _mask(self, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, is_causal: bool) -> Tensor | None:
        """Both masks as one that is added, broadcast to (N, heads, L, S)."""
        if is_causal and attn_mask is None:
            raise RuntimeError("expected attn_mask beside is_causal=True, got None: give the causal mask")
        total = None
        if attn_mask is not None:
            total = _additive(~attn_mask if attn_mask.dtype == torch.bool else attn_mask, q)
            if attn_mask.ndim == 3:  # (N · heads, L, S)
                total = total.unflatten(0, (-1, self.num_heads))
        if padding is not None:
            added = _additive(~padding if padding.dtype == torch.bool else padding, q)
            added = added[..., None, None, :] if padding.ndim == 2 else added
            total = added if total is None else total + added
        return total

    @classmethod
    def _options(cls, layer: nn.Module) -> dict[str, Any]:
        if layer.bias_k is not None or layer.add_zero_attn:
            raise ValueError("expected a layer without add_bias_kv and add_zero_attn: they are not offered here")
        return {**super()._options(layer), "bias": layer.in_proj_bias is not None}
