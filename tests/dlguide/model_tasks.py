"""Every model of the package, small, with inputs, targets and a loss."""

import torch
import torch.nn.functional as F

from dlguide import models
from dlguide.models import negative_elbo, next_token_loss

GENERATOR = torch.Generator().manual_seed(3)
PICTURES = torch.randn(6, 1, 12, 12, generator=GENERATOR)
ROWS = torch.randn(6, 7, 5, generator=GENERATOR)
LENGTHS = torch.tensor([7, 3, 1, 5, 7, 2])
IDS = torch.randint(1, 20, (6, 7), generator=GENERATOR).masked_fill(torch.arange(7) >= LENGTHS[:, None], 0)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
NEXT = torch.cat([IDS[:, 1:], IDS[:, :1]], dim=1)

PIXELS = (PICTURES > 0).float()

# name: the model, its inputs, the targets, the loss
EVERY = {
    "linear": (lambda: models.MLP(144, (), 3), (PICTURES,), LABELS, F.cross_entropy),
    "MLP": (lambda: models.MLP(144, (16,), 3), (PICTURES,), LABELS, F.cross_entropy),
    "CNN": (lambda: models.CNN((1, 12, 12), (4, 8), 16, 3), (PICTURES,), LABELS, F.cross_entropy),
    "LeNet": (lambda: models.LeNet((1, 12, 12), 3, padding=2), (PICTURES,), LABELS, F.cross_entropy),
    "ResNet": (lambda: models.ResNet(8, 1, 3), (PICTURES,), LABELS, F.cross_entropy),
    "VGG": (lambda: models.VGG(11, (1, 12, 12), 3, width=4), (PICTURES,), LABELS, F.cross_entropy),
    "SpeedyNet": (lambda: models.SpeedyNet((1, 12, 12), 3, (8, 16, 16)), (PICTURES,), LABELS, F.cross_entropy),
    "Transfer": (lambda: models.Transfer(models.CNN((3, 12, 12), (4, 8), 16, 9), 9, 3), (PICTURES,), LABELS,
                 F.cross_entropy),
    "RNN": (lambda: models.RNNClassifier("RNN", 5, 8, 3), (ROWS, LENGTHS), LABELS, F.cross_entropy),
    "LSTM": (lambda: models.RNNClassifier("LSTM", 5, 8, 3, 2), (ROWS,), LABELS, F.cross_entropy),
    "GRU on ids": (lambda: models.RNNClassifier("GRU", 6, 8, 3, vocabulary=20), (IDS, LENGTHS), LABELS,
                   F.cross_entropy),
    "bidirectional": (lambda: models.RNNClassifier("LSTM", 6, 8, 3, vocabulary=20, bidirectional=True),
                      (IDS, LENGTHS), LABELS, F.cross_entropy),
    "TextCNN": (lambda: models.TextCNN(20, 3, 8, filters=6, dropout=0.1), (IDS, LENGTHS), LABELS, F.cross_entropy),
    "BagOfNgrams": (lambda: models.BagOfNgrams(20, 3, buckets=64), (IDS, LENGTHS), LABELS, F.cross_entropy),
    "Transformer": (lambda: models.TransformerClassifier(20, 3, 16, 2, max_length=9), (IDS, LENGTHS), LABELS,
                    F.cross_entropy),
    "CharRNN": (lambda: models.CharRNN(20, 8, 16), (IDS,), NEXT, next_token_loss),
    "GPT": (lambda: models.GPT(20, 9, 16, 2, 2), (IDS,), NEXT, next_token_loss),
    "Seq2Seq": (lambda: models.Seq2Seq(20, 8, 16), (IDS, LENGTHS, NEXT), NEXT, next_token_loss),
    "Autoencoder": (lambda: models.Autoencoder((1, 12, 12)), (PICTURES,), PICTURES, F.mse_loss),
    "VAE": (lambda: models.VAE((1, 12, 12)), (PIXELS,), PIXELS, negative_elbo),
}  # fmt: skip


def make(name, dtype=torch.float32):
    build, inputs, y, loss = EVERY[name]
    torch.manual_seed(0)
    model = build().to(dtype)
    for p in model.parameters():  # a last layer of zeros would make everything equal
        if p.requires_grad and p.abs().sum() == 0:
            torch.nn.init.normal_(p, std=0.1)
    cast = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
    return model, cast, y.to(dtype) if y.is_floating_point() else y, loss


def first(output):
    return output[0] if isinstance(output, tuple) else output
