"""Two quick classifiers of text: windows of a few words, and a bag of words and word pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide.models._check import check_ids, check_list, check_share, check_sizes, real_positions


class TextCNN(nn.Module):
    r"""Slide windows of a few words over the text and keep the strongest response of each filter.

    $$c_{t} = \max(0,\; w \cdot [x_{t-\lfloor k/2 \rfloor}, \dots, x_{t+k-1-\lfloor k/2 \rfloor}] + b), \qquad
    z = \max_{1 \le t \le T} c_t$$

    Here $x_t$ is the embedding of word $t$, $k$ the width of the window, $w$ and $b$ one filter and its bias, and $T$
    the length of the text; beyond both ends there are zeros. The results $z$ of all filters of all widths are the input
    of one linear layer. Words in the padding are zeros too and no window is centred on them, so a text has the same
    logits in any batch.

    Args:
        vocabulary: number of ids, 0 being padding.
        num_classes: number of classes.
        embedding: numbers in the embedding of a word.
        widths: the window widths $k$.
        filters: filters for each width.
        dropout: probability, in [0, 1), that a number before the linear layer is dropped.

    Raises:
        ValueError: ids outside the vocabulary, or lengths that do not fit.

    Example:
        ```python
        import torch
        from dlguide.models import TextCNN

        model = TextCNN(vocabulary=50, num_classes=2)
        ids = torch.tensor([[4, 8, 15, 16], [23, 42, 0, 0]])
        print(model(ids, lengths=torch.tensor([4, 2])).shape)
        ```

        ``` {.text .output}
        torch.Size([2, 2])
        ```

    References:
        - Kim 2014, arXiv:1408.5882, section 2
    """

    def __init__(
        self,
        vocabulary: int,
        num_classes: int = 2,
        embedding: int = 128,
        widths: Sequence[int] = (3, 4, 5),
        filters: int = 100,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, num_classes=num_classes, embedding=embedding, filters=filters)
        check_list("widths", widths)
        check_sizes(**{"number of widths": len(widths)})
        check_share("dropout", dropout)
        self.widths = tuple(widths)
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, filters, width) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(filters * len(widths), num_classes)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Classify a batch of texts.

        Args:
            ids: `[N, T]`, int64, in `[0, vocabulary)`.
            lengths: `[N]`, int64, in `[1, T]`: how many ids of each text are real; all of them if not given.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_ids(ids, self.embedding.num_embeddings)
        real = real_positions(ids, lengths)[:, None]  # [N, 1, T]
        x = self.embedding(ids).transpose(1, 2) * real  # [N, embedding, T], zeros in the padding
        strongest = []
        for k, convolution in zip(self.widths, self.convolutions, strict=True):
            c = torch.relu(convolution(F.pad(x, (k // 2, k - 1 - k // 2))))  # [N, filters, T]
            strongest.append((c * real).amax(2))  # a ReLU is never below 0, so a masked 0 is never the only maximum
        return self.out(self.dropout(torch.cat(strongest, dim=1)))


class BagOfNgrams(nn.Module):
    r"""The mean of the embeddings of all words and of all pairs of neighbours, then a linear layer.

    $$\operatorname{logits} = \frac{1}{2T - 1} \Big( \sum_{t=1}^{T} E_{i_t} + \sum_{t=1}^{T-1} E_{h(i_t, i_{t+1})} \Big)
    W^\top + b$$

    Here $i_t$ is the id of word $t$, $T$ the length of the text, $E$ the table of embeddings, and $h$ gives each pair
    one of the `buckets` rows behind those of the words. There are more pairs than buckets: some share a row by
    accident, which costs little. Without pairs the order of the words makes no difference. Padding is not counted.

    Args:
        vocabulary: number of ids, 0 being padding.
        num_classes: number of classes.
        embedding: numbers in an embedding.
        buckets: rows for pairs; 0 leaves pairs out.
        sparse: give the table a sparse gradient, for `torch.optim.SGD` or `SparseAdam`: a step then takes as long as
            the batch is, not as the table is.

    Raises:
        ValueError: ids outside the vocabulary, or lengths that do not fit.

    Example:
        ```python
        import torch
        from dlguide.models import BagOfNgrams

        torch.manual_seed(0)
        a, b = torch.tensor([[1, 2, 3, 0]]), torch.tensor([[3, 2, 1, 0]])
        for buckets in (0, 1000):
            model = BagOfNgrams(vocabulary=10, buckets=buckets)
            torch.nn.init.normal_(model.out.weight)
            print(buckets, torch.equal(model(a), model(b)))
        ```

        ``` {.text .output}
        0 True
        1000 False
        ```

    References:
        - Joulin et al. 2016, arXiv:1607.01759, sections 2 and 2.2 (fastText)
        - [torch.nn.EmbeddingBag](https://docs.pytorch.org/docs/stable/generated/torch.nn.EmbeddingBag.html)
    """

    def __init__(
        self, vocabulary: int, num_classes: int = 2, embedding: int = 16, buckets: int = 2**16, sparse: bool = False
    ) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, num_classes=num_classes, embedding=embedding)
        if buckets < 0:
            raise ValueError(f"expected at least 0 buckets for pairs of words, got {buckets}")
        self.vocabulary, self.buckets = vocabulary, buckets
        self.bag = nn.EmbeddingBag(vocabulary + buckets, embedding, mode="sum", sparse=sparse)
        self.out = nn.Linear(embedding, num_classes)
        nn.init.uniform_(self.bag.weight, -1 / embedding, 1 / embedding)  # a rare pair must not shout
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Classify a batch of texts.

        Args:
            ids: `[N, T]`, int64, in `[0, vocabulary)`.
            lengths: `[N]`, int64, in `[1, T]`: how many ids of each text are real; all but the zeros if not given.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_ids(ids, self.vocabulary)
        words = ids.masked_fill(~real_positions(ids, lengths), 0)
        rows = torch.cat([words, self.pairs(words)], dim=1) if self.buckets else words
        real = (rows != 0).to(self.bag.weight.dtype)
        return self.out(self.bag(rows, per_sample_weights=real / real.sum(1, keepdim=True)))  # quicker than padding_idx

    def pairs(self, words: Tensor) -> Tensor:
        """Give the row of each pair of neighbours.

        Args:
            words: ids `[N, T]`, 0 where there is no word.

        Returns:
            `[N, T - 1]`, int64: rows in `[vocabulary, vocabulary + buckets)`, 0 for pairs with padding.
        """
        first, second = words[:, :-1], words[:, 1:]
        mixed = (first * 2_654_435_761 + second * 40_503) % 2_147_483_647  # two odd factors, then a prime modulus
        rows = self.vocabulary + mixed % self.buckets
        return rows.masked_fill((first == 0) | (second == 0), 0)
