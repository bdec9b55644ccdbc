"""Blocks of self-attention, and a classifier of text made of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide.models._check import check_ids, check_share, check_sizes, real_positions


class SelfAttention(nn.Module):
    r"""Each position takes the mean of what it finds at others, weighted by how well they fit it.

    $$\operatorname{head}_j = \operatorname{softmax}\Big( \frac{Q_j K_j^\top}{\sqrt{d}} + M \Big) V_j, \qquad
    \operatorname{out} = [\operatorname{head}_1, \dots, \operatorname{head}_h]\, W^\top + b$$

    $Q_j$, $K_j$ and $V_j$ are three linear maps of the input for head $j$ of $h$, each $[T, d]$ with $d = $ `width` $/
    h$. $M$ is 0 where a position may look and $-\infty$ where it may not: into the padding, and with `causal` to its
    right.

    Args:
        width: numbers at each position.
        heads: number of heads; divides `width`.
        causal: a position sees itself and those before it only.
        dropout: probability, in [0, 1), that a weight is dropped.

    Raises:
        ValueError: `heads` does not divide `width`.

    Example:
        ```python
        import torch
        from dlguide.models import SelfAttention

        attention = SelfAttention(width=8, heads=2, causal=True)
        x = torch.randn(1, 5, 8)
        changed = x.clone()
        changed[0, 3] = 0  # the fourth of five positions
        print((attention(x) == attention(changed)).all(2))
        ```

        ``` {.text .output}
        tensor([[ True,  True,  True, False, False]])
        ```

    References:
        - Vaswani et al. 2017, arXiv:1706.03762, section 3.2
        - [torch.nn.functional.scaled_dot_product_attention](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html)
    """

    def __init__(self, width: int, heads: int, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(width=width, heads=heads)
        check_share("dropout", dropout)
        if width % heads:
            raise ValueError(f"expected a width that {heads} heads divide, got {width}: take {width // heads * heads}")
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Mix the positions of each sequence.

        Args:
            x: `[N, T, width]`, float.
            real: `[N, T]`, bool, False in the padding; None if there is none. Each sequence has a True.

        Returns:
            `[N, T, width]`.
        """
        n, t, width = x.shape
        q, k, v = self.in_proj(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mask = None if real is None else real[:, None, None]  # [N, 1, 1, T]: the same for all heads and positions
        if mask is not None and self.causal:
            mask = mask & torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        y = F.scaled_dot_product_attention(
            q, k, v, mask, dropout_p=self.dropout if self.training else 0.0, is_causal=self.causal and mask is None
        )  # [N, heads, T, width / heads]
        return self.out_proj(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    r"""One layer of a Transformer: attention, then two linear layers, each added to what came in.

    $$h = x + \operatorname{attention}(\operatorname{norm}(x)), \qquad
    y = h + W_2 \operatorname{gelu}(W_1 \operatorname{norm}(h) + b_1) + b_2$$

    The normalization stands before each part (pre-norm), so that a straight way leads from the output to the input and
    deep stacks train without a warm-up. The hidden layer is four times as wide.

    Args:
        width: numbers at each position.
        heads: heads of the attention; divides `width`.
        causal: a position sees itself and those before it only.
        dropout: probability, in [0, 1), that a number is dropped, of the attention's weights and of what each part
            adds.

    Example:
        ```python
        import torch
        from dlguide.models import Block

        print(Block(width=32, heads=4)(torch.zeros(2, 7, 32)).shape)
        ```

        ``` {.text .output}
        torch.Size([2, 7, 32])
        ```

    References:
        - Vaswani et al. 2017, arXiv:1706.03762, section 3; Xiong et al. 2020, arXiv:2002.04745 (pre-norm)
        - [torch.nn.TransformerEncoderLayer](https://docs.pytorch.org/docs/stable/generated/torch.nn.TransformerEncoderLayer.html)
    """

    def __init__(self, width: int, heads: int, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Apply both parts.

        Args:
            x: `[N, T, width]`, float.
            real: `[N, T]`, bool, False in the padding; None if there is none.

        Returns:
            `[N, T, width]`.
        """
        x = x + self.dropout(self.attention(self.norm1(x), real))
        return x + self.dropout(self.mlp(self.norm2(x)))


class TransformerClassifier(nn.Module):
    r"""Embeddings of words and positions, a stack of blocks, the mean over the text, and a linear layer.

    $$x_t = E_{i_t} + P_t, \qquad y = \operatorname{blocks}(x), \qquad
    \operatorname{logits} = \Big( \frac{1}{T} \sum_{t=1}^{T} \operatorname{norm}(y_t) \Big) W^\top + b$$

    Here $i_t$ is the id of word $t$, $T$ the length of the text, $E$ and $P$ are learned tables. Padding is neither
    looked at nor counted, so a text has the same logits in any batch. The blocks are in `model.blocks`, a `ModuleList`:
    `fully_shard` can be applied to each of them.

    Args:
        vocabulary: number of ids, 0 being padding.
        num_classes: number of classes.
        width: numbers at each position.
        heads: heads of the attention; divides `width`.
        depth: number of blocks.
        max_length: the longest text that there are positions for.
        dropout: probability, in [0, 1), that a number is dropped.

    Raises:
        ValueError: ids outside the vocabulary, texts longer than `max_length`, or lengths that do not fit.

    Example:
        ```python
        import torch
        from dlguide.models import TransformerClassifier

        model = TransformerClassifier(vocabulary=50, width=32, heads=4, depth=2).eval()
        short, padded = torch.tensor([[7, 8]]), torch.tensor([[7, 8, 0, 0]])
        print(torch.allclose(model(short), model(padded, torch.tensor([2])), atol=1e-6))
        ```

        ``` {.text .output}
        True
        ```

    References:
        - Vaswani et al. 2017, arXiv:1706.03762, section 3
        - Xiong et al. 2020, arXiv:2002.04745 (normalization before each part)
    """

    def __init__(
        self,
        vocabulary: int,
        num_classes: int = 2,
        width: int = 128,
        heads: int = 4,
        depth: int = 2,
        max_length: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, num_classes=num_classes, width=width, depth=depth, max_length=max_length)
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Embedding(max_length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, num_classes)
        for table in (self.embedding, self.positions):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Classify a batch of texts.

        Args:
            ids: `[N, T]`, int64, in `[0, vocabulary)`, with T up to `max_length`.
            lengths: `[N]`, int64, in `[1, T]`: how many ids of each text are real; all of them if not given.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_ids(ids, self.embedding.num_embeddings)
        if ids.shape[1] > self.positions.num_embeddings:
            raise ValueError(
                f"expected texts of up to {self.positions.num_embeddings} ids, got {ids.shape[1]}: cut them, or build"
                f" TransformerClassifier(max_length={ids.shape[1]})"
            )
        real = None if lengths is None else real_positions(ids, lengths)  # [N, T]
        x = self.dropout(self.embedding(ids) + self.positions.weight[: ids.shape[1]])  # [N, T, width]
        for block in self.blocks:
            x = block(x, real)
        x = self.norm(x)
        if real is None or lengths is None:
            return self.out(x.mean(1))
        total = x.masked_fill(~real[:, :, None], 0).sum(1)  # [N, width]
        return self.out(total / lengths.to(x.device)[:, None])
