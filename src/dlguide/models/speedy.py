"""A convolutional network made to learn CIFAR-10 in few epochs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlguide.models._check import check_list, check_pictures, check_sizes


class SpeedyNet(nn.Module):
    r"""A fixed whitening convolution, three stages of two convolutions, the maximum over positions, scaled logits.

    $$y = \operatorname{gelu}\!\left( \begin{bmatrix} +A \\ -A \end{bmatrix} (p - \mu) + b \right), \qquad
    A = \Lambda^{-1/2} V^\top, \qquad \operatorname{cov}(p) = V \Lambda V^\top$$

    Here $p$ is a patch of 2 x 2 pixels, $\mu$ and $\operatorname{cov}(p)$ are mean and covariance over the training
    pictures, $V$ and $\Lambda$ its eigenvectors and eigenvalues, and $b$ is learned. $A (p - \mu)$ has covariance 1:
    the first layer starts where training would first have to bring it, and its weights stay as they are. Each filter
    also comes with the opposite sign, because GELU lets through one side only. BatchNorm has no factor of its own
    (frozen at 1), the first channels of each convolution start as the identity, and the logits are divided by 9.
    `whiten` must have seen training pictures before training starts; `build("speedynet", splits)` does it.

    Args:
        in_shape: shape of one picture `(channels, H, W)`, 9 x 9 or larger.
        num_classes: number of classes.
        widths: channels of the three stages.
        scale: what the logits are multiplied by.

    Raises:
        ValueError: a picture of which nothing is left, or a forward pass with pictures of another shape.

    Example:
        ```python
        import torch
        from dlguide.models import SpeedyNet

        torch.manual_seed(0)
        model = SpeedyNet((3, 32, 32))
        model.whiten(torch.randn(100, 3, 32, 32).cumsum(3))  # neighbours that resemble each other
        print(model(torch.zeros(5, 3, 32, 32)).shape)
        print(sum(p.numel() for p in model.parameters() if p.requires_grad))
        ```

        ``` {.text .output}
        torch.Size([5, 10])
        1971352
        ```

    References:
        - Jordan 2024, arXiv:2404.00498, section 3 (airbench: whitening, identity, scale, widths)
        - Page 2019, How to Train Your ResNet (the whitening convolution)
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        widths: tuple[int, int, int] = (64, 256, 256),
        scale: float = 1 / 9,
    ) -> None:
        super().__init__()
        c, h, w = in_shape
        check_sizes(channels=c, num_classes=num_classes)
        check_list("widths", widths, 3)
        if min(h, w) < 9:
            raise ValueError(
                f"expected at least 9 x 9 pixels, got {h} x {w}: enlarge the pictures, or take CNN for small ones"
            )
        self.in_shape, self.scale = tuple(in_shape), scale
        self.whitening = nn.Conv2d(c, 8 * c, 2)  # 4c directions of a patch, with both signs
        self.whitening.weight.requires_grad_(False)
        before = 8 * c
        self.stages = nn.Sequential(nn.GELU())
        for width in widths:
            for i, channels in enumerate((before, width)):
                convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
                nn.init.dirac_(convolution.weight[:channels].detach())  # the identity, on as many channels as there are
                norm = nn.BatchNorm2d(width, momentum=0.4)  # quick running values: a run is a few hundred steps
                norm.weight.requires_grad_(False)
                self.stages.extend([convolution, nn.MaxPool2d(2) if i == 0 else nn.Identity(), norm, nn.GELU()])
            before = width
        self.head = nn.Linear(before, num_classes, bias=False)

    @torch.no_grad()
    def whiten(self, x: Tensor, epsilon: float = 5e-4) -> None:
        """Set the first convolution so that its results are uncorrelated and have variance 1 on these pictures.

        Args:
            x: training pictures `[N, *in_shape]`, float; 2,000 are plenty.
            epsilon: added to the eigenvalues, so that directions without variance are not blown up.
        """
        check_pictures(x, self.in_shape, "SpeedyNet")
        patches = x.double().unfold(2, 2, 1).unfold(3, 2, 1)  # [N, c, H - 1, W - 1, 2, 2]
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 4 * x.shape[1])  # one row for each patch
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        a = (vectors / (values + epsilon).sqrt()).T  # row i is eigenvector i over its standard deviation
        both = torch.cat([a, -a])
        self.whitening.weight.copy_(both.view_as(self.whitening.weight))
        self.whitening.bias.copy_(-both @ mean)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, *in_shape]`, float.

        Returns:
            Logits `[N, num_classes]`.
        """
        check_pictures(x, self.in_shape, "SpeedyNet")
        h = self.stages(self.whitening(x))  # [N, widths[-1], H', W']
        return self.head(h.amax((2, 3))) * self.scale
