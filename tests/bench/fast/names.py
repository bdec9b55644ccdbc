"""Names, fast: the same kind of character RNN on batches of names of one length, so that nothing is padded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from recipe import learned_from, run, timed
from torch import Tensor
from torch.utils.data import TensorDataset

from dlguide.data import TensorBatches, data_folder, load
from dlguide.models import RNNClassifier
from dlguide.train import Trainer

BATCH = 64


class OneLength:
    """Batches of texts that are equally long, cut to that length; their order is drawn anew in each epoch."""

    def __init__(self, examples: TensorDataset, batch: int, seed: int) -> None:
        self.ids, self.lengths, self.y = examples.tensors
        self.batch, self.generator = batch, torch.Generator().manual_seed(seed)
        self.groups = [torch.nonzero(self.lengths == length)[:, 0] for length in self.lengths.unique()]

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch) for group in self.groups)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        shuffled = (group[torch.randperm(len(group), generator=self.generator)] for group in self.groups)
        batches = [rows for group in shuffled for rows in group.split(self.batch)]
        for i in torch.randperm(len(batches), generator=self.generator).tolist():
            rows = batches[i]
            yield self.ids[rows, : int(self.lengths[rows[0]])], self.y[rows]


def train(seed: int, limit: int, epochs: float) -> dict[str, float]:
    data = load(data_folder() / "names", unit="characters")
    assert data.vocabulary is not None
    torch.manual_seed(seed)
    model = RNNClassifier("RNN", 64, 128, len(data.classes), vocabulary=len(data.vocabulary))
    trainer = Trainer(model, torch.optim.Adam(model.parameters(), lr=0.003, fused=True), device="cpu")
    batches = OneLength(learned_from(data, limit), BATCH, seed)
    return timed(trainer, batches, TensorBatches(data.test, 1000), round(epochs * len(batches)))


if __name__ == "__main__":
    run(train, 100_000, epochs=12)
