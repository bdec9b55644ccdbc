"""The plain recurrent network (Elman 1990) of one layer: one step, the run over time, and backward through time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dlguide.functional._recurrent import (
    as_row,
    carry,
    check_cell,
    check_run,
    join,
    linear,
    time_steps,
    weight_gradients,
)

Function = Callable[[Tensor], Tensor]
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]


# --8<-- [start:over-time]
def _over_time(
    x: list[Tensor], h: Tensor, w_hh: Tensor, b_hh: Tensor | None, f: Function,
) -> tuple[list[Tensor], Tensor]:  # fmt: skip
    output = []
    for x_t in x:  # the input's part of one step, W_ih x_t + b_ih, for all sequences
        h_t = f(x_t + linear(h[: len(x_t)], w_hh, b_hh))
        output.append(h_t)
        h = carry(h_t, h)  # a sequence that has ended keeps its last state
    return output, h
# --8<-- [end:over-time]


# --8<-- [start:back-in-time]
def _back_in_time(
    grad_output: list[Tensor], grad_h: Tensor,
    output: list[Tensor], w_hh: Tensor, slope: Function,
) -> tuple[list[Tensor], Tensor]:  # fmt: skip
    deltas: list[Tensor] = []
    for grad_t, h_t in zip(reversed(grad_output), reversed(output), strict=True):
        # h_t is read twice: by the output at t and by the step t + 1
        delta = (grad_t + grad_h[: len(h_t)]) * slope(h_t)
        deltas.insert(0, delta)
        grad_h = carry(delta @ w_hh, grad_h)
    return deltas, grad_h
# --8<-- [end:back-in-time]


def rnn_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None, nonlinearity: str = "tanh",
) -> Tensor:  # fmt: skip
    r"""One step of a plain recurrent network.

    $$h_t = f(W_{ih}\, x_t + b_{ih} + W_{hh}\, h_{t-1} + b_{hh}), \qquad f = \tanh \text{ or } \operatorname{ReLU}$$

    Args:
        input: $x_t$, `[N, input_size]` or `[input_size]`, floating point.
        hx: $h_{t-1}$, `[N, hidden_size]` or `[hidden_size]`.
        w_ih: $W_{ih}$, `[hidden_size, input_size]`.
        w_hh: $W_{hh}$, `[hidden_size, hidden_size]`.
        b_ih: $b_{ih}$, `[hidden_size]`, or None.
        b_hh: $b_{hh}$, `[hidden_size]`, or None. PyTorch keeps two biases; only their sum matters.
        nonlinearity: `"tanh"` or `"relu"`.

    Returns:
        $h_t$, of the shape and dtype of `hx`.

    Raises:
        RuntimeError: shapes do not fit each other.
        ValueError: an unknown nonlinearity.

    Example:
        ```python
        import torch
        from dlguide.functional.rnn import rnn_cell

        one = torch.ones(1, 1)
        h = torch.zeros(1)
        for x in (1.0, 0.0, 0.0):
            h = rnn_cell(torch.tensor([x]), h, one, 0.5 * one)
            print(h)
        ```

        ``` {.text .output}
        tensor([0.7616])
        tensor([0.3634])
        tensor([0.1797])
        ```

    References:
        - Elman 1990, Finding Structure in Time, [doi:10.1207/s15516709cog1402_1](https://doi.org/10.1207/s15516709cog1402_1)
        - [torch.nn.RNNCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html)
    """
    f, _ = _function(nonlinearity)
    check_cell(1, input, (hx,), w_ih, w_hh, b_ih, b_hh)
    return f(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))


def rnn_cell_backward(
    grad_output: Tensor, input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None, nonlinearity: str = "tanh",
) -> Gradients:  # fmt: skip
    r"""The gradients of one step, from the gradient of its result.

    $$\delta = \frac{\partial L}{\partial h_t} \odot f', \qquad
    \frac{\partial L}{\partial x_t} = W_{ih}^\top \delta, \qquad
    \frac{\partial L}{\partial h_{t-1}} = W_{hh}^\top \delta, \qquad
    \frac{\partial L}{\partial W_{ih}} = \delta\, x_t^\top, \qquad
    \frac{\partial L}{\partial W_{hh}} = \delta\, h_{t-1}^\top$$

    With $f = \tanh$ the slope is $f' = 1 - h_t^2$; with ReLU it is 1 where $h_t > 0$, else 0. $\delta$ is also the
    gradient of both biases. A batch is summed over.

    Args:
        grad_output: $\partial L / \partial h_t$, of the shape of `hx`.
        input: as in `rnn_cell`.
        hx: as in `rnn_cell`.
        w_ih: as in `rnn_cell`.
        w_hh: as in `rnn_cell`.
        b_ih: as in `rnn_cell`.
        b_hh: as in `rnn_cell`.
        nonlinearity: as in `rnn_cell`.

    Returns:
        The gradients of `input`, `hx`, `w_ih`, `w_hh`, `b_ih` and `b_hh`; None for a bias that is None.

    Raises:
        RuntimeError: shapes do not fit each other.
        ValueError: an unknown nonlinearity.

    Example:
        ```python
        import torch
        from dlguide.functional.rnn import rnn_cell_backward

        x, h, one = torch.tensor([0.5]), torch.tensor([0.0]), torch.ones(1, 1)
        print(rnn_cell_backward(torch.ones(1), x, h, one, one)[2])  # 0.5 (1 - tanh(0.5)^2)
        ```

        ``` {.text .output}
        tensor([[0.3932]])
        ```

    References:
        - [torch.nn.RNNCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html)
    """
    h_t = rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity)
    _, slope = _function(nonlinearity)
    delta = grad_output * slope(h_t)
    rows = [as_row(delta)]
    weights = weight_gradients(rows, rows, [as_row(input)], [as_row(hx)], b_ih, b_hh)
    return delta @ w_ih, delta @ w_hh, *weights


def rnn(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None, nonlinearity: str = "tanh",
    reverse: bool = False, batch_sizes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""Run a plain recurrent network of one layer and one direction over a sequence.

    $$h_t = f(W_{ih}\, x_t + b_{ih} + W_{hh}\, h_{t-1} + b_{hh}), \qquad t = 1, \dots, T$$

    The input's part is computed for all steps at once; only the part of $h_{t-1}$ needs a loop.

    Args:
        input: $x_1, \dots, x_T$, `[T, N, input_size]` with T at least 1, or with `batch_sizes` the `data` of a
            packed sequence.
        hx: $h_0$, `[N, hidden_size]`.
        w_ih: $W_{ih}$, `[hidden_size, input_size]`.
        w_hh: $W_{hh}$, `[hidden_size, hidden_size]`.
        b_ih: $b_{ih}$, `[hidden_size]`, or None.
        b_hh: $b_{hh}$, `[hidden_size]`, or None.
        nonlinearity: `"tanh"` or `"relu"`.
        reverse: read from step T to step 1; the output stays in the order of the input.
        batch_sizes: `[T]`, int64: how many sequences have a step t, as in `PackedSequence`.

    Returns:
        All states, `[T, N, hidden_size]` (packed like the input), and the last one that was computed,
        `[N, hidden_size]`.

    Raises:
        RuntimeError: shapes do not fit each other, or T is 0.
        ValueError: an unknown nonlinearity.

    Example:
        ```python
        import torch
        from dlguide.functional.rnn import rnn

        x = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        output, last = rnn(x, torch.zeros(1, 1), torch.ones(1, 1), 0.5 * torch.ones(1, 1))
        print(output.flatten(), last)
        ```

        ``` {.text .output}
        tensor([0.7616, 0.3634, 0.1797]) tensor([[0.1797]])
        ```

    References:
        - Elman 1990, Finding Structure in Time, [doi:10.1207/s15516709cog1402_1](https://doi.org/10.1207/s15516709cog1402_1)
        - [torch.nn.RNN](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html)
    """
    f, _ = _function(nonlinearity)
    check_run(1, input, (hx,), w_ih, w_hh, b_ih, b_hh, batch_sizes)
    x = time_steps(linear(input, w_ih, b_ih), batch_sizes, reverse)
    output, h = _over_time(x, hx, w_hh, b_hh, f)
    return join(output, batch_sizes, reverse), h


def rnn_backward(
    grad_output: Tensor, grad_hn: Tensor, input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None, nonlinearity: str = "tanh",
    reverse: bool = False, batch_sizes: Tensor | None = None,
) -> Gradients:  # fmt: skip
    r"""Backpropagation through time for `rnn`.

    $$\delta_t = \Bigl(\frac{\partial L}{\partial o_t} + W_{hh}^\top \delta_{t+1}\Bigr) \odot f'_t, \qquad
    \frac{\partial L}{\partial W_{hh}} = \sum_t \delta_t\, h_{t-1}^\top, \qquad
    \frac{\partial L}{\partial W_{ih}} = \sum_t \delta_t\, x_t^\top$$

    Here $\partial L / \partial o_t$ is what reaches $h_t$ through the output at step $t$; behind the last step,
    `grad_hn` takes the place of $W_{hh}^\top \delta_{t+1}$. Both biases have the gradient $\sum_t \delta_t$.

    Args:
        grad_output: gradient of the first result of `rnn`, of its shape.
        grad_hn: gradient of the second result, `[N, hidden_size]`.
        input: as in `rnn`.
        hx: as in `rnn`.
        w_ih: as in `rnn`.
        w_hh: as in `rnn`.
        b_ih: as in `rnn`.
        b_hh: as in `rnn`.
        nonlinearity: as in `rnn`.
        reverse: as in `rnn`.
        batch_sizes: as in `rnn`.

    Returns:
        The gradients of `input`, `hx`, `w_ih`, `w_hh`, `b_ih` and `b_hh`; None for a bias that is None.

    Raises:
        RuntimeError: shapes do not fit each other, or T is 0.
        ValueError: an unknown nonlinearity.

    Example:
        ```python
        import torch
        from dlguide.functional.rnn import rnn_backward

        x, h0, one = torch.zeros(3, 1, 1), torch.zeros(1, 1), torch.ones(1, 1)
        gradients = rnn_backward(torch.zeros(3, 1, 1), one, x, h0, one, 0.5 * one)
        print(gradients[0].flatten())  # the last step is the nearest
        ```

        ``` {.text .output}
        tensor([0.2500, 0.5000, 1.0000])
        ```

    References:
        - Werbos 1990, Backpropagation Through Time: What It Does and How to Do It,
          [doi:10.1109/5.58337](https://doi.org/10.1109/5.58337)
        - [torch.nn.RNN](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html)
    """
    output, _ = rnn(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity, reverse, batch_sizes)
    _, slope = _function(nonlinearity)
    x, h, grads = (time_steps(a, batch_sizes, reverse) for a in (input, output, grad_output))
    deltas, grad_hx = _back_in_time(grads, grad_hn, h, w_hh, slope)
    before, state = [], hx
    for h_t in h:  # what each step read
        before.append(state[: len(h_t)])
        state = carry(h_t, state)
    weights = weight_gradients(deltas, deltas, x, before, b_ih, b_hh)
    return join(deltas, batch_sizes, reverse) @ w_ih, grad_hx, *weights


def _function(name: str) -> tuple[Function, Function]:
    """The nonlinearity, and its slope as a function of its value."""
    if name == "tanh":
        return torch.tanh, lambda h: 1 - h * h
    if name == "relu":
        return torch.relu, lambda h: (h > 0).to(h.dtype)
    raise ValueError(f"expected the nonlinearity 'tanh' or 'relu', got {name!r}")
