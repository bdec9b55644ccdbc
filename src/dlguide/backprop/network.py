r"""A network of layers, one forward and one backward pass, every value kept.

| | one sample, $x$ of shape (n,) | a batch, $x$ of shape (S, n) |
| --- | --- | --- |
| forward | $z_1 = W_1 x + b_1$ | $z_1 = x W_1^\top + b_1$, as in `nn.Linear` |
| backward | $\delta_h = (W_2^\top \delta_k) \odot \sigma'(z_1)$ | $\delta_h = (\delta_k W_2) \odot \sigma'(z_1)$ |
| weight | $\delta_h x^\top$ | $\delta_h^\top x$, which adds up the samples |
| bias | $\delta_h$ | $\sum_s \delta_h$, the sum of the rows |

The right column is the left one transposed. In both, $W_1$ has one row per neuron and one column per input. The code
computes the right column; one sample is a batch of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlguide.backprop._expect import by, expect_fit, one_of
from dlguide.backprop.label import label
from dlguide.backprop.rules import ACTIVATIONS, Activation, Loss, find_loss, through
from dlguide.backprop.text import plain
from dlguide.backprop.trace import Step, Trace


def backprop(layers: Sequence[Layer], x: Tensor, t: Tensor, loss: str | Loss = "half_sse") -> Trace:
    r"""Run one forward and one backward pass and keep every intermediate value.

    With $D$ layers, $a_0 = x$ and $a_D = y$, forward: $z_i = W_i a_{i-1} + b_i$ and $a_i = f_i(z_i)$, then $L(y, t)$.
    Backward: $\delta_D = \frac{\partial L}{\partial y} \odot f_D'(z_D)$, then
    $\delta_i = (W_{i+1}^\top \delta_{i+1}) \odot f_i'(z_i)$. The gradients are
    $\frac{\partial L}{\partial W_i} = \delta_i a_{i-1}^\top$ and $\frac{\partial L}{\partial b_i} = \delta_i$. Where
    $f_i$ mixes the entries, as softmax does, its Jacobian $J$ takes the place of $f_i'$: $\delta_i = J^\top (\dots)$.

    Args:
        layers: the network, first layer first, of any depth.
        x: one sample of shape (n,) or a batch of shape (S, n); floating point, the dtype of the weights.
        t: the target, with the shape and dtype of the output $y$. `"ce"` and `"cross_entropy"` also take, and
            `"nll_loss"` and `"multi_margin_loss"` only take, the index of the right class: shape () or (S,), int64.
        loss: a key of `LOSSES` or a `Loss`. `"half_sse"` is
            $\frac{1}{2}\|y-t\|^2$, summed over everything; `"bce"` and `"ce"` are the cross-entropies after a last
            layer with sigmoid and softmax; PyTorch's losses go by the names of `torch.nn.functional`.

    Returns:
        The steps in the order of computation: `z1, h, z2, y, L, delta_k, dW2, db2, delta_h, dW1, db1` for two layers;
        deeper networks number their hidden layers (`h1, h2, …, delta_h2, delta_h1`). Values keep the dtype of `x`.

    Raises:
        ValueError: a shape, a dtype or a name does not fit; the sentence says which.
        RuntimeError: the target of a loss that takes only an index has a floating dtype.

    Example:
        ```python
        import torch
        from dlguide.backprop import Layer, backprop

        hidden = Layer(torch.tensor([[0.1, 0.2, -0.1], [-0.2, 0.1, 0.1]]), torch.zeros(2))
        output = Layer(torch.tensor([[0.5, -0.3]]), torch.zeros(1))
        trace = backprop([hidden, output], torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5]))
        print(trace["delta_k"], trace["delta_h"])
        ```

        ``` {.text .output}
        tensor([0.0064]) tensor([ 0.0008, -0.0005])
        ```

    References:
        - [Rumelhart, Hinton and Williams 1986](https://www.nature.com/articles/323533a0)
    """
    layers, rule = list(layers), find_loss(loss)
    expect_fit(layers, x, t, rule)
    with torch.no_grad():
        rows, given = (x[None], t[None]) if x.ndim == 1 else (x, t)
        targets = prepared(given, layers, rule, x.dtype)
        zs, acts = forward(layers, rows)
        y = acts[-1]
        start = rule.slope(y, targets)  # dL/dy; for a loss that cancels the last derivative, dL/dz
        passed = backward(layers, zs, acts, start, cancelled=bool(rule.cancels))
        values = {"L": rule.of(zs[-1], y, targets), "t": targets}
        for i, (z, a, (delta, dW, db)) in enumerate(zip(zs, acts[1:], passed, strict=True), 1):
            values |= {f"z{i}": z, f"a{i}": a, f"delta{i}": delta, f"dW{i}": dW, f"db{i}": db}
    steps = label([layer.f for layer in layers], rule, x.ndim == 1, 0 if targets is given else y.shape[-1])
    if x.ndim == 1:  # the loss and the gradients of the parameters have no row for each sample
        values = {key: v if key[:2] in ("L", "dW", "db") else v[0] for key, v in values.items()}
    return Trace(tuple(Step(symbol, formula, values[key], code) for key, symbol, formula, code in steps))


# --8<-- [start:forward]
def forward(layers: list[Layer], x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The values before and after each activation; x has shape (S, n)."""
    zs, acts = [], [x]
    for layer in layers:
        zs.append(acts[-1] @ layer.W.T + layer.b)
        acts.append(layer.f.value(zs[-1]))
    return zs, acts
# --8<-- [end:forward]


# --8<-- [start:backward]
def backward(
    layers: list[Layer],
    zs: list[Tensor],
    acts: list[Tensor],
    start: Tensor,  # dL/dy of shape (S, m); if cancelled, dL/dz of the last layer
    cancelled: bool = False,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Delta, dW and db of each layer, the first layer first."""
    found = []
    delta = start if cancelled else through(layers[-1].f, start, zs[-1])
    for i in reversed(range(len(layers))):
        found.append((delta, delta.T @ acts[i], delta.sum(0)))
        if i > 0:
            below = delta @ layers[i].W  # dL/da of the layer below
            delta = through(layers[i - 1].f, below, zs[i - 1])
    return found[::-1]
# --8<-- [end:backward]


def prepared(t: Tensor, layers: Sequence[Layer], rule: Loss, dtype: torch.dtype) -> Tensor:
    """The targets as the loss takes them: `"ce"` wants rows with a 1 at the class, so indices become such rows."""
    if t.is_floating_point() or not rule.cancels:
        return t
    return torch.eye(len(layers[-1].W), dtype=dtype, device=t.device)[t]


@dataclass(frozen=True, eq=False)
class Layer:
    r"""One layer $a = f(W x + b)$ of $m$ neurons on $n$ inputs.

    Args:
        W: weights $W$, shape (m, n): one row per neuron, as `nn.Linear.weight`; floating point.
        b: biases $b$, shape (m,), same dtype.
        activation: a key of `ACTIVATIONS` such as `"sigmoid"`, `"relu"`, `"gelu"`,
            `"softmax"` or `"identity"`, or an `Activation`.

    Returns:
        An immutable layer. It keeps the tensors it was given (detached from any graph) and never writes to them.

    Raises:
        ValueError: `W` is no matrix, `b` does not have one entry per row of `W`, or the activation is unknown.

    Example:
        ```python
        import torch
        from dlguide.backprop import Layer

        print(Layer(torch.zeros(2, 3), torch.zeros(2)))
        ```

        ``` {.text .output}
        Layer(3 inputs -> 2 neurons, sigmoid)
        ```

    References:
        - [torch.nn.Linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html)
    """

    W: Tensor
    b: Tensor
    activation: str | Activation = "sigmoid"

    def __post_init__(self) -> None:
        """Check the shapes, and cut the tensors off any graph."""
        object.__setattr__(self, "W", self.W.detach())
        object.__setattr__(self, "b", self.b.detach())
        if self.W.ndim != 2:
            raise ValueError(f"W has shape {by(self.W)}, but a layer needs a matrix: one row per neuron.")
        if self.b.shape != self.W.shape[:1]:
            raise ValueError(f"W is {by(self.W)} but b has shape {by(self.b)}: give b one entry per row of W.")
        if isinstance(self.activation, str) and self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}: use {one_of(ACTIVATIONS)} or an Activation.")

    @property
    def f(self) -> Activation:
        r"""The activation $f$ with its derivative $f'$."""
        return ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation

    def __repr__(self) -> str:
        """The sizes and the activation."""
        name = self.activation if isinstance(self.activation, str) else plain(self.f.symbol)
        return f"Layer({self.W.shape[1]} inputs -> {self.W.shape[0]} neurons, {name})"
