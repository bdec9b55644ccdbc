r"""Backpropagation by hand: the forward and the backward pass of a small network as a list of named steps.

Autograd has no part in it. `backprop` does the arithmetic of the chain rule; `check` compares what comes out with
autograd and with finite differences. One sample is a vector; a batch is a matrix with one sample in each row:

| | one sample, $x$ of shape (n,) | a batch, $x$ of shape (S, n) |
| --- | --- | --- |
| forward | $z_1 = W_1 x + b_1$ | $z_1 = x W_1^\top + b_1$, as in `nn.Linear` |
| backward | $\delta_h = (W_2^\top \delta_k) \odot \sigma'(z_1)$ | $\delta_h = (\delta_k W_2) \odot \sigma'(z_1)$ |
| weight | $\delta_h x^\top$ | $\delta_h^\top x$, which adds up the samples |
| bias | $\delta_h$ | $\sum_s \delta_h$, the sum of the rows |

The right column is the left one transposed. In both, $W_1$ has one row per neuron and one column per input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dlguide.functions import ACTIVATIONS, LOSSES, Activation, Loss
from dlguide.trace import Report, Step, Trace, plain, tex


def backprop(layers: Sequence[Layer], x: Tensor, t: Tensor, loss: str | Loss = "half_sse") -> Trace:
    r"""Run one forward and one backward pass and keep every intermediate value.

    With $D$ layers, $a_0 = x$ and $a_D = y$, forward: $z_i = W_i a_{i-1} + b_i$ and $a_i = f_i(z_i)$, then $L(y, t)$.
    Backward: $\delta_D = \frac{\partial L}{\partial y} \odot f_D'(z_D)$, then
    $\delta_i = (W_{i+1}^\top \delta_{i+1}) \odot f_i'(z_i)$. The gradients are
    $\frac{\partial L}{\partial W_i} = \delta_i a_{i-1}^\top$ and $\frac{\partial L}{\partial b_i} = \delta_i$.

    Args:
        layers: the network, first layer first.
        x: one sample of shape (n,) or a batch of shape (S, n); floating point, the dtype of the weights.
        t: the target, with the shape and dtype of the output $y$.
        loss: `"half_sse"` ($\frac{1}{2}\|y-t\|^2$, summed over everything), `"mse"` (the mean over the $N$ elements, as
            `nn.MSELoss`), `"bce"` (the mean, as `nn.BCELoss`; the last layer must be a sigmoid), or a `Loss`.

    Returns:
        The steps in the order of computation: `z1, h, z2, y, L, delta_k, dW2, db2, delta_h, dW1, db1` for two layers;
        deeper networks number their hidden layers (`h1, h2, …, delta_h2, delta_h1`). Values keep the dtype of `x`.

    Raises:
        ValueError: a shape, a dtype or a name does not fit; the sentence says which.

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
    layers, rule = tuple(layers), _loss(loss)
    _expect_fit(layers, x, t, rule)
    one = x.ndim == 1
    with torch.no_grad():
        zs, acts, value = _forward(layers, x, t, rule)
        steps = []
        for i, (layer, z, a) in enumerate(zip(layers, zs, acts[1:], strict=True), 1):
            a_in = tex(_activation_name(i - 1, len(layers)))
            steps += [
                Step(f"z{i}", rf"W_{i} {a_in} + b_{i}" if one else rf"{a_in} W_{i}^\top + b_{i}", z),
                Step(_activation_name(i, len(layers)), rf"{layer.f.symbol}(z_{i})", a),
            ]
        steps.append(Step("L", rule.formula, value))
        delta, formula = rule.slope(acts[-1], t), rule.start  # of y, or of z where the last derivative cancels
        for i in range(len(layers), 0, -1):
            layer, z, a = layers[i - 1], zs[i - 1], acts[i - 1]
            if i < len(layers) or not rule.cancels:
                delta, formula = delta * layer.f.slope(z), rf"{formula} \odot {layer.f.symbol}'(z_{i})"
            name, a_in = _delta_name(i, len(layers)), tex(_activation_name(i - 1, len(layers)))
            d = tex(name)
            steps += [
                Step(name, formula, delta),
                Step(f"dW{i}", rf"{d} {a_in}^\top" if one else rf"{d}^\top {a_in}", _weight_gradient(delta, a)),
                Step(f"db{i}", d if one else rf"\sum_s {d}", delta.clone() if one else delta.sum(0)),
            ]
            formula = rf"(W_{i}^\top {d})" if one else rf"({d} W_{i})"
            delta = layer.W.T @ delta if one else delta @ layer.W
    return Trace(tuple(steps))


