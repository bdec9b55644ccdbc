"""A table of vectors, looked up by index."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlguide.functional.embedding import _row, embedding
from dlguide.layers._base import Layer


class Embedding(Layer):
    r"""Turns indices into learned vectors: row $t$ of its weight for index $t$.

    Args:
        num_embeddings: $V$, the number of rows; indices are in [0, V).
        embedding_dim: $D$, the length of each vector.
        padding_idx: the row that starts at 0 and never gets a gradient; negative counts from the end.
        max_norm: rows that are looked up and longer are shortened to this norm first, in place.
        norm_type: the $p$ of that norm.
        scale_grad_by_freq: whether to divide each row's gradient by how often the row is looked up.

    Returns:
        A layer for indices of any shape, int64 or int32; the output has one more dimension, of size $D$. `weight`, of
        shape `[V, D]`, starts with draws of the standard normal distribution.

    Raises:
        AssertionError: `padding_idx` lies outside.

    Example:
        ```python
        import torch
        from dlguide.layers.embedding import Embedding

        torch.manual_seed(0)
        words = Embedding(5, 2, padding_idx=0)
        print(words(torch.tensor([[3, 4], [1, 0]])).shape, words(torch.tensor(0)).detach())
        ```

        ``` {.text .output}
        torch.Size([2, 2, 2]) tensor([0., 0.])
        ```

    References:
        - [torch.nn.Embedding](https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html). Left out is
          `sparse`, which changes how the gradient is stored and not its values.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _row(padding_idx, num_embeddings)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if self.padding_idx is not None:
            with torch.no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Look up rows."""
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq
        )
