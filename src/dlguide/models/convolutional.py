"""Two small convolutional networks for pictures of any size: LeNet, and one with 3 x 3 kernels."""

from __future__ import annotations

from torch import Tensor, nn

from dlguide.models._check import check_list, check_pictures, check_sizes


class LeNet(nn.Module):
    r"""Two convolutions with 6 and 16 kernels of 5 x 5, then linear layers with 120, 84 and `num_classes` units.

    A 5 x 5 kernel with padding $p$ turns $H$ pixels into $H + 2p - 4$, and each pooling halves them (rounding down):

    $$H_1 = \left\lfloor \frac{H + 2p - 4}{2} \right\rfloor, \qquad
    H_2 = \left\lfloor \frac{H_1 + 2p - 4}{2} \right\rfloor$$

    $W_2$ follows from $W$ in the same way, and the first linear layer sees $16\, H_2 W_2$ numbers. The constructor
    works this out, so the class fits every picture that leaves a pixel: 16 x 16 and larger without padding, 8 x 8 with
    `padding=2`. Against the network of 1998 it has ReLU, max pooling and a plain linear layer at the end, as most
    tutorials do.

    Args:
        in_shape: shape of one picture `(channels, H, W)`.
        num_classes: number of classes.
        padding: rows and columns of zeros around the input of each convolution, at least 0.

    Raises:
        ValueError: a picture of which nothing is left, or a forward pass with pictures of another shape.

    Example:
        ```python
        import torch
        from dlguide.models import LeNet

        model = LeNet((3, 32, 32))
        print(model(torch.zeros(5, 3, 32, 32)).shape)
        print(sum(p.numel() for p in model.parameters()))
        ```

        ``` {.text .output}
        torch.Size([5, 10])
        62006
        ```

    References:
        - LeCun et al. 1998, Gradient-based learning applied to document recognition, section II
        - [torch.nn.Conv2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html)
    """

    def __init__(self, in_shape: tuple[int, int, int] = (3, 32, 32), num_classes: int = 10, padding: int = 0) -> None:
        super().__init__()
        c, *size = in_shape
        check_sizes(channels=c, num_classes=num_classes)
        if padding < 0:
            raise ValueError(f"expected a padding of at least 0, got {padding}")
        h, w = ((((pixels + 2 * padding - 4) // 2) + 2 * padding - 4) // 2 for pixels in size)
        if min(h, w) < 1:
            smallest = next(pixels for pixels in range(1, 17) if (pixels + 2 * padding - 4) // 2 + 2 * padding >= 6)
            raise ValueError(
                f"expected at least {smallest} x {smallest} pixels with padding={padding}, got {size[0]} x {size[1]}:"
                " enlarge the pictures or give LeNet(padding=2)"
            )
        self.in_shape = tuple(in_shape)
        self.features = nn.Sequential(
            nn.Conv2d(c, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),  # [N, 6, H1, W1]
            nn.Conv2d(6, 16, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),  # [N, 16, H2, W2]
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(1), nn.Linear(16 * h * w, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_pictures(x, self.in_shape, "LeNet")
        return self.head(self.features(x))


class CNN(nn.Module):
    r"""Two convolutions with ReLU and pooling, then two linear layers.

    With 3 x 3 kernels and a padding of 1 a convolution keeps height $H$ and width $W$, and each pooling halves them
    (rounding down), so the first linear layer sees $C_2 \lfloor H/4 \rfloor \lfloor W/4 \rfloor$ numbers, where $C_2$
    is the last of `channels`. The constructor works this out, so the same class fits 8 x 8 and 28 x 28 pictures.

    Args:
        in_shape: shape of one picture `(channels, H, W)`, with H and W at least 4.
        channels: number of filters in the first and in the second convolution.
        hidden: width of the hidden linear layer.
        num_classes: number of classes.

    Raises:
        ValueError: a picture smaller than 4 x 4, sizes below 1, or a forward pass with pictures of another shape.

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
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        c, height, width = in_shape
        if min(height, width) < 4:
            raise ValueError(f"expected at least 4 x 4 pixels, got {height} x {width}: two poolings leave nothing")
        check_list("channels", channels, 2)
        check_sizes(hidden=hidden, num_classes=num_classes)
        self.in_shape = tuple(in_shape)
        first, second = channels
        flat = second * (height // 4) * (width // 4)
        self.features = nn.Sequential(
            nn.Conv2d(c, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # [N, 32, H/2, W/2]
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # [N, 64, H/4, W/4]
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(1), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_pictures(x, self.in_shape, "CNN")
        return self.head(self.features(x))