def _forward(layers: Sequence[Layer], x: Tensor, t: Tensor, rule: Loss) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The values before (zs) and after (acts, with x in front) each activation, and the loss."""
    zs: list[Tensor] = []
    acts = [x]
    for layer in layers:
        z = layer.W @ acts[-1] + layer.b if x.ndim == 1 else acts[-1] @ layer.W.T + layer.b
        zs.append(z)
        acts.append(layer.f.value(z))
    return zs, acts, rule.value(zs[-1], acts[-1], t)


def _weight_gradient(delta: Tensor, a: Tensor) -> Tensor:
    # one sample: a column times a row, (m, 1) @ (1, n); a batch: (m, S) @ (S, n), which sums over the S samples
    return delta[:, None] @ a[None, :] if delta.ndim == 1 else delta.T @ a


@dataclass(frozen=True, eq=False)
class Layer:
    r"""One layer $a = f(W x + b)$ of $m$ neurons on $n$ inputs.

    Args:
        W: weights $W$, shape (m, n): one row per neuron, as `nn.Linear.weight`; floating point.
        b: biases $b$, shape (m,), same dtype.
        activation: `"sigmoid"`, `"tanh"`, `"relu"`, `"identity"` or an `Activation`.

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
            raise ValueError(f"W has shape {_by(self.W)}, but a layer needs a matrix: one row per neuron.")
        if self.b.shape != self.W.shape[:1]:
            raise ValueError(f"W is {_by(self.W)} but b has shape {_by(self.b)}: give b one entry per row of W.")
        if isinstance(self.activation, str) and self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}: use {_names(ACTIVATIONS)} or an Activation.")

    @property
    def f(self) -> Activation:
        r"""The activation $f$ with its derivative $f'$."""
        return ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation

    def __repr__(self) -> str:
        """The sizes and the activation."""
        name = self.activation if isinstance(self.activation, str) else plain(self.f.symbol)
        return f"Layer({self.W.shape[1]} inputs -> {self.W.shape[0]} neurons, {name})"


def check(layers: Sequence[Layer], x: Tensor, t: Tensor, loss: str | Loss = "half_sse", step: float = 1e-6) -> Report:
    r"""Compare the hand-made gradients with autograd and with finite differences.

    The finite difference of the entry $w$ is $\frac{L(w + \epsilon) - L(w - \epsilon)}{2 \epsilon}$, always in float64.

    Args:
        layers: the network, as for `backprop`.
        x: one sample (n,) or a batch (S, n).
        t: the target, shaped as the output.
        loss: the name of a loss or a `Loss`.
        step: $\epsilon$, in the weights' own unit; keep $z$ of a ReLU further than this from 0.

    Returns:
        One row per parameter; `report.passed` says whether all agree.

    Raises:
        ValueError: as `backprop`.

    Example:
        ```python
        import torch
        from dlguide.backprop import Layer, check

        W, b = torch.tensor([[0.5, -0.3]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        print(check([Layer(W, b)], torch.tensor([1.0, 2.0]).double(), torch.tensor([0.5]).double()))
        ```

        ``` {.text .output}
        gradient  autograd  finite differences
        dW1       True      True
        db1       True      True
        ```
    """
    layers, rule = tuple(layers), _loss(loss)
    hand = backprop(layers, x, t, rule).gradients()
    layers64 = [replace(layer, W=layer.W.double(), b=layer.b.double()) for layer in layers]
    hand64 = backprop(layers64, x.double(), t.double(), rule).gradients()
    rows = []
    for name, auto in _by_autograd(layers, x, t, rule).items():
        diff = _by_differences(layers64, x.double(), t.double(), rule, name, step)
        eps = torch.finfo(auto.dtype).eps
        rows.append((f"d{name}", _agree(hand[name], auto, eps**0.5, 4 * eps), _agree(hand64[name], diff, 1e-5, 1e-9)))
    return Report(tuple(rows))


