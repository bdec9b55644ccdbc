"""RNN, LSTM and GRU as layers: usable in place of those of torch.nn, with the same parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlguide.functional.gru import gru
from dlguide.functional.lstm import lstm
from dlguide.functional.rnn import rnn
from dlguide.layers._recurrent import Recurrent, States, Weights


class RNN(Recurrent):
    r"""A plain recurrent network (Elman 1990) of one or more layers, in one or both directions.

    $$h_t = f(W_{ih}\, x_t + b_{ih} + W_{hh}\, h_{t-1} + b_{hh}), \qquad f = \tanh \text{ or } \operatorname{ReLU}$$

    The output of a layer, its $h_t$ for all $t$, is the input $x_t$ of the next. With `bidirectional` a second set of
    weights reads the sequence from its end, and the two $h_t$ stand side by side. The input is `[T, N, input_size]`,
    with `batch_first` `[N, T, input_size]`, one sequence `[T, input_size]`, or a packed sequence. The result is the
    output of the last layer and the last state of every layer and direction, `[layers * directions, N, hidden_size]`.

    Args:
        input_size: numbers in one step of the input.
        hidden_size: H, numbers in the state.
        num_layers: layers on top of each other.
        nonlinearity: `"tanh"` or `"relu"`.
        bias: whether there are biases, two for each layer and direction.
        batch_first: whether the batch is the first dimension of input and output; the states keep theirs.
        dropout: share of zeros put into the output of each layer but the last, in training mode.
        bidirectional: whether to read in both directions.
        device: where the parameters are made.
        dtype: their floating point type.

    Raises:
        ValueError: an option is out of its range; an input without 2 or 3 dimensions, or of another dtype.
        TypeError: an option of the wrong type; an initial state that is no tensor.
        RuntimeError: an input or an initial state of the wrong size, or a sequence of length 0.

    Example:
        ```python
        import torch
        from dlguide.layers.recurrent import RNN

        layer = RNN(3, 4, num_layers=2, batch_first=True)
        output, last = layer(torch.zeros(5, 7, 3))  # 5 sequences of 7 steps
        print(output.shape, last.shape)
        print([name for name, _ in layer.named_parameters()][:4])
        ```

        ``` {.text .output}
        torch.Size([5, 7, 4]) torch.Size([2, 5, 4])
        ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
        ```

    References:
        - Elman 1990, Finding Structure in Time, [doi:10.1207/s15516709cog1402_1](https://doi.org/10.1207/s15516709cog1402_1)
        - [torch.nn.RNN](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html)
    """

    _gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        device: Any = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"expected the nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)
        self.nonlinearity = nonlinearity

    def _run(
        self, x: Tensor, states: States, weights: Weights, reverse: bool, sizes: Tensor | None
    ) -> tuple[Tensor, States]:
        output, h = rnn(x, states[0], *weights, self.nonlinearity, reverse, sizes)
        return output, (h,)


class LSTM(Recurrent):
    r"""Long short-term memory of one or more layers, in one or both directions.

    $$c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)$$

    The gates $i_t, f_t, o_t$ and the candidate $g_t$ are those of [lstm_cell][dlguide.functional.lstm.lstm_cell]; each
    matrix has 4 H rows in the order $i, f, g, o$. Layers, directions, input and output are as in `RNN`; the state is
    the pair $(h, c)$. PyTorch's option `proj_size` is not there.

    Args:
        input_size: numbers in one step of the input.
        hidden_size: H, numbers in $h$ and in $c$.
        num_layers: layers on top of each other.
        bias: whether there are biases, two for each layer and direction.
        batch_first: whether the batch is the first dimension of input and output; the states keep theirs.
        dropout: share of zeros put into the output of each layer but the last, in training mode.
        bidirectional: whether to read in both directions.
        proj_size: must be 0.
        device: where the parameters are made.
        dtype: their floating point type.

    Raises:
        NotImplementedError: `proj_size` is not 0.
        ValueError: an option is out of its range; an input without 2 or 3 dimensions, or of another dtype.
        TypeError: an option of the wrong type.
        RuntimeError: an input or an initial state of the wrong size or kind, or a sequence of length 0.

    Example:
        ```python
        import torch
        from dlguide.layers.recurrent import LSTM

        layer = LSTM(3, 4, bidirectional=True)
        output, (h, c) = layer(torch.zeros(7, 5, 3))
        print(output.shape, h.shape, c.shape)
        ```

        ``` {.text .output}
        torch.Size([7, 5, 8]) torch.Size([2, 5, 4]) torch.Size([2, 5, 4])
        ```

    References:
        - Hochreiter, Schmidhuber 1997, Long Short-Term Memory,
          [doi:10.1162/neco.1997.9.8.1735](https://doi.org/10.1162/neco.1997.9.8.1735)
        - Gers, Schmidhuber, Cummins 2000, [doi:10.1162/089976600300015015](https://doi.org/10.1162/089976600300015015)
        - [torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html)
    """

    _gates, _pair = 4, True

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        if proj_size != 0:
            raise NotImplementedError(f"expected proj_size=0, got {proj_size}: torch.nn.LSTM has the projection of h")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)
        self.proj_size = 0

    def _run(
        self, x: Tensor, states: States, weights: Weights, reverse: bool, sizes: Tensor | None
    ) -> tuple[Tensor, States]:
        return lstm(x, (states[0], states[1]), *weights, reverse, sizes)


class GRU(Recurrent):
    r"""Gated recurrent units in one or more layers, in one or both directions.

    $$h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}$$

    The gates $r_t, z_t$ and the candidate $n_t$ are those of [gru_cell][dlguide.functional.gru.gru_cell]; each matrix
    has 3 H rows in the order $r, z, n$. Layers, directions, input, state and output are as in `RNN`.

    Args:
        input_size: numbers in one step of the input.
        hidden_size: H, numbers in the state.
        num_layers: layers on top of each other.
        bias: whether there are biases, two for each layer and direction.
        batch_first: whether the batch is the first dimension of input and output; the states keep theirs.
        dropout: share of zeros put into the output of each layer but the last, in training mode.
        bidirectional: whether to read in both directions.
        device: where the parameters are made.
        dtype: their floating point type.

    Raises:
        ValueError: an option is out of its range; an input without 2 or 3 dimensions, or of another dtype.
        TypeError: an option of the wrong type; an initial state that is no tensor.
        RuntimeError: an input or an initial state of the wrong size, or a sequence of length 0.

    Example:
        ```python
        import torch
        from torch import nn
        from dlguide.layers.recurrent import GRU

        theirs = nn.GRU(3, 4, num_layers=2, bidirectional=True)
        ours = GRU.load_from_torch(theirs)
        x = torch.randn(7, 5, 3)
        print(torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-6))
        ```

        ``` {.text .output}
        True
        ```

    References:
        - Cho et al. 2014, [arXiv:1406.1078](https://arxiv.org/abs/1406.1078)
        - [torch.nn.GRU](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html)
    """

    _gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)

    def _run(
        self, x: Tensor, states: States, weights: Weights, reverse: bool, sizes: Tensor | None
    ) -> tuple[Tensor, States]:
        output, h = gru(x, states[0], *weights, reverse, sizes)
        return output, (h,)
