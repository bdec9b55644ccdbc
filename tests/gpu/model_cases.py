"""Every model of the package, small, with inputs: the table of the models' parity tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from dlguide import models
from tests.gpu.layer_cases import whole
from tests.gpu.parity import Case

PICTURES, ROWS = (4, 1, 12, 12), (4, 6, 8)
REAL = torch.arange(6) < torch.tensor([[6], [2], [5], [1]])  # not padding
IDS, LENGTHS = whole(19, 4, 9) + 1, torch.tensor([9, 2, 5, 1])


def model(name: str, make: Callable[[], nn.Module], *inputs: Any, note: str = "") -> Case:
    return Case(name, make, inputs, note, layer=True, initial=True)


MODEL_CASES = [
    model("MLP", lambda: models.MLP(144), PICTURES),
    model("CNN", lambda: models.CNN((1, 12, 12)), PICTURES),
    model("LeNet", lambda: models.LeNet((1, 12, 12), padding=2), PICTURES),
    model("ResNet", lambda: models.ResNet(8, 1), PICTURES),
    model("BasicBlock", lambda: models.BasicBlock(1, 4, stride=2), PICTURES),
    model("VGG", lambda: models.VGG(11, (1, 12, 12), width=8).eval(), PICTURES),
    model("SpeedyNet", lambda: models.SpeedyNet((1, 12, 12), widths=(8, 16, 16)), PICTURES),
    model("Transfer", lambda: models.Transfer(models.CNN((3, 12, 12), num_classes=16), 16, 10), (4, 3, 12, 12)),
    model("Autoencoder", lambda: models.Autoencoder((1, 12, 12)), PICTURES),
    model("VAE", lambda: models.VAE((1, 12, 12)).eval(), PICTURES),  # evaluation draws nothing
    *[model("RNNClassifier", partial(models.RNNClassifier, cell), ROWS, note=cell) for cell in ("RNN", "LSTM", "GRU")],
    model("RNNClassifier", lambda: models.RNNClassifier("LSTM", vocabulary=20, bidirectional=True), IDS, LENGTHS,
          note="packed words"),
    model("TextCNN", lambda: models.TextCNN(20, embedding=12, filters=5).eval(), IDS, LENGTHS),
    model("BagOfNgrams", lambda: models.BagOfNgrams(20, buckets=50), IDS, LENGTHS),
    model("TransformerClassifier",
          lambda: models.TransformerClassifier(20, 2, 16, heads=2, depth=2, max_length=9, dropout=0.0), IDS, LENGTHS),
    model("SelfAttention", lambda: models.SelfAttention(8, 2, causal=True), ROWS),
    model("SelfAttention", lambda: models.SelfAttention(8, 2, causal=True), ROWS, REAL, note="padded"),
    model("Block", lambda: models.Block(8, 2), ROWS, REAL),
    model("CharRNN", lambda: models.CharRNN(20, width=8, hidden_size=12), IDS),
    model("GPT", lambda: models.GPT(20, context=9, width=16, heads=2, depth=2), IDS),
    model("Seq2Seq", lambda: models.Seq2Seq(20, width=8, hidden_size=12), IDS, LENGTHS, IDS[:, :4]),
]  # fmt: skip
