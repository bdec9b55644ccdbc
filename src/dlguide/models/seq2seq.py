"""From one sequence to another: an encoder, a decoder, and attention between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlguide.models._check import check_ids, check_lengths, check_sizes, real_positions


class Seq2Seq(nn.Module):
    r"""A GRU reads the source, a second one writes the target and looks at the source before each word.

    $$a_{ts} = \operatorname{softmax}_s(d_t \cdot e_s), \qquad c_t = \sum_s a_{ts}\, e_s, \qquad
    \operatorname{logits}_t = \tanh([c_t, d_t]\, W_c^\top)\, W^\top + b$$

    Here $e_s$ is the encoder's state at word $s$ of the source, $d_t$ the decoder's state after word $t$ of what has
    been written, $a_{ts}$ the weight of $s$ for $t$, 0 in the padding, and $c_t$ the context. The encoder reads in both
    directions, and its last states are the decoder's first. In training the decoder reads the right words (teacher
    forcing): the inputs are `(source, lengths, target[:, :-1])` with a target that begins with a start and ends with an
    end symbol, and the loss is `next_token_loss(logits, target[:, 1:])`.

    Args:
        vocabulary: number of ids of source and target, 0 being padding.
        width: numbers in an embedding.
        hidden_size: numbers in a state, even: each direction of the encoder has half of them.

    Raises:
        ValueError: ids outside the vocabulary, lengths that do not fit, or an odd `hidden_size`.

    Example:
        ```python
        import torch
        from dlguide.models import Seq2Seq

        model = Seq2Seq(vocabulary=12)
        source, lengths = torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1])
        print(model(source, lengths, torch.tensor([[2, 7, 6, 5], [2, 8, 0, 0]])).shape)
        print(model.greedy(source, lengths, start=2, end=3, max_length=6).shape[0])
        ```

        ``` {.text .output}
        torch.Size([2, 4, 12])
        2
        ```

    References:
        - Sutskever et al. 2014, arXiv:1409.3215; Bahdanau et al. 2014, arXiv:1409.0473 (attention)
        - Luong et al. 2015, arXiv:1508.04025, section 3.1 (global attention with the score "dot")
    """

    def __init__(self, vocabulary: int, width: int = 32, hidden_size: int = 64) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, width=width, hidden_size=hidden_size)
        if hidden_size % 2:
            raise ValueError(f"expected an even hidden_size, half for each direction, got {hidden_size}")
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder = nn.GRU(width, hidden_size // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(width, hidden_size, batch_first=True)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.out = nn.Linear(hidden_size, vocabulary)

    def forward(self, source: Tensor, lengths: Tensor, written: Tensor) -> Tensor:
        """Guess the next word of the target after each word that has been written.

        Args:
            source: ids `[N, S]`, int64.
            lengths: `[N]`, int64, in `[1, S]`.
            written: ids `[N, T]`, int64: the start symbol, then the words of the target.

        Returns:
            Logits `[N, T, vocabulary]`; those at t depend on the source and on what is written up to t.
        """
        states, last, real = self._encode(source, lengths)
        return self._decode(written, last, states, real)[0]

    def weights(self, source: Tensor, lengths: Tensor, written: Tensor) -> Tensor:
        """Say where the decoder looks.

        Args:
            source: ids `[N, S]`, int64.
            lengths: `[N]`, int64, in `[1, S]`.
            written: ids `[N, T]`, int64: the start symbol, then words.

        Returns:
            `[N, T, S]`: for each written word the weights of the source, which add up to 1.
        """
        states, last, real = self._encode(source, lengths)
        return self._decode(written, last, states, real)[2]

    @torch.no_grad()
    def greedy(self, source: Tensor, lengths: Tensor, start: int, end: int, max_length: int = 50) -> Tensor:
        """Write the likeliest word each time, until every text has ended.

        Args:
            source: ids `[N, S]`, int64.
            lengths: `[N]`, int64, in `[1, S]`.
            start: id of the start symbol.
            end: id of the end symbol.
            max_length: stop after so many words, at least 1.

        Returns:
            Ids `[N, T]` without the start symbol; behind the end symbol they are 0.
        """
        check_sizes(max_length=max_length)
        states, state, real = self._encode(source, lengths)
        word = torch.full_like(source[:, :1], start)
        ended = torch.zeros_like(word, dtype=torch.bool)
        words: list[Tensor] = []
        while len(words) < max_length and not ended.all():
            logits, state, _ = self._decode(word, state, states, real)
            word = logits.argmax(2).masked_fill(ended, 0)  # [N, 1]
            ended = ended | (word == end)
            words.append(word)
        return torch.cat(words, dim=1)

    def _encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the states [N, S, hidden], the last ones [1, N, hidden], and where there is text [N, S]."""
        check_ids(source, self.embedding.num_embeddings, "source")
        check_lengths(lengths, *source.shape)
        packed = pack_padded_sequence(
            self.embedding(source), lengths.cpu(), batch_first=True, enforce_sorted=False
        )  # so that the direction from right to left starts at the last word and not in the padding
        states, last = self.encoder(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        return states, torch.cat([last[0], last[1]], dim=1)[None], real_positions(source, lengths)

    def _decode(self, written: Tensor, state: Tensor, states: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits [N, T, vocabulary], the state after the last word, and the weights [N, T, S]."""
        check_ids(written, self.embedding.num_embeddings, "written words")
        d, state = self.decoder(self.embedding(written), state)  # [N, T, hidden]
        scores = d @ states.transpose(1, 2)  # [N, T, S]
        a = scores.masked_fill(~real[:, None], -torch.inf).softmax(2)
        return self.out(torch.tanh(self.combine(torch.cat([a @ states, d], dim=2)))), state, a
