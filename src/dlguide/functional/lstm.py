"""Long short-term memory of one layer: one step, the run over time, and backward through time."""

from __future__ import annotations

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

Pair = tuple[Tensor, Tensor]  # the state: h and c
Gradients = tuple[Tensor, Pair, Tensor, Tensor, Tensor | None, Tensor | None]


# --8<-- [start:lstm-step]
def _lstm_step(
    x: Tensor, h: Tensor, c: Tensor, w_hh: Tensor, b_hh: Tensor | None,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:  # fmt: skip
    i, f, g, o = (x + linear(h, w_hh, b_hh)).chunk(4, dim=-1)  # x is W_ih x_t + b_ih
    i, f, o = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o)
    g = torch.tanh(g)
    c_t = f * c + i * g
    return o * torch.tanh(c_t), c_t, (i, f, g, o)
# --8<-- [end:lstm-step]


# --8<-- [start:lstm-step-backward]
def _lstm_step_backward(
    dh: Tensor, dc: Tensor, gates: tuple[Tensor, Tensor, Tensor, Tensor],
    c: Tensor, c_t: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    i, f, g, o = gates
    s = torch.tanh(c_t)
    dc = dc + dh * o * (1 - s * s)  # c_t is read by the next step and by h_t
    di = dc * g * i * (1 - i)
    df = dc * c * f * (1 - f)
    dg = dc * i * (1 - g * g)
    do = dh * s * o * (1 - o)
    return torch.cat([di, df, dg, do], dim=-1), dc * f  # of the four sums, of c_{t-1}
# --8<-- [end:lstm-step-backward]


def lstm_cell(
    input: Tensor, hx: Pair, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Pair:
    r"""One step of an LSTM.

    $$i_t = \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}), \qquad
    f_t = \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf})$$

    $$g_t = \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}), \qquad
    o_t = \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho})$$

    $$c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)$$

    Input gate $i$, forget gate $f$, candidate $g$ and output gate $o$ have the shape of the state. The four matrices
    lie below each other in `w_ih` and in `w_hh`, in the order $i, f, g, o$.

    Args:
        input: $x_t$, `[N, input_size]` or `[input_size]`, floating point.
        hx: $(h_{t-1}, c_{t-1})$, each `[N, hidden_size]` or `[hidden_size]`.
        w_ih: $W_{ii}, W_{if}, W_{ig}, W_{io}$, together `[4 * hidden_size, input_size]`.
        w_hh: $W_{hi}, W_{hf}, W_{hg}, W_{ho}$, together `[4 * hidden_size, hidden_size]`.
        b_ih: $b_{ii}, b_{if}, b_{ig}, b_{io}$, together `[4 * hidden_size]`, or None.
        b_hh: $b_{hi}, b_{hf}, b_{hg}, b_{ho}$, together `[4 * hidden_size]`, or None.

    Returns:
        $(h_t, c_t)$, each of the shape and dtype of $h_{t-1}$.

    Raises:
        RuntimeError: shapes do not fit each other.

    Example:
        ```python
        import torch
        from dlguide.functional.lstm import lstm_cell

        state = (torch.zeros(1), torch.ones(1))
        h, c = lstm_cell(torch.zeros(1), state, torch.zeros(4, 1), torch.zeros(4, 1))
        print(h, c)  # every gate is sigmoid(0) = 0.5, the candidate is 0
        ```

        ``` {.text .output}
        tensor([0.2311]) tensor([0.5000])
        ```

    References:
        - Hochreiter, Schmidhuber 1997, Long Short-Term Memory,
          [doi:10.1162/neco.1997.9.8.1735](https://doi.org/10.1162/neco.1997.9.8.1735)
        - Gers, Schmidhuber, Cummins 2000, Learning to Forget (the forget gate),
          [doi:10.1162/089976600300015015](https://doi.org/10.1162/089976600300015015)
        - [torch.nn.LSTMCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html)
    """
    check_cell(4, input, hx, w_ih, w_hh, b_ih, b_hh)
    h, c, _ = _lstm_step(linear(input, w_ih, b_ih), *hx, w_hh, b_hh)
    return h, c


def lstm_cell_backward(
    grad_output: Pair, input: Tensor, hx: Pair, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None,
) -> Gradients:  # fmt: skip
    r"""The gradients of one step of an LSTM, from the gradients of its two results.

    Let $\bar h_t$ and $\bar c_t$ be the gradients that arrive, and $a_i, a_f, a_g, a_o$ what goes into the four
    nonlinearities. First the path through $h_t$ joins the one through $c_t$:

    $$\bar c = \bar c_t + \bar h_t \odot o_t \odot (1 - \tanh^2 c_t), \qquad
    \frac{\partial L}{\partial c_{t-1}} = \bar c \odot f_t$$

    $$\bar a_i = \bar c \odot g_t \odot i_t (1 - i_t), \qquad \bar a_f = \bar c \odot c_{t-1} \odot f_t (1 - f_t)$$

    $$\bar a_g = \bar c \odot i_t \odot (1 - g_t^2), \qquad \bar a_o = \bar h_t \odot \tanh(c_t) \odot o_t (1 - o_t)$$

    With $\bar a$ for the four below each other, $W_{hh}^\top \bar a$ is the gradient of $h_{t-1}$, $W_{ih}^\top \bar a$
    that of $x_t$, $\bar a\, h_{t-1}^\top$ and $\bar a\, x_t^\top$ those of the matrices, $\bar a$ that of both biases.

    Args:
        grad_output: $(\bar h_t, \bar c_t)$, each of the shape of $h_{t-1}$.
        input: as in `lstm_cell`.
        hx: as in `lstm_cell`.
        w_ih: as in `lstm_cell`.
        w_hh: as in `lstm_cell`.
        b_ih: as in `lstm_cell`.
        b_hh: as in `lstm_cell`.

    Returns:
        The gradients of `input`, `hx` (a pair), `w_ih`, `w_hh`, `b_ih` and `b_hh`; None for a bias that is None.

    Raises:
        RuntimeError: shapes do not fit each other.

    Example:
        ```python
        import torch
        from dlguide.functional.lstm import lstm_cell_backward

        zero, state, w = torch.zeros(1), (torch.zeros(1), torch.ones(1)), torch.zeros(4, 1)
        gradients = lstm_cell_backward((zero, torch.ones(1)), zero, state, w, w)
        print(gradients[1][1])  # of c_{t-1}: the forget gate
        ```

        ``` {.text .output}
        tensor([0.5000])
        ```

    References:
        - [torch.nn.LSTMCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html)
    """
    check_cell(4, input, hx, w_ih, w_hh, b_ih, b_hh)
    _, c_t, gates = _lstm_step(linear(input, w_ih, b_ih), *hx, w_hh, b_hh)
    da, dc = _lstm_step_backward(*grad_output, gates, hx[1], c_t)
    rows = [as_row(da)]
    weights = weight_gradients(rows, rows, [as_row(input)], [as_row(hx[0])], b_ih, b_hh)
    return da @ w_ih, (da @ w_hh, dc), *weights


def lstm(
    input: Tensor, hx: Pair, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None,
    reverse: bool = False, batch_sizes: Tensor | None = None,
) -> tuple[Tensor, Pair]:  # fmt: skip
    r"""Run an LSTM of one layer and one direction over a sequence.

    Each step is `lstm_cell`: $(h_t, c_t)$ from $x_t$ and $(h_{t-1}, c_{t-1})$, for $t = 1, \dots, T$. The input's part
    of all gates is computed for all steps at once; only the part of $h_{t-1}$ needs a loop.

    Args:
        input: $x_1, \dots, x_T$, `[T, N, input_size]` with T at least 1, or with `batch_sizes` the `data` of a
            packed sequence.
        hx: $(h_0, c_0)$, each `[N, hidden_size]`.
        w_ih: as in `lstm_cell`.
        w_hh: as in `lstm_cell`.
        b_ih: as in `lstm_cell`.
        b_hh: as in `lstm_cell`.
        reverse: read from step T to step 1; the output stays in the order of the input.
        batch_sizes: `[T]`, int64: how many sequences have a step t, as in `PackedSequence`.

    Returns:
        All $h_t$, `[T, N, hidden_size]` (packed like the input), and the last state $(h, c)$ that was computed.

    Raises:
        RuntimeError: shapes do not fit each other, or T is 0.

    Example:
        ```python
        import torch
        from dlguide.functional.lstm import lstm

        state = (torch.zeros(1, 1), torch.ones(1, 1))
        output, (h, c) = lstm(torch.zeros(3, 1, 1), state, torch.zeros(4, 1), torch.zeros(4, 1))
        print(output.flatten(), c)
        ```

        ``` {.text .output}
        tensor([0.2311, 0.1225, 0.0622]) tensor([[0.1250]])
        ```

    References:
        - [torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html)
    """
    check_run(4, input, hx, w_ih, w_hh, b_ih, b_hh, batch_sizes)
    (h, c), output = hx, []
    for x_t in time_steps(linear(input, w_ih, b_ih), batch_sizes, reverse):
        h_t, c_t, _ = _lstm_step(x_t, h[: len(x_t)], c[: len(x_t)], w_hh, b_hh)
        output.append(h_t)
        h, c = carry(h_t, h), carry(c_t, c)
    return join(output, batch_sizes, reverse), (h, c)


def lstm_backward(
    grad_output: Tensor, grad_state: Pair, input: Tensor, hx: Pair, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None, reverse: bool = False, batch_sizes: Tensor | None = None,
) -> Gradients:  # fmt: skip
    r"""Backpropagation through time for `lstm`.

    From the last step to the first, each step is `lstm_cell_backward`, where $\bar h_t$ is the sum of what arrives
    through the output at $t$ and of $W_{hh}^\top \bar a$ of step $t + 1$. Along the cell the gradient is only
    multiplied:

    $$\frac{\partial c_T}{\partial c_t}\Big|_{\text{direct}} = \prod_{k=t+1}^{T} f_k$$

    Args:
        grad_output: gradient of the first result of `lstm`, of its shape.
        grad_state: gradients of the last $h$ and $c$, each `[N, hidden_size]`.
        input: as in `lstm`.
        hx: as in `lstm`.
        w_ih: as in `lstm`.
        w_hh: as in `lstm`.
        b_ih: as in `lstm`.
        b_hh: as in `lstm`.
        reverse: as in `lstm`.
        batch_sizes: as in `lstm`.

    Returns:
        The gradients of `input`, `hx` (a pair), `w_ih`, `w_hh`, `b_ih` and `b_hh`; None for a bias that is None.

    Raises:
        RuntimeError: shapes do not fit each other, or T is 0.

    Example:
        ```python
        import torch
        from dlguide.functional.lstm import lstm_backward

        zero, one, w = torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(4, 1)
        x = torch.zeros(3, 1, 1)
        print(lstm_backward(x, (zero, one), x, (zero, one), w, w)[1][1])  # three forget gates: 0.5 ** 3
        ```

        ``` {.text .output}
        tensor([[0.1250]])
        ```

    References:
        - Gers, Schmidhuber, Cummins 2000, [doi:10.1162/089976600300015015](https://doi.org/10.1162/089976600300015015)
        - [torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html)
    """
    check_run(4, input, hx, w_ih, w_hh, b_ih, b_hh, batch_sizes)
    (h, c), tape = hx, []
    for x_t in time_steps(linear(input, w_ih, b_ih), batch_sizes, reverse):  # forward again, keeping what is needed
        before = h[: len(x_t)], c[: len(x_t)]
        h_t, c_t, gates = _lstm_step(x_t, *before, w_hh, b_hh)
        tape.append((*before, c_t, gates))
        h, c = carry(h_t, h), carry(c_t, c)
    (dh, dc), deltas = grad_state, list[Tensor]()
    grads = time_steps(grad_output, batch_sizes, reverse)
    for grad_t, (_, c_before, c_t, gates) in zip(reversed(grads), reversed(tape), strict=True):
        n = len(grad_t)
        da, dc_t = _lstm_step_backward(grad_t + dh[:n], dc[:n], gates, c_before, c_t)
        deltas.insert(0, da)
        dh, dc = carry(da @ w_hh, dh), carry(dc_t, dc)
    x, h_before = time_steps(input, batch_sizes, reverse), [h for h, *_ in tape]
    weights = weight_gradients(deltas, deltas, x, h_before, b_ih, b_hh)
    return join(deltas, batch_sizes, reverse) @ w_ih, (dh, dc), *weights
