"""IMDB with a bag of words and pairs and a Transformer of this package, and with a bidirectional LSTM."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from recipe import SimilarLength, learned_from, timed, warm_up_then_linear
from torch import Tensor, nn

from dlguide.data import Splits, load
from dlguide.models import build
from dlguide.train import Trainer

# name: longest text in words, known words, options of the model, batch, epochs, learning rate
RECIPES: dict[str, tuple[int, int, dict[str, Any], int, float, float]] = {
    "bag": (1500, 5_000, {"embedding": 4, "buckets": 2**20, "sparse": True}, 64, 1.75, 0.3),
    "lstm": (400, 20_000, {}, 64, 2.25, 0.008),
    "transformer": (256, 20_000, {"width": 64, "heads": 4, "depth": 2, "dropout": 0.2}, 64, 3, 0.002),
}


class BiLSTM(nn.Module):
    """Both directions over the text; of each number the largest value that it has at a word.

    Training leaves out one word in five. The embedding begins small, so that what is learned of a word outweighs it.
    """

    def __init__(self, words: int, width: int = 64, dropout: float = 0.4, left_out: float = 0.2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        with torch.no_grad():
            self.embedding.weight.mul_(0.3)
        self.left_out = nn.Dropout1d(left_out)  # whole words
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * width, 2)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        words = self.left_out(self.dropout(self.embedding(ids)))
        states, _ = self.lstm(words)  # [N, T, 2 * width]
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        largest = states.masked_fill(~real[..., None], -1.0).amax(1)  # no state is below -1
        logits: Tensor = self.out(self.dropout(largest))
        return logits


def make(name: str, data: Splits) -> nn.Module:
    return BiLSTM(len(data.vocabulary or ())) if name == "lstm" else build(name, data, **RECIPES[name][2])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=RECIPES, default="bag")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=25_000, help="use only so many examples")
    options = parser.parse_args()
    length, words, _, batch, epochs, lr = RECIPES[options.model]

    data = load("imdb", max_length=length, max_words=words)
    examples = learned_from(data, options.limit)
    torch.manual_seed(options.seed)
    model = make(options.model, data)
    if options.model == "bag":  # takes sparse gradients: a step touches the rows of its batch alone
        torch.sparse.check_sparse_tensor_invariants.disable()  # said explicitly, or torch warns
        optimizer: torch.optim.Optimizer = torch.optim.Adagrad(model.parameters(), lr=lr)
    else:
        torch.set_flush_denormal(True)
        for block in getattr(model, "blocks", ()):
            block.attention.dropout = 0.0  # the CPU's fused kernel has no dropout
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    steps = round(epochs * -(-len(examples) // batch))
    precision = "float32" if options.model == "bag" else "bf16"
    trainer = Trainer(
        model, optimizer, device="cpu", scheduler=warm_up_then_linear(optimizer, steps, 0.1), precision=precision,
        clip=None if options.model == "bag" else 1.0,
    )  # fmt: skip
    train = SimilarLength(examples, batch, options.seed)
    # the backward direction of the LSTM starts in the padding, so the test batches have little of it too
    print(json.dumps(timed(trainer, train, SimilarLength(data.test, 500, options.seed), steps)))


if __name__ == "__main__":
    main()
