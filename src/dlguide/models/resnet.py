"""Residual networks of basic blocks, for small pictures and for large ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlguide.models._check import check_channels, check_sizes


class BasicBlock(nn.Module):
    r"""Two 3 x 3 convolutions whose result is added to what came in.

    $$y = \max(0,\; F(x) + S(x))$$

    $F$ is convolution, BatchNorm, ReLU, convolution, BatchNorm. The shortcut $S$ is the identity, or a 1 x 1
    convolution with BatchNorm where the number of channels or the size changes. If $F(x) = 0$ and $S$ is the identity,
    then $y = \max(0, x)$: the block is the identity on inputs that are nowhere negative, and the inputs of all blocks
    of a `ResNet` are such, because a ReLU made them.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        stride: of the first convolution; 2 halves height and width.

    Example:
        ```python
        import torch
        from dlguide.models import BasicBlock

        block = BasicBlock(8, 8)
        torch.nn.init.zeros_(block.branch[-1].weight)  # now F(x) = 0
        x = torch.rand(2, 8, 4, 4)
        print(torch.equal(block(x), x), torch.equal(block(-x), -x))
        print(BasicBlock(8, 16, stride=2)(x).shape)
        ```

        ``` {.text .output}
        True False
        torch.Size([2, 16, 2, 2])
        ```

    References:
        - He et al. 2015, arXiv:1512.03385, section 3.2 and figure 5 (left)
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to the shortcut.

        Args:
            x: `[N, in_channels, H, W]`, float.

        Returns:
            `[N, channels, ceil(H / stride), ceil(W / stride)]`, nowhere negative.
        """
        return torch.relu(self.branch(x) + self.shortcut(x))


class ResNet(nn.Module):
    r"""A residual network: a stem, stages of basic blocks, the mean over all positions, and a linear layer.

    `depth` counts the convolutions on the way through and the linear layer. 18 and 34 are the networks for ImageNet:
    four stages with 64, 128, 256 and 512 channels. $6n + 2$ (8, 14, 20, 32, 44, 56, 110) are those for CIFAR: three
    stages with 16, 32 and 64 channels and $n$ blocks each. The first block of each stage but the first halves height
    and width. Unlike the paper's CIFAR networks, shortcuts between stages are 1 x 1 convolutions, as in the larger
    ones: a ResNet-20 has 272,474 parameters with them.

    With `stem="imagenet"`, depth 18 and 3 channels it is torchvision's `resnet18`, parameter for parameter.

    Args:
        depth: 18, 34, or $6n + 2$.
        in_channels: channels of a picture; height and width are free.
        num_classes: number of classes.
        stem: `"cifar"`, a 3 x 3 convolution, for pictures up to about 64 pixels; `"imagenet"`, a 7 x 7 convolution and
            a pooling with stride 2 each, for pictures of about 224.
        zero_branches: start with every branch at 0, so that all blocks with the identity as their shortcut begin as the
            identity.

    Raises:
        ValueError: another depth or stem, or a forward pass with another number of channels.

    Example:
        ```python
        import torch
        from dlguide.models import ResNet

        for model in (ResNet(20), ResNet(18, num_classes=1000, stem="imagenet")):
            print(sum(p.numel() for p in model.parameters()), model(torch.zeros(2, 3, 40, 40)).shape)
        ```

        ``` {.text .output}
        272474 torch.Size([2, 10])
        11689512 torch.Size([2, 1000])
        ```

    References:
        - He et al. 2015, arXiv:1512.03385, table 1 and section 4.2
        - Goyal et al. 2017, arXiv:1706.02677, section 5.1 (branches that start at 0)
        - [torchvision.models.resnet18](https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.resnet18.html)
    """

    def __init__(
        self,
        depth: int = 18,
        in_channels: int = 3,
        num_classes: int = 10,
        stem: str = "cifar",
        zero_branches: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(depth=depth, in_channels=in_channels, num_classes=num_classes)
        if depth in (18, 34):
            blocks, widths = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}[depth], [64, 128, 256, 512]
        elif depth >= 8 and depth % 6 == 2:
            blocks, widths = [(depth - 2) // 6] * 3, [16, 32, 64]
        else:
            raise ValueError(f"expected a depth of 18, 34 or 6n + 2 (8, 14, 20, 32, 44, 56, 110), got {depth}")
        if stem not in ("cifar", "imagenet"):
            raise ValueError(f"expected the stem 'cifar' (3 x 3) or 'imagenet' (7 x 7), got {stem!r}")
        self.in_channels = in_channels
        large = stem == "imagenet"
        kernel, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], kernel, stride, padding, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity(),
        )
        self.blocks = nn.Sequential()
        before = widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            for i in range(count):
                self.blocks.append(BasicBlock(before, width, stride=2 if stage and i == 0 else 1))
                before = width
        self.head = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # keeps the variance of gradients from layer to layer
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_branches and isinstance(module, BasicBlock):
                nn.init.zeros_(module.branch.get_parameter("4.weight"))  # the factor of the last BatchNorm

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, in_channels, H, W]`, float.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_channels(x, self.in_channels, "ResNet")
        h = self.blocks(self.stem(x))  # [N, widths[-1], H', W']
        return self.head(h.mean((2, 3)))  # the mean over positions: any H and W
