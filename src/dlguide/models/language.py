"""Two models that guess the next character: an LSTM and a small GPT, and the loss that trains them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide.models._check import check_ids, check_share, check_sizes
from dlguide.models.transformer import Block


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    r"""The mean cross-entropy over all positions that are not padding.

    $$L = -\frac{1}{n} \sum_{t:\, y_t \ne 0} \log \operatorname{softmax}(\operatorname{logits}_t)_{y_t}$$

    Here $y_t$ is the target at position $t$, that is the id that comes next, and $n$ the number of targets that are not
    0.

    Args:
        logits: `[N, T, V]`, float: what a language model or `Seq2Seq` returns.
        targets: `[N, T]`, int64, in `[0, V)`, with 0 for padding; at least one is not 0.

    Returns:
        The loss, one number.

    Raises:
        ValueError: logits and targets of different N or T.

    Example:
        ```python
        import torch
        from dlguide.models import next_token_loss

        ids = torch.tensor([[3, 1, 2, 0]])
        logits = torch.zeros(1, 3, 4)  # four ids, equally likely: the loss is log 4
        print(f"{next_token_loss(logits, targets=ids[:, 1:]):.3f}")
        ```

        ``` {.text .output}
        1.386
        ```

    References:
        - [torch.nn.functional.cross_entropy](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html)
    """
    if logits.dim() != 3 or logits.shape[:2] != targets.shape:
        raise ValueError(
            f"expected logits [N, T, V] and targets [N, T], got {list(logits.shape)} and {list(targets.shape)}:"
            " targets are the inputs, moved one position to the left"
        )
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)


class CharRNN(nn.Module):
    r"""An LSTM that reads characters and after each one guesses the next.

    $$h_t = \operatorname{LSTM}(E_{i_t}, h_{t-1}), \qquad \operatorname{logits}_t = h_t W^\top + b$$

    Here $i_t$ is the id of character $t$ and $E$ the table of embeddings. Train it with `next_token_loss` on
    `(ids[:, :-1], ids[:, 1:])`.

    Args:
        vocabulary: number of ids, 0 being padding.
        width: numbers in an embedding.
        hidden_size: numbers in the state.
        num_layers: LSTM layers on top of each other.

    Raises:
        ValueError: ids outside the vocabulary.

    Example:
        ```python
        import torch
        from dlguide.models import CharRNN

        model = CharRNN(vocabulary=30)
        print(model(torch.tensor([[5, 9, 2]])).shape)
        print(model.generate(torch.tensor([[5, 9]]), n=4).shape)
        ```

        ``` {.text .output}
        torch.Size([1, 3, 30])
        torch.Size([1, 6])
        ```

    References:
        - Graves 2013, arXiv:1308.0850, sections 2 and 3.1
    """

    def __init__(self, vocabulary: int, width: int = 64, hidden_size: int = 128, num_layers: int = 1) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, width=width, hidden_size=hidden_size, num_layers=num_layers)
        self.embedding = nn.Embedding(vocabulary, width)
        self.rnn = nn.LSTM(width, hidden_size, num_layers, batch_first=True)
        self.out = nn.Linear(hidden_size, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Guess the id after each position.

        Args:
            ids: `[N, T]`, int64, in `[0, vocabulary)`.

        Returns:
            Logits `[N, T, vocabulary]`; those at t depend on the ids up to t only.
        """
        check_ids(ids, self.embedding.num_embeddings)
        return self.out(self.rnn(self.embedding(ids))[0])

    @torch.no_grad()
    def generate(
        self, prompt: Tensor, n: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Write on, one id at a time; each step reads one id and the state that stands for all before.

        Args:
            prompt: ids `[N, T]`, int64, with T at least 1.
            n: how many ids to add.
            temperature: divides the logits; below 1 the likely ids become likelier, 0 takes the likeliest.
            generator: draws the ids; torch's own if not given.

        Returns:
            The prompt and what follows, `[N, T + n]`.
        """
        check_ids(prompt, self.embedding.num_embeddings, "prompt")
        ids, state = [prompt], None
        for _ in range(n):
            hidden, state = self.rnn(self.embedding(ids[-1]), state)
            ids.append(_draw(self.out(hidden[:, -1]), temperature, generator))
        return torch.cat(ids, dim=1)


class GPT(nn.Module):
    r"""A stack of causal blocks that after each position guesses the next id.

    $$x_t = E_{i_t} + P_t, \qquad y = \operatorname{blocks}(x), \qquad
    \operatorname{logits}_t = \operatorname{norm}(y_t)\, E^\top$$

    Here $i_t$ is id $t$, $E$ the table of embeddings, used at the entrance and at the exit (weight tying), and $P$ the
    table of positions. As in GPT-2 the weights start from a normal distribution with standard deviation 0.02, those
    that end a part of a block smaller by $\sqrt{2 \cdot \text{depth}}$. The blocks are in `model.blocks`, a
    `ModuleList`. Train it with `next_token_loss` on `(ids[:, :-1], ids[:, 1:])`.

    Args:
        vocabulary: number of ids, 0 being padding.
        context: the longest sequence that there are positions for.
        width: numbers at each position.
        heads: heads of the attention; divides `width`.
        depth: number of blocks.
        dropout: probability, in [0, 1), that a number is dropped.

    Raises:
        ValueError: ids outside the vocabulary, or a sequence longer than `context`.

    Example:
        ```python
        import torch
        from dlguide.models import GPT

        model = GPT(vocabulary=30, context=16, width=32, heads=4, depth=2)
        print(model(torch.tensor([[5, 9, 2]])).shape)
        print(model.generate(torch.tensor([[5, 9]]), n=20).shape)  # longer than the context: the last 16 are read
        ```

        ``` {.text .output}
        torch.Size([1, 3, 30])
        torch.Size([1, 22])
        ```

    References:
        - Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3
        - Press and Wolf 2016, arXiv:1608.05859 (weight tying)
    """

    def __init__(
        self,
        vocabulary: int,
        context: int = 128,
        width: int = 128,
        heads: int = 4,
        depth: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, context=context, width=width, depth=depth)
        check_share("dropout", dropout)
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, causal=True, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, vocabulary, bias=False)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                ends_a_part = name.endswith(("out_proj", "mlp.2"))
                nn.init.normal_(module.weight, std=0.02 / (2 * depth) ** 0.5 if ends_a_part else 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        self.out.weight = self.embedding.weight  # one tensor under two names

    def forward(self, ids: Tensor) -> Tensor:
        """Guess the id after each position.

        Args:
            ids: `[N, T]`, int64, in `[0, vocabulary)`, with T up to `context`.

        Returns:
            Logits `[N, T, vocabulary]`; those at t depend on the ids up to t only.
        """
        check_ids(ids, self.embedding.num_embeddings)
        if ids.shape[1] > self.positions.num_embeddings:
            raise ValueError(
                f"expected sequences of up to {self.positions.num_embeddings} ids, got {ids.shape[1]}: cut them, or"
                f" build GPT(context={ids.shape[1]})"
            )
        x = self.dropout(self.embedding(ids) + self.positions.weight[: ids.shape[1]])  # [N, T, width]
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))

    @torch.no_grad()
    def generate(
        self, prompt: Tensor, n: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Write on, one id at a time; each step reads the last `context` ids anew.

        With dropout, call `eval()` first.

        Args:
            prompt: ids `[N, T]`, int64, with T at least 1.
            n: how many ids to add.
            temperature: divides the logits; below 1 the likely ids become likelier, 0 takes the likeliest.
            generator: draws the ids; torch's own if not given.

        Returns:
            The prompt and what follows, `[N, T + n]`.
        """
        ids = prompt
        for _ in range(n):
            logits = self(ids[:, -self.positions.num_embeddings :])[:, -1]  # [N, vocabulary]
            ids = torch.cat([ids, _draw(logits, temperature, generator)], dim=1)
        return ids


def _draw(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Draw one id for each row of logits [N, V]; [N, 1]. Padding is never drawn."""
    if temperature < 0:
        raise ValueError(f"expected a temperature of at least 0, got {temperature}")
    logits = logits.index_fill(1, torch.tensor([0], device=logits.device), -torch.inf)
    if temperature == 0:
        return logits.argmax(1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)
