"""Stacks of 3 x 3 convolutions with a pooling between the stacks."""

from __future__ import annotations

from torch import Tensor, nn

from dlguide.models._check import check_pictures, check_sizes

_STACKS = {  # convolutions in each of the five stacks: configurations A, B, D and E of the paper
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    r"""Five stacks of 3 x 3 convolutions, each with BatchNorm and ReLU, a pooling after each stack, one linear layer.

    Two 3 x 3 convolutions see a field of 5 x 5 pixels and three see 7 x 7, with fewer parameters than one large kernel:
    $3 \cdot 9 C^2 = 27 C^2$ against $49 C^2$ for $C$ channels. Each pooling halves height and width; once a side has a
    single pixel left the remaining poolings are left out, so the class fits any picture. `depth` counts the
    convolutions and the three linear layers of the paper. Here one linear layer on the mean over all positions takes
    their place: in VGG-11 for ImageNet they hold 124 of its 133 million parameters.

    Args:
        depth: 11, 13, 16 or 19.
        in_shape: shape of one picture `(channels, H, W)`.
        num_classes: number of classes.
        width: channels of the first stack; the others have 2, 4, 8 and 8 times as many. The paper has 64.

    Raises:
        ValueError: another depth, or a forward pass with pictures of another shape.

    Example:
        ```python
        import torch
        from dlguide.models import VGG

        model = VGG(11, (3, 32, 32))
        print(model(torch.zeros(2, 3, 32, 32)).shape)
        print(sum(p.numel() for p in model.features.parameters()))
        ```

        ``` {.text .output}
        torch.Size([2, 10])
        9225984
        ```

    References:
        - Simonyan and Zisserman 2014, arXiv:1409.1556, table 1
        - Ioffe and Szegedy 2015, arXiv:1502.03167 (BatchNorm, which the paper of 2014 does not have)
        - [torchvision.models.vgg11_bn](https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.vgg11_bn.html)
    """

    def __init__(
        self, depth: int = 11, in_shape: tuple[int, int, int] = (3, 32, 32), num_classes: int = 10, width: int = 64
    ) -> None:
        super().__init__()
        if depth not in _STACKS:
            raise ValueError(f"expected a depth of 11, 13, 16 or 19, got {depth}")
        before, height, pixels = in_shape
        check_sizes(channels=before, height=height, pixels_across=pixels, num_classes=num_classes, width=width)
        self.in_shape = tuple(in_shape)
        side = min(height, pixels)
        self.features = nn.Sequential()
        for count, factor in zip(_STACKS[depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(count):
                convolution = nn.Conv2d(before, factor * width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
                self.features.extend([convolution, nn.BatchNorm2d(factor * width), nn.ReLU()])
                before = factor * width
            if side >= 2:
                self.features.append(nn.MaxPool2d(2))
                side //= 2
        self.head = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_pictures(x, self.in_shape, "VGG")
        return self.head(self.features(x).mean((2, 3)))
