r"""Three classifiers: an MLP, a small convolutional network, and a recurrent network.

Each returns logits `[N, classes]`, not probabilities, because `F.cross_entropy` takes the softmax itself. None of them
knows about devices, batches or training: that is the business of `dlguide.train`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class MLP(nn.Module):
    r"""A multilayer perceptron: linear layers with ReLU between them.

    $$h_0 = \operatorname{flatten}(x), \qquad h_i = \max(0,\; h_{i-1} W_i^\top + b_i), \qquad
    \operatorname{logits} = h_{k} W_{k+1}^\top + b_{k+1}$$

    Here $x$ is the input, $h_i$ the output of hidden layer $i$ of the $k$ in `hidden`, and $W_i$, $b_i$ are the weight
    and the bias of linear layer $i$.

    Args:
        in_features: numbers in one example after flattening: 64 for 8 x 8 pixels, 784 for 28 x 28.
        hidden: width of each hidden layer; `()` gives a linear classifier.
        classes: number of classes.

    Raises:
        ValueError: the input of a forward pass does not flatten to `in_features` numbers.

    Example:
        ```python
        import torch
        from dlguide.models import MLP

        model = MLP(784, hidden=(128,))
        print(model(torch.zeros(5, 1, 28, 28)).shape)
        print(sum(p.numel() for p in model.parameters()))
        ```

        ``` {.text .output}
        torch.Size([5, 10])
        101770
        ```

    References:
        - [torch.nn.Linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html)
        - [torch.flatten](https://docs.pytorch.org/docs/stable/generated/torch.flatten.html)
    """

    def __init__(self, in_features: int = 64, hidden: Sequence[int] = (128,), classes: int = 10) -> None:
        super().__init__()
        self.in_features = in_features
        widths = [in_features, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch.

        Args:
            x: `[N, ...]`, float; whatever follows N is flattened to `in_features` numbers.

        Returns:
            Logits `[N, classes]`.
        """
        h = x.flatten(1)  # [N, ...] -> [N, in_features]; the batch stays what it is
        if h.shape[1] != self.in_features:
            raise ValueError(
                f"expected {self.in_features} numbers per example, got {h.shape[1]} from the shape {tuple(x.shape)}:"
                f" build MLP(in_features={h.shape[1]}) for these data"
            )
        return self.layers(h)


class CNN(nn.Module):
    r"""Two convolutions with ReLU and pooling, then two linear layers.

    With 3 x 3 kernels and a padding of 1 a convolution keeps height $H$ and width $W$, and each pooling halves them
    (rounding down), so the first linear layer sees $C_2 \lfloor H/4 \rfloor \lfloor W/4 \rfloor$ numbers, where $C_2$
    is the last of `channels`. The constructor works this out, so the same class fits 8 x 8 and 28 x 28 pictures.

    Args:
        in_shape: shape of one picture `(channels, H, W)`, with H and W at least 4.
        channels: number of filters in the first and in the second convolution.
        hidden: width of the hidden linear layer.
        classes: number of classes.

    Raises:
        ValueError: a picture smaller than 4 x 4, or a forward pass with pictures of another shape.

    Example:
        ```python
        import torch
        from dlguide.models import CNN

        print(CNN((1, 8, 8))(torch.zeros(5, 1, 8, 8)).shape)
        print(CNN((1, 28, 28)).head[1])
        ```

        ``` {.text .output}
        torch.Size([5, 10])
        Linear(in_features=3136, out_features=128, bias=True)
        ```

    References:
        - LeCun et al. 1998, Gradient-based learning applied to document recognition, section II
        - [torch.nn.Conv2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html)
        - [torch.nn.MaxPool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html)
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int] = (1, 8, 8),
        channels: tuple[int, int] = (32, 64),
        hidden: int = 128,
        classes: int = 10,
    ) -> None:
        super().__init__()
        c, height, width = in_shape
        if min(height, width) < 4:
            raise ValueError(f"expected at least 4 x 4 pixels, got {height} x {width}: two poolings leave nothing")
        self.in_shape = tuple(in_shape)
        first, second = channels
        flat = second * (height // 4) * (width // 4)
        self.features = nn.Sequential(
            nn.Conv2d(c, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # [N, 32, H/2, W/2]
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # [N, 64, H/4, W/4]
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(1), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            Logits `[N, classes]`.
        """
        if tuple(x.shape[1:]) != self.in_shape:
            raise ValueError(
                f"expected pictures of shape [N, {', '.join(map(str, self.in_shape))}], got {list(x.shape)}:"
                f" reshape them, or build CNN(in_shape={tuple(x.shape[1:])}) if that is what they are"
            )
        return self.head(self.features(x))


class RNNClassifier(nn.Module):
    r"""Read a sequence step by step, then classify it by the last hidden state.

    $$h_t = \operatorname{cell}(x_t, h_{t-1}), \qquad h_0 = 0, \qquad \operatorname{logits} = h_T W^\top + b$$

    Here $x_t$ is step $t$ of the sequence, $h_t$ the hidden state after it, $T$ the length, and $W$, $b$ are the
    parameters of the output layer. With `lengths`, each sequence ends at its own $T$: the padding after it is not read.

    Args:
        cell: `"RNN"` (tanh), `"LSTM"` or `"GRU"`.
        input_size: numbers in one step of the sequence.
        hidden_size: numbers in the hidden state.
        classes: number of classes.
        num_layers: recurrent layers on top of each other.

    Raises:
        ValueError: an unknown cell, an input that is not `[N, T, input_size]`, or lengths that do not fit it.

    Example:
        ```python
        import torch
        from dlguide.models import RNNClassifier

        x = torch.zeros(3, 8, 8)  # 3 sequences of 8 steps with 8 numbers each
        for cell in ("RNN", "GRU", "LSTM"):
            model = RNNClassifier(cell)
            recurrent = sum(p.numel() for p in model.rnn.parameters())
            print(cell, model(x).shape, recurrent)
        ```

        ``` {.text .output}
        RNN torch.Size([3, 10]) 4736
        GRU torch.Size([3, 10]) 14208
        LSTM torch.Size([3, 10]) 18944
        ```

    References:
        - Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014, arXiv:1406.1078 (GRU)
        - [torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html)
        - [torch.nn.utils.rnn.pack_padded_sequence](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html)
    """

    def __init__(
        self, cell: str = "LSTM", input_size: int = 8, hidden_size: int = 64, classes: int = 10, num_layers: int = 1
    ) -> None:
        super().__init__()
        cells: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
        if cell not in cells:
            raise ValueError(f"expected the cell 'RNN', 'LSTM' or 'GRU', got {cell!r}")
        self.rnn = cells[cell](input_size, hidden_size, num_layers, batch_first=True)
        self.out = nn.Linear(hidden_size, classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Classify a batch of sequences.

        Args:
            x: `[N, T, input_size]`, float.
            lengths: `[N]`, int64, in `[1, T]`: how many steps of each sequence are real; all of them if not given.

        Returns:
            Logits `[N, classes]`.
        """
        if x.dim() != 3 or x.shape[2] != self.rnn.input_size:
            raise ValueError(
                f"expected sequences of shape [N, T, {self.rnn.input_size}], got {list(x.shape)}:"
                " load(..., layout='rows') gives them without a channel dimension"
            )
        if lengths is None:
            state = self.rnn(x)[1]
        else:
            if lengths.shape != x.shape[:1] or lengths.min() < 1 or lengths.max() > x.shape[1]:
                raise ValueError(
                    f"expected {len(x)} lengths between 1 and {x.shape[1]}, got {lengths.tolist()}"
                    " (one whole number for each sequence)"
                )
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            state = self.rnn(packed)[1]  # back in the order of x, because torch sorted the batch itself
        hidden: Tensor = state[0] if isinstance(state, tuple) else state  # an LSTM's state is (h, c)
        return self.out(hidden[-1])  # the top layer: [num_layers, N, hidden_size] -> [N, hidden_size]