def _by_autograd(layers: Sequence[Layer], x: Tensor, t: Tensor, rule: Loss) -> dict[str, Tensor]:
    params = {name: value.clone().requires_grad_() for name, value in _parameters(layers).items()}
    with torch.enable_grad():
        z = a = x.detach()
        for i, layer in enumerate(layers, 1):
            z = F.linear(a, params[f"W{i}"], params[f"b{i}"])
            a = layer.f.value(z)
        grads = torch.autograd.grad(rule.value(z, a, t), list(params.values()))
    return dict(zip(params, grads, strict=True))


def _by_differences(layers: list[Layer], x: Tensor, t: Tensor, rule: Loss, name: str, step: float) -> Tensor:
    kind, at = name[0], int(name[1:]) - 1
    value = _parameters(layers)[name]
    found = torch.empty_like(value)
    for k in range(value.numel()):
        sides = []
        for sign in (+1, -1):
            moved = value.clone()
            moved.view(-1)[k] += sign * step
            nudged = replace(layers[at], W=moved) if kind == "W" else replace(layers[at], b=moved)
            sides.append(_forward([*layers[:at], nudged, *layers[at + 1 :]], x, t, rule)[2])
        found.view(-1)[k] = (sides[0] - sides[1]) / (2 * step)
    return found


def _agree(ours: Tensor, theirs: Tensor, relative: float, absolute: float) -> bool:
    return bool((ours - theirs).abs().max() <= relative * theirs.abs().max() + absolute)


def _expect_fit(layers: Sequence[Layer], x: Tensor, t: Tensor, rule: Loss) -> None:
    if not layers:
        raise ValueError("the list of layers is empty: give at least one Layer.")
    if x.ndim not in (1, 2):
        raise ValueError(f"x has shape {_by(x)}: give one sample as a vector (n,) or a batch as a matrix (S, n).")
    named = {"x": x, "t": t, **_parameters(layers)}
    if not x.is_floating_point() or any(v.dtype != x.dtype for v in named.values()):
        found = ", ".join(f"{name} {str(v.dtype).removeprefix('torch.')}" for name, v in named.items())
        raise ValueError(f"all tensors need one floating dtype, but came {found}: convert them, e.g. with .double().")
    width, source = x.shape[-1], "x"
    for i, layer in enumerate(layers, 1):
        m, n = layer.W.shape
        if n != width:
            need = f"W{i} must be {m}×{width}, one row per neuron and one column per entry of {source}"
            raise ValueError(f"W{i} is {m}×{n} but {source} has {width} entries: {need}.")
        width, source = m, _activation_name(i, len(layers))
    if t.shape != (*x.shape[:-1], width):
        shapes = f"t has shape {tuple(t.shape)} but y has shape {(*x.shape[:-1], width)}"
        raise ValueError(f"{shapes}: give one target per output.")
    if rule.cancels and layers[-1].f is not ACTIVATIONS[rule.cancels]:
        raise ValueError(f"this loss needs a {rule.cancels} output but the last layer is {layers[-1]!r}: change one.")


def _parameters(layers: Sequence[Layer]) -> dict[str, Tensor]:
    return {f"{kind}{i}": value for i, la in enumerate(layers, 1) for kind, value in (("W", la.W), ("b", la.b))}


def _loss(loss: str | Loss) -> Loss:
    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use {_names(LOSSES)} or a Loss.")
    return LOSSES[loss] if isinstance(loss, str) else loss


def _names(table: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in table)


def _by(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) if value.ndim > 1 else str(tuple(value.shape))


def _activation_name(i: int, depth: int) -> str:
    if i in (0, depth):
        return "x" if i == 0 else "y"
    return "h" if depth == 2 else f"h{i}"


def _delta_name(i: int, depth: int) -> str:
    return "delta_k" if i == depth else f"delta_{_activation_name(i, depth)}"
