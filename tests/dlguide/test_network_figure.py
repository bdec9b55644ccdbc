"""The picture of a network shows the numbers of its trace."""

from __future__ import annotations

import pytest
import torch
from matplotlib import pyplot as plt

from dlguide.backprop import Layer, backprop
from dlguide.network_figure import draw_network

plt.switch_backend("agg")
LAYERS = [
    Layer(torch.tensor([[0.1, 0.2, -0.1], [-0.2, 0.1, 0.1]]), torch.zeros(2)),
    Layer(torch.tensor([[0.5, -0.3]]), torch.zeros(1)),
]
X, T = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5])


def test_every_value_delta_and_weight_is_written() -> None:
    figure = draw_network(LAYERS, X, T)
    ax = figure.axes[0]
    texts = [text.get_text() for text in ax.texts]
    trace = backprop(LAYERS, X, T)
    values = [*X.tolist(), *trace["h"].tolist(), *trace["y"].tolist()]
    assert all(f"{v:.3g}" in texts for v in values)
    assert all(rf"$\delta$ = {d:.3g}" in texts for d in [*trace["delta_h"].tolist(), *trace["delta_k"].tolist()])
    assert all(f"{w:.3g}" in texts for layer in LAYERS for w in layer.W.flatten().tolist())
    assert len(ax.patches) == 6
    assert len(ax.lines) == 8
    plt.close(figure)


def test_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(1, 3\), but the picture shows one sample"):
        draw_network(LAYERS, X[None], T[None])
