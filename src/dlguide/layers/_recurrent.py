"""The frame of RNN, LSTM and GRU: options, parameters, layers and directions, packed sequences, checks."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from dlguide.layers._base import Layer

States = tuple[Tensor, ...]  # (h,) or (h, c)
Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # w_ih, w_hh, b_ih, b_hh


class Recurrent(Layer):
    """Layers and directions around a function that runs one of them; a class says which, and how many gates it has."""

    _gates: int
    _pair = False  # whether the state is a pair (h, c)

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool, device: Any, dtype: torch.dtype | None,
    ) -> None:  # fmt: skip
        super().__init__()
        _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bool(bidirectional)
        for k in range(num_layers * self._directions):
            layer = k // self._directions
            width = input_size if layer == 0 else hidden_size * self._directions
            rows = self._gates * hidden_size
            shapes = [(rows, width), (rows, hidden_size)] + [(rows,), (rows,)] * bias
            for name, shape in zip(self._names(k), shapes, strict=True):
                setattr(self, name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draw every parameter from $\mathcal{U}(-1 / \sqrt{H}, 1 / \sqrt{H})$ with H = `hidden_size`."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: PyTorch's own layers arrange their memory for cuDNN here, and programs call it."""

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        """Read the sequences.

        Args:
            input: `[T, N, input_size]`, with `batch_first` `[N, T, input_size]`, one sequence `[T, input_size]`, or a
                packed sequence.
            hx: the initial state h, for an LSTM the pair (h, c), each `[layers * directions, N, hidden_size]` (without
                N for one sequence); zeros if not given.

        Returns:
            The output of the last layer, like the input with `directions * hidden_size` numbers in each step, and the
            last state of each layer and direction, shaped like `hx`.
        """
        if isinstance(input, PackedSequence):
            data, sizes, order, back = input
            self._check_input(data, 2)
            states = self._states(data, hx, int(sizes[0]), order)
            output, last = self._run_all(data, states, sizes)
            if back is not None:
                last = tuple(s.index_select(1, back) for s in last)
            return PackedSequence(output, sizes, order, back), last if self._pair else last[0]
        if input.dim() not in (2, 3):
            raise ValueError(
                f"expected an input of 2 dimensions [T, input_size] or 3 [T, N, input_size], got {list(input.shape)}"
            )
        one = input.dim() == 2
        x = input[:, None] if one else input.transpose(0, 1) if self.batch_first else input  # [T, N, input_size]
        self._check_input(x, 3)
        output, last = self._run_all(x, self._states(x, hx, x.shape[1], one=one), None)
        if one:
            output, last = output[:, 0], tuple(s[:, 0] for s in last)
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, last if self._pair else last[0]

    def _run_all(self, x: Tensor, states: States, sizes: Tensor | None) -> tuple[Tensor, States]:
        finals = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self._directions):
                k = layer * self._directions + direction
                start = tuple(state[k] for state in states)
                output, final = self._run(x, start, self._weights(k), direction == 1, sizes)
                outputs.append(output)
                finals.append(final)
            x = torch.cat(outputs, dim=-1)  # both directions side by side
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(torch.stack(state) for state in zip(*finals, strict=True))

    def _run(
        self, x: Tensor, states: States, weights: Weights, reverse: bool, sizes: Tensor | None
    ) -> tuple[Tensor, States]:
        raise NotImplementedError

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _names(self, k: int) -> list[str]:
        layer, direction = divmod(k, self._directions)
        names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        return [f"{name}_l{layer}{'_reverse' * direction}" for name in names]

    def _weights(self, k: int) -> Weights:
        w_ih, w_hh, *biases = (getattr(self, name) for name in self._names(k))
        return w_ih, w_hh, *(biases or (None, None))

    def _check_input(self, x: Tensor, dim: int) -> None:
        dtype = next(self.parameters()).dtype
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"expected an input of the weights' dtype {dtype}, got {x.dtype}: use input.to({dtype})")
        if x.dim() != dim or x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"expected {dim} dimensions and {self.input_size} numbers in each step (input_size), got"
                f" {list(x.shape)}"
            )

    def _states(self, x: Tensor, hx: Any, batch: int, order: Tensor | None = None, one: bool = False) -> States:
        """The initial states, each [layers * directions, N, hidden_size], in the order of the batch inside."""
        shape = (self.num_layers * self._directions, batch, self.hidden_size)
        if hx is None:
            return (x.new_zeros(shape),) * (2 if self._pair else 1)
        if self._pair and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise RuntimeError(f"expected the initial state of an LSTM as a pair (h, c), got {_kind(hx)}")
        if not self._pair and not isinstance(hx, Tensor):
            raise TypeError(f"expected the initial state as one tensor h, got {_kind(hx)}: only an LSTM has a pair")
        states = tuple(hx) if self._pair else (hx,)
        wanted = (shape[0], shape[2]) if one else shape
        for state in states:
            if tuple(state.shape) != wanted:
                raise RuntimeError(
                    f"expected an initial state of shape {list(wanted)}, got {list(state.shape)}: layers * directions,"
                    f"{'' if one else ' batch,'} hidden_size, also with batch_first"
                )
            if state.dtype != x.dtype:
                raise RuntimeError(f"expected an initial state of dtype {x.dtype}, got {state.dtype}: use .to(x.dtype)")
        if one:
            return tuple(state[:, None] for state in states)
        return states if order is None else tuple(state.index_select(1, order) for state in states)

    def extra_repr(self) -> str:
        """The options that differ from their defaults."""
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        said = [f"{name}={getattr(self, name)}" for name, usual in defaults.items() if getattr(self, name) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *said])


def _kind(hx: Any) -> str:
    return f"a tensor {list(hx.shape)}" if isinstance(hx, Tensor) else f"a {type(hx).__name__}"


def _check_options(
    input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float
) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(f"expected dropout as a number from 0 to 1, the share of zeros, got {dropout!r}")
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"dropout={dropout} does nothing with one layer: it acts between layers, so give num_layers=2 or more",
            stacklevel=4,
        )
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"expected {name} as True or False, got {flag!r}")
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if not isinstance(size, int):
            raise TypeError(f"expected {name} as an int, got {size!r}")
        if size <= 0:
            raise ValueError(f"expected {name} of 1 or more, got {size}")
