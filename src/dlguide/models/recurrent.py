"""A recurrent network that reads a sequence, of numbers or of ids, and then classifies it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from dlguide.models._check import check_ids, check_lengths, check_share, check_sizes


class RNNClassifier(nn.Module):
    r"""Read a sequence step by step, then classify it by the last hidden state.

    $$h_t = \operatorname{cell}(x_t, h_{t-1}), \qquad h_0 = 0, \qquad \operatorname{logits} = h_T W^\top + b$$

    Here $x_t$ is step $t$ of the sequence, $h_t$ the hidden state after it, $T$ the length, and $W$, $b$ are the
    parameters of the output layer. With `lengths`, each sequence ends at its own $T$: the padding after it is not read.
    With `vocabulary`, the sequence holds ids, and $x_t$ is the row of a table that belongs to id $t$. With
    `bidirectional`, a second cell reads from $T$ to 1, and its last state is put beside $h_T$.

    Args:
        cell: `"RNN"` (tanh), `"LSTM"` or `"GRU"`.
        input_size: numbers in one step of the sequence; with `vocabulary`, the width of the embedding.
        hidden_size: numbers in the hidden state.
        num_classes: number of classes.
        num_layers: recurrent layers on top of each other.
        vocabulary: number of ids, 0 being padding; None for sequences of numbers.
        bidirectional: read in both directions.
        dropout: probability, in [0, 1), that a number is dropped, of the embedding and before the output layer.

    Raises:
        ValueError: an unknown cell, an input that is not `[N, T, input_size]` (or ids `[N, T]`), ids outside the
            vocabulary, or lengths that do not fit.

    Example:
        ```python
        import torch
        from dlguide.models import RNNClassifier

        x = torch.zeros(3, 8, 8)  # 3 sequences of 8 steps with 8 numbers each
        for cell in ("RNN", "GRU", "LSTM"):
            model = RNNClassifier(cell)
            recurrent = sum(p.numel() for p in model.rnn.parameters())
            print(cell, model(x).shape, recurrent)

        text = RNNClassifier("LSTM", 32, num_classes=2, vocabulary=100)
        print(text(torch.tensor([[5, 9, 2], [7, 0, 0]]), torch.tensor([3, 1])).shape)
        ```

        ``` {.text .output}
        RNN torch.Size([3, 10]) 4736
        GRU torch.Size([3, 10]) 14208
        LSTM torch.Size([3, 10]) 18944
        torch.Size([2, 2])
        ```

    References:
        - Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014, arXiv:1406.1078 (GRU)
        - [torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html)
        - [torch.nn.utils.rnn.pack_padded_sequence](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html)
    """

    def __init__(
        self,
        cell: str = "LSTM",
        input_size: int = 8,
        hidden_size: int = 64,
        num_classes: int = 10,
        num_layers: int = 1,
        vocabulary: int | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        cells: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
        if cell not in cells:
            raise ValueError(f"expected the cell 'RNN', 'LSTM' or 'GRU', got {cell!r}")
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_classes=num_classes, num_layers=num_layers)
        check_share("dropout", dropout)
        self.embedding = None if vocabulary is None else nn.Embedding(vocabulary, input_size, padding_idx=0)
        self.rnn = cells[cell](input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden_size if bidirectional else hidden_size, num_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Classify a batch of sequences.

        Args:
            x: `[N, T, input_size]`, float; with a vocabulary, ids `[N, T]`, int64.
            lengths: `[N]`, int64, in `[1, T]`: how many steps of each sequence are real; all of them if not given.

        Returns:
            Logits `[N, num_classes]`.
        """
        if self.embedding is not None:
            check_ids(x, self.embedding.num_embeddings)
            x = self.dropout(self.embedding(x))  # [N, T] -> [N, T, input_size]
        if x.dim() != 3 or x.shape[2] != self.rnn.input_size:
            raise ValueError(
                f"expected sequences of shape [N, T, {self.rnn.input_size}], got {list(x.shape)}:"
                " load(..., layout='rows') gives them without a channel dimension"
            )
        if lengths is not None:
            lengths = lengths if torch.compiler.is_compiling() else lengths.cpu()  # where packing needs them
            check_lengths(lengths, x.shape[0], x.shape[1])
        return self.out(self.dropout(self._last_hidden(x, lengths)))

    def _last_hidden(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the top layer's state after the last real step, [N, hidden_size] or twice that for two directions."""
        if lengths is not None and torch.compiler.is_compiling():  # torch.export cannot pack, which reads the lengths
            if self.rnn.bidirectional:
                raise ValueError("a bidirectional RNNClassifier is exported without lengths, for one text at a time")
            every = self.rnn(x)[0]  # [N, T, hidden_size]; what stands after step T cannot change the state at T
            return every[torch.arange(x.shape[0], device=x.device), lengths.to(x.device) - 1]
        if lengths is None:
            state = self.rnn(x)[1]
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            state = self.rnn(packed)[1]  # back in the order of x, because torch sorted the batch itself
        hidden: Tensor = state[0] if isinstance(state, tuple) else state  # an LSTM's state is (h, c)
        if self.rnn.bidirectional:
            return torch.cat([hidden[-2], hidden[-1]], dim=1)  # forwards at the end, backwards at the beginning
        return hidden[-1]  # [num_layers, N, hidden_size] -> [N, hidden_size]
