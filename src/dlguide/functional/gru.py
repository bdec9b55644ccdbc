"""The gated recurrent unit of one layer: one step, the run over time, and backward through time."""

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

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]


# --8<-- [start:gru-step]
def _gru_step(
    x: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:  # fmt: skip
    x_r, x_z, x_n = x.chunk(3, dim=-1)  # x is W_ih x_t + b_ih
    h_r, h_z, h_n = linear(h, w_hh, b_hh).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)  # r acts after the matrix, bias b_hn included
    return (1 - z) * n + z * h, (r, z, n, h_n)
# --8<-- [end:gru-step]


# --8<-- [start:gru-step-backward]
def _gru_step_backward(
    dh: Tensor, gates: tuple[Tensor, Tensor, Tensor, Tensor], h: Tensor, w_hh: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r, z, n, h_n = gates
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (h - n) * z * (1 - z)
    dr = dn * h_n * r * (1 - r)
    by_x = torch.cat([dr, dz, dn], dim=-1)  # of W_ih x + b_ih
    by_h = torch.cat([dr, dz, dn * r], dim=-1)  # of W_hh h + b_hh
    return by_x, by_h, dh * z + by_h @ w_hh  # the last: of h_{t-1}
# --8<-- [end:gru-step-backward]


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    r"""One step of a gated recurrent unit, in PyTorch's variant.

    $$r_t = \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}), \qquad
    z_t = \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz})$$

    $$n_t = \tanh\bigl(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})\bigr), \qquad
    h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}$$

    Reset gate $r$, update gate $z$ and candidate $n$ have the shape of the state. The three matrices lie below each
    other in `w_ih` and in `w_hh`, in the order $r, z, n$. Cho et al. have $W_{hn}(r_t \odot h_{t-1})$ in the candidate.

    Args:
        input: $x_t$, `[N, input_size]` or `[input_size]`, floating point.
        hx: $h_{t-1}$, `[N, hidden_size]` or `[hidden_size]`.
        w_ih: $W_{ir}, W_{iz}, W_{in}$, together `[3 * hidden_size, input_size]`.
        w_hh: $W_{hr}, W_{hz}, W_{hn}$, together `[3 * hidden_size, hidden_size]`.
        b_ih: $b_{ir}, b_{iz}, b_{in}$, together `[3 * hidden_size]`, or None.
        b_hh: $b_{hr}, b_{hz}, b_{hn}$, together `[3 * hidden_size]`, or None.

    Returns:
        $h_t$, of the shape and dtype of `hx`.

    Raises:
        RuntimeError: shapes do not fit each other.

    Example:
        ```python
        import torch
        from dlguide.functional.gru import gru_cell

        w = torch.zeros(3, 1)
        print(gru_cell(torch.zeros(1), torch.ones(1), w, w))  # z = 0.5, the candidate is 0
        ```

        ``` {.text .output}
        tensor([0.5000])
        ```

    References:
        - Cho et al. 2014, [arXiv:1406.1078](https://arxiv.org/abs/1406.1078), equations 5 to 8
        - [torch.nn.GRUCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html)
    """
    check_cell(3, input, (hx,), w_ih, w_hh, b_ih, b_hh)
    return _gru_step(linear(input, w_ih, b_ih), hx, w_hh, b_hh)[0]


def gru_cell_backward(
    grad_output: Tensor, input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None,
) -> Gradients:  # fmt: skip
    r"""The gradients of one step of a GRU, from the gradient of its result.

    Let $\bar h_t$ be the gradient that arrives, $a_r, a_z, a_n$ what goes into the three nonlinearities, and
    $m_t = W_{hn} h_{t-1} + b_{hn}$ what the reset gate multiplies.

    $$\bar a_n = \bar h_t \odot (1 - z_t) \odot (1 - n_t^2), \qquad
    \bar a_z = \bar h_t \odot (h_{t-1} - n_t) \odot z_t (1 - z_t), \qquad
    \bar a_r = \bar a_n \odot m_t \odot r_t (1 - r_t)$$

    $$\frac{\partial L}{\partial h_{t-1}} = \bar h_t \odot z_t + W_{hr}^\top \bar a_r + W_{hz}^\top \bar a_z +
    W_{hn}^\top (\bar a_n \odot r_t)$$

    The input's part has the gradient $(\bar a_r, \bar a_z, \bar a_n)$, the state's part $(\bar a_r, \bar a_z, \bar a_n
    \odot r_t)$: here the two biases differ.

    Args:
        grad_output: $\bar h_t$, of the shape of `hx`.
        input: as in `gru_cell`.
        hx: as in `gru_cell`.
        w_ih: as in `gru_cell`.
        w_hh: as in `gru_cell`.
        b_ih: as in `gru_cell`.
        b_hh: as in `gru_cell`.

    Returns:
        The gradients of `input`, `hx`, `w_ih`, `w_hh`, `b_ih` and `b_hh`; None for a bias that is None.

    Raises:
        RuntimeError: shapes do not fit each other.

    Example:
        ```python
        import torch
        from dlguide.functional.gru import gru_cell_backward

        w, one = torch.zeros(3, 1), torch.ones(1)
        print(gru_cell_backward(one, torch.zeros(1), one, w, w)[1])  # of h_{t-1}: the update gate
        ```

        ``` {.text .output}
        tensor([0.5000])
        ```

    References:
        - [torch.nn.GRUCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html)
    """
    check_cell(3, input, (hx,), w_ih, w_hh, b_ih, b_hh)
    _, gates = _gru_step(linear(input, w_ih, b_ih), hx, w_hh, b_hh)
    by_x, by_h, grad_hx = _gru_step_backward(grad_output, gates, hx, w_hh)
    weights = weight_gradients([as_row(by_x)], [as_row(by_h)], [as_row(input)], [as_row(hx)], b_ih, b_hh)
    return by_x @ w_ih, grad_hx, *weights


def gru(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None,
    reverse: bool = False, batch_sizes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""Run a GRU of one layer and one direction over a sequence.

    Each step is `gru_cell`: $h_t$ from $x_t$ and $h_{t-1}$, for $t = 1, \dots, T$. The input's part of all gates is
    computed for all steps at once; only the part of $h_{t-1}$ needs a loop.

    Args:
        input: $x_1, \dots, x_T$, `[T, N, input_size]` with T at least 1, or with `batch_sizes` the `data` of a
            packed sequence.
        hx: $h_0$, `[N, hidden_size]`.
        w_ih: as in `gru_cell`.
        w_hh: as in `gru_cell`.
        b_ih: as in `gru_cell`.
        b_hh: as in `gru_cell`.
        reverse: read from step T to step 1; the output stays in the order of the input.
        batch_sizes: `[T]`, int64: how many sequences have a step t, as in `PackedSequence`.

    Returns:
        All states, `[T, N, hidden_size]` (packed like the input), and the last one that was computed,
        `[N, hidden_size]`.

    Raises:
        RuntimeError: shapes do not fit each other, or T is 0.

    Example:
        ```python
        import torch
        from dlguide.functional.gru import gru

        w = torch.zeros(3, 1)
        output, last = gru(torch.zeros(3, 1, 1), torch.ones(1, 1), w, w)
        print(output.flatten(), last)
        ```

        ``` {.text .output}
        tensor([0.5000, 0.2500, 0.1250]) tensor([[0.1250]])
        ```

    References:
        - [torch.nn.GRU](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html)
    """
    check_run(3, input, (hx,), w_ih, w_hh, b_ih, b_hh, batch_sizes)
    h, output = hx, []
    for x_t in time_steps(linear(input, w_ih, b_ih), batch_sizes, reverse):
        h_t, _ = _gru_step(x_t, h[: len(x_t)], w_hh, b_hh)
        output.append(h_t)
        h = carry(h_t, h)
    return join(output, batch_sizes, reverse), h


def gru_backward(
    grad_output: Tensor, grad_hn: Tensor, input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None, reverse: bool = False, batch_sizes: Tensor | None = None,
) -> Gradients:  # fmt: skip
    r"""Backpropagation through time for `gru`.

    From the last step to the first, each step is `gru_cell_backward`, where $\bar h_t$ is the sum of what arrives
    through the output at $t$ and through step $t + 1$. The gradients of the weights are sums over the steps.

    Args:
        grad_output: gradient of the first result of `gru`, of its shape.
        grad_hn: gradient of the second result, `[N, hidden_size]`.
        input: as in `gru`.
        hx: as in `gru`.
        w_ih: as in `gru`.
        w_hh: as in `gru`.
        b_ih: as in `gru`.
        b_hh: as in `gru`.
        reverse: as in `gru`.
        batch_sizes: as in `gru`.

    Returns:
        The gradients of `input`, `hx`, `w_ih`, `w_hh`, `b_ih` and `b_hh`; None for a bias that is None.

    Raises:
        RuntimeError: shapes do not fit each other, or T is 0.

    Example:
        ```python
        import torch
        from dlguide.functional.gru import gru_backward

        w, one, x = torch.zeros(3, 1), torch.ones(1, 1), torch.zeros(3, 1, 1)
        print(gru_backward(x, one, x, one, w, w)[1])  # three update gates: 0.5 ** 3
        ```

        ``` {.text .output}
        tensor([[0.1250]])
        ```

    References:
        - [torch.nn.GRU](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html)
    """
    check_run(3, input, (hx,), w_ih, w_hh, b_ih, b_hh, batch_sizes)
    h, tape = hx, []
    for x_t in time_steps(linear(input, w_ih, b_ih), batch_sizes, reverse):  # forward again, keeping what is needed
        before = h[: len(x_t)]
        h_t, gates = _gru_step(x_t, before, w_hh, b_hh)
        tape.append((before, gates))
        h = carry(h_t, h)
    dh, d_x, d_h = grad_hn, list[Tensor](), list[Tensor]()
    grads = time_steps(grad_output, batch_sizes, reverse)
    for grad_t, (before, gates) in zip(reversed(grads), reversed(tape), strict=True):
        by_x, by_h, dh_t = _gru_step_backward(grad_t + dh[: len(grad_t)], gates, before, w_hh)
        d_x.insert(0, by_x)
        d_h.insert(0, by_h)
        dh = carry(dh_t, dh)
    x, h_before = time_steps(input, batch_sizes, reverse), [h for h, _ in tape]
    weights = weight_gradients(d_x, d_h, x, h_before, b_ih, b_hh)
    return join(d_x, batch_sizes, reverse) @ w_ih, dh, *weights
