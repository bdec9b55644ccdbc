"""What rnn, lstm and gru share: the linear map, a batch cut into time steps, gradients of the weights, checks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Gradients = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # of w_ih, w_hh, b_ih, b_hh


def linear(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """The product with a matrix that has one row per output, plus a bias: [..., n] -> [..., m]."""
    return x @ w.T if b is None else x @ w.T + b


def time_steps(x: Tensor, batch_sizes: Tensor | None, reverse: bool) -> list[Tensor]:
    """Cut [T, N, k], or the data of a packed sequence, into its steps [n, k], in the order in which they are read."""
    steps = x.unbind(0) if batch_sizes is None else x.split(batch_sizes.tolist())
    return list(steps[::-1] if reverse else steps)


def join(steps: list[Tensor], batch_sizes: Tensor | None, reverse: bool) -> Tensor:
    """Put together what `time_steps` cut."""
    steps = steps[::-1] if reverse else steps
    return torch.stack(steps) if batch_sizes is None else torch.cat(steps)


def carry(new: Tensor, old: Tensor) -> Tensor:
    """The rows of `new`; the sequences without this step keep their row of `old`."""
    return new if len(new) == len(old) else torch.cat([new, old[len(new) :]])


def weight_gradients(
    d_x: list[Tensor], d_h: list[Tensor], x: list[Tensor], h: list[Tensor],
    b_ih: Tensor | None, b_hh: Tensor | None,
) -> Gradients:  # fmt: skip
    """The sum over time steps and examples.

    `d_x` and `d_h` are the gradients of what each step adds up: W_ih x + b_ih and W_hh h + b_hh.
    """
    by_x, by_h = torch.cat(d_x), torch.cat(d_h)  # rows of all steps: the matrix product adds them up
    return (
        by_x.T @ torch.cat(x),
        by_h.T @ torch.cat(h),
        None if b_ih is None else by_x.sum(0),
        None if b_hh is None else by_h.sum(0),
    )


def as_row(x: Tensor) -> Tensor:
    """One example [k] as a batch [1, k]."""
    return x if x.dim() == 2 else x[None]


def check_cell(
    gates: int, input: Tensor, states: Sequence[Tensor],
    w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None,
) -> None:  # fmt: skip
    """One step: [N, input_size] with states [N, hidden_size], or both without N."""
    if input.dim() not in (1, 2):
        raise RuntimeError(
            f"expected the input of one step as [N, input_size] or [input_size], got {list(input.shape)}: the run over"
            " time (rnn, lstm, gru) takes [T, N, input_size]"
        )
    _check_sizes(gates, input, states, w_ih, w_hh, b_ih, b_hh)


def check_run(
    gates: int, input: Tensor, states: Sequence[Tensor],
    w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None, batch_sizes: Tensor | None,
) -> None:  # fmt: skip
    """All steps: [T, N, input_size], or the data [sum of batch_sizes, input_size] of a packed sequence."""
    if batch_sizes is None:
        if input.dim() != 3:
            raise RuntimeError(
                f"expected an input of shape [T, N, input_size], got {list(input.shape)}: input[:, None] adds the batch"
            )
        if len(input) == 0:
            raise RuntimeError("expected a sequence length larger than 0, got 0: leave empty sequences out")
        first = input[0]
    else:
        sizes = batch_sizes.tolist()
        fits = input.dim() == 2 and sizes and sizes[-1] > 0 and sum(sizes) == len(input)
        if not fits or sizes != sorted(sizes, reverse=True):
            raise RuntimeError(
                f"expected packed data [{sum(sizes)}, input_size] for batch_sizes {sizes} that never grow, got"
                f" {list(input.shape)}: take both from pack_padded_sequence"
            )
        first = input[: sizes[0]]
    _check_sizes(gates, first, states, w_ih, w_hh, b_ih, b_hh)


def _check_sizes(
    gates: int, x: Tensor, states: Sequence[Tensor],
    w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None,
) -> None:  # fmt: skip
    size = w_hh.shape[-1]
    expected = {"w_hh": [gates * size, size], "w_ih": [gates * size, x.shape[-1]]}
    expected |= {"b_ih": [gates * size], "b_hh": [gates * size]}
    for (name, shape), came in zip(expected.items(), (w_hh, w_ih, b_ih, b_hh), strict=True):
        if came is not None and list(came.shape) != shape:
            raise RuntimeError(
                f"expected {name} of shape {shape} for an input of size {x.shape[-1]} and a hidden size of {size}, got"
                f" {list(came.shape)}: rows belong to {gates} gate(s) of {size} numbers, columns to what they read"
            )
    for state in states:
        if list(state.shape) != [*x.shape[:-1], size]:
            raise RuntimeError(
                f"expected a state of shape {[*x.shape[:-1], size]}, got {list(state.shape)}: one row of hidden_size"
                " numbers for each sequence of the batch"
            )
