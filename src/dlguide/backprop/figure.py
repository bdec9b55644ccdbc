r"""A picture of one forward and one backward pass: the network with its values and its deltas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from dlguide.backprop.network import Layer, backprop
from dlguide.backprop.rules import Loss

if TYPE_CHECKING:  # Matplotlib takes half a second to import: only a drawing pays for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RADIUS = 0.3  # of a neuron; neighbours in a column stand at least 1 apart, columns 2


def draw_network(layers: Sequence[Layer], x: Tensor, t: Tensor, loss: str | Loss = "half_sse") -> Figure:
    r"""Draw the network with the value of each neuron inside its circle and its $\delta$ below it.

    The lines carry the weights; biases are not drawn.

    Args:
        layers: the network, as for [backprop][dlguide.backprop.backprop]; up to about five neurons a layer.
        x: one sample of shape (n,).
        t: the target, as for `backprop`.
        loss: the name of a loss or a `Loss`.

    Returns:
        The Matplotlib figure, not yet shown.

    Raises:
        ValueError: `x` is a batch, or something does not fit, as in `backprop`.

    Example:
        ```python
        import torch
        from dlguide.backprop import Layer, draw_network

        neuron = Layer(torch.tensor([[0.5, -0.3]]), torch.zeros(1))
        figure = draw_network([neuron], torch.tensor([1.0, 2.0]), torch.tensor([0.5]))
        print(len(figure.axes[0].patches), "circles")
        ```

        ``` {.text .output}
        3 circles
        ```
    """
    from matplotlib import pyplot as plt

    if x.ndim != 1:
        raise ValueError(f"x has shape {tuple(x.shape)}, but the picture shows one sample: give a vector, e.g. x[0].")
    trace = backprop(layers, x, t, loss)
    deltas = [step for step in reversed(trace.steps) if step.symbol.startswith("delta")]  # first layer first
    outputs = [a.value for z, a in pairwise(trace) if z.symbol.startswith("z")]
    names = [a.symbol for z, a in pairwise(trace) if z.symbol.startswith("z")]
    tallest = max(len(values) for values in [x, *outputs])
    columns = [_column(2.0 * i, len(values), tallest) for i, values in enumerate([x, *outputs])]

    figure, ax = plt.subplots(figsize=(max(5.6, 2.0 * len(layers)), 1.1 + tallest), layout="constrained")
    for layer, left, right in zip(layers, columns, columns[1:], strict=False):
        for row, end in zip(layer.W, right, strict=True):
            for weight, start in zip(row, left, strict=True):
                _connect(ax, start, end, weight.item())
    for name, values, column in zip(["x", *names], [x, *outputs], columns, strict=True):
        for j, (value, centre) in enumerate(zip(values, column, strict=True)):
            ax.add_patch(plt.Circle(centre, RADIUS, fill=False, edgecolor="C0", linewidth=1.5))
            ax.text(*centre, f"{value.item():.3g}", ha="center", va="center")
            index = f"_{j + 1}" if len(values) > 1 else ""
            ax.text(centre[0], centre[1] + RADIUS + 0.04, f"${name[0]}{index}$", ha="center", va="bottom")
    for step, column in zip(deltas, columns[1:], strict=True):
        for value, centre in zip(step.value, column, strict=True):
            label = rf"$\delta$ = {value.item():.3g}"
            ax.text(centre[0] + 0.15, centre[1] - RADIUS - 0.05, label, ha="center", va="top", color="C1")

    end, top = columns[-1][0], tallest / 2 + 0.2
    ax.text(end[0] + 0.45, end[1], f"$L$ = {trace['L'].item():.3g}", ha="left", va="center")
    ax.annotate("forward: values", (end[0], top), (0, top), va="center", color="C0", arrowprops=_arrow("C0"))
    ax.annotate(
        "backward: deltas", (0, -top), (end[0], -top), ha="right", va="center", color="C1", arrowprops=_arrow("C1")
    )
    ax.set(xlim=(-0.5, end[0] + 1.4), ylim=(-top - 0.25, top + 0.25), aspect="equal")
    ax.axis("off")
    return figure


def _column(x: float, count: int, tallest: int) -> list[tuple[float, float]]:
    """Centres from top to bottom; short columns are spread a little, so that lines and numbers stay apart."""
    gap = min(1.5, (tallest - 1) / max(count - 1, 1))
    return [(x, gap * ((count - 1) / 2 - j)) for j in range(count)]


def _connect(ax: Axes, start: tuple[float, float], end: tuple[float, float], weight: float) -> None:
    """A line between two circles, with its weight written beside it near the start."""
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    ax.plot([x0 + RADIUS * ux, x1 - RADIUS * ux], [y0 + RADIUS * uy, y1 - RADIUS * uy], color="0.5", linewidth=0.8)
    at, up = 0.27, 0.12  # a share of the line, and the distance from it on its upper side
    x, y = x0 + at * (x1 - x0) - up * uy, y0 + at * (y1 - y0) + up * ux
    ax.text(x, y, f"{weight:.3g}", ha="center", va="center", fontsize=9)


def _arrow(color: str) -> dict[str, str]:
    return {"arrowstyle": "->", "color": color}
