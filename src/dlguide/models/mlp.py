"""Linear layers with an activation between them; without hidden layers, the linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from dlguide.models._check import check_list, check_sizes


class MLP(nn.Module):
    r"""A multilayer perceptron: linear layers with ReLU between them.

    $$h_0 = \operatorname{flatten}(x), \qquad h_i = \max(0,\; h_{i-1} W_i^\top + b_i), \qquad
    \operatorname{logits} = h_{k} W_{k+1}^\top + b_{k+1}$$

    Here $x$ is the input, $h_i$ the output of hidden layer $i$ of the $k$ in `hidden`, and $W_i$, $b_i$ are the weight
    and the bias of linear layer $i$.

    Args:
        in_features: numbers in one example after flattening: 64 for 8 x 8 pixels, 784 for 28 x 28.
        hidden: width of each hidden layer; `()` gives a linear classifier.
        num_classes: number of classes.

    Raises:
        ValueError: sizes below 1, or the input of a forward pass does not flatten to `in_features` numbers.

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

    def __init__(self, in_features: int = 64, hidden: Sequence[int] = (128,), num_classes: int = 10) -> None:
        super().__init__()
        check_sizes(in_features=in_features, num_classes=num_classes)
        check_list("hidden", hidden)
        self.in_features = in_features
        widths = [in_features, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch.

        Args:
            x: `[N, ...]`, float; whatever follows N is flattened to `in_features` numbers.

        Returns:
            Logits `[N, num_classes]`.
        """
        h = x.flatten(1)  # [N, ...] -> [N, in_features]; the batch stays what it is
        if h.shape[1] != self.in_features:
            raise ValueError(
                f"expected {self.in_features} numbers per example, got {h.shape[1]} from the shape {tuple(x.shape)}:"
                f" build MLP(in_features={h.shape[1]}) for these data"
            )
        return self.layers(h)
