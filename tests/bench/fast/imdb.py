"""IMDB with two models of this package: a bag of words and pairs, and a Transformer."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from recipe import SimilarLength, learned_from, timed, warm_up_then_linear

from dlguide.data import TensorBatches, load
from dlguide.models import build
from dlguide.train import Trainer

# name: longest text in words, known words, options of the model, batch, epochs, learning rate
RECIPES: dict[str, tuple[int, int, dict[str, Any], int, int, float]] = {
    "bag": (1500, 60_000, {"embedding": 16, "buckets": 2**20, "sparse": True}, 64, 3, 0.1),
    "transformer": (256, 20_000, {"width": 64, "heads": 4, "depth": 2, "dropout": 0.2}, 64, 3, 0.002),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=RECIPES, default="bag")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=25_000, help="use only so many examples")
    options = parser.parse_args()
    length, words, model_options, batch, epochs, lr = RECIPES[options.model]

    data = load("imdb", max_length=length, max_words=words)
    examples = learned_from(data, options.limit)
    torch.manual_seed(options.seed)
    model = build(options.model, data, **model_options)
    if options.model == "bag":  # takes sparse gradients: a step touches the rows of its batch alone
        torch.sparse.check_sparse_tensor_invariants.disable()  # said explicitly, or torch warns
        optimizer: torch.optim.Optimizer = torch.optim.Adagrad(model.parameters(), lr=lr)
    else:
        for block in model.blocks:  # type: ignore[union-attr]
            block.attention.dropout = 0.0  # the CPU's fused kernel has no dropout
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    steps = epochs * -(-len(examples) // batch)
    precision = "bf16" if options.model == "transformer" else "float32"
    trainer = Trainer(
        model, optimizer, device="cpu", schedule=warm_up_then_linear(optimizer, steps, 0.1), precision=precision
    )
    train = SimilarLength(examples, batch, options.seed)
    print(json.dumps(timed(trainer, train, TensorBatches(data.test, 500), steps)))


if __name__ == "__main__":
    main()
