r"""Random changes of pictures, for a whole batch at once and on any device.

Each is called as `augment(x, generator)`, with a batch `[N, C, H, W]` and a generator on the same device, and draws
for every picture of its own. `TensorBatches(..., augment=...)` calls it with a generator that follows from the seed and
the number of the batch. For training only: the other parts stay as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dlguide.data.batches import Augment


class RandomFlip:
    r"""Mirror each picture left to right with probability $p$.

    $y_{n,c,i,j} = x_{n,c,i,W-1-j}$ where the coin of picture n says so, else $x_{n,c,i,j}$.

    Args:
        p: probability, in [0, 1].

    Raises:
        ValueError: a probability outside [0, 1].

    Example:
        ```python
        import torch
        from dlguide.data import RandomFlip

        x = torch.arange(3.0).expand(4, 1, 1, 3)  # four pictures of one row
        print(RandomFlip()(x, torch.Generator().manual_seed(0)).flatten(1))
        ```

        ``` {.text .output}
        tensor([[2., 1., 0.],
                [0., 1., 2.],
                [2., 1., 0.],
                [2., 1., 0.]])
        ```

    References:
        - [torchvision.transforms.v2.RandomHorizontalFlip](https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.RandomHorizontalFlip.html)
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"expected a probability p in [0, 1], got {p}")
        self.p = p

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        coin = torch.rand(len(_pictures(x)), 1, 1, 1, generator=generator, device=x.device) < self.p
        return torch.where(coin, x.flip(-1), x)


class RandomShift:
    r"""Move each picture by up to $k$ pixels; what comes in at the edge is its mirror image.

    The picture is padded by $k$ pixels by reflection; a window of the old size is cut out at a random place.

    Args:
        pixels: k, at least 0 and smaller than the height and the width.

    Raises:
        ValueError: a negative number, or pictures that are not larger than it.

    Example:
        ```python
        import torch
        from dlguide.data import RandomShift

        x = torch.arange(5.0).expand(3, 1, 5, 5)  # three pictures, each row is 0 1 2 3 4
        print(RandomShift(1)(x, torch.Generator().manual_seed(1))[:, 0, 0])
        ```

        ``` {.text .output}
        tensor([[1., 2., 3., 4., 3.],
                [0., 1., 2., 3., 4.],
                [0., 1., 2., 3., 4.]])
        ```

    References:
        - arXiv:1512.03385, section 4.2 (4 pixels and a flip for CIFAR-10; there the edge is padded with 0)
    """

    def __init__(self, pixels: int = 2) -> None:
        if pixels < 0:
            raise ValueError(f"expected pixels of at least 0, got {pixels}")
        self.pixels = pixels

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n, _, height, width = _pictures(x).shape
        if self.pixels >= min(height, width):
            raise ValueError(f"expected pictures larger than {self.pixels} pixels, got {height} x {width}")
        padded = F.pad(x, [self.pixels] * 4, mode="reflect")
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: [N, C, 2k + 1, 2k + 1, H, W]
        down, right = torch.randint(2 * self.pixels + 1, (2, n), generator=generator, device=x.device)
        return windows[torch.arange(n, device=x.device), :, down, right]  # one window for each picture


class Cutout:
    r"""Cover a square of each picture with 0.

    The centre is any pixel; a square that reaches over the edge is cut off there. After standardising, 0 is the mean.

    Args:
        size: side of the square in pixels, at least 1.

    Raises:
        ValueError: a size below 1.

    Example:
        ```python
        import torch
        from dlguide.data import Cutout

        x = torch.ones(1, 1, 4, 6)
        print(Cutout(2)(x, torch.Generator().manual_seed(1)).squeeze())
        ```

        ``` {.text .output}
        tensor([[1., 1., 1., 1., 0., 0.],
                [1., 1., 1., 1., 0., 0.],
                [1., 1., 1., 1., 1., 1.],
                [1., 1., 1., 1., 1., 1.]])
        ```

    References:
        - arXiv:1708.04552, section 3.2
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"expected a size of at least 1, got {size}")
        self.size = size

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n, _, height, width = _pictures(x).shape
        inside = []
        for side in (height, width):
            first = torch.randint(side, (n, 1), generator=generator, device=x.device) - self.size // 2
            place = torch.arange(side, device=x.device)
            inside.append((place >= first) & (place < first + self.size))  # [N, side]
        covered = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)  # [N, H, W]
        return x.masked_fill(covered.unsqueeze(1), 0.0)


class Compose:
    """Change pictures in several ways, one after the other.

    Args:
        steps: called in this order, all with the same generator.

    Example:
        ```python
        import torch
        from dlguide.data import Compose, RandomFlip, RandomShift

        augment = Compose(RandomFlip(), RandomShift(2))
        x = torch.rand(8, 3, 32, 32)
        print(augment(x, torch.Generator().manual_seed(0)).shape)
        ```

        ``` {.text .output}
        torch.Size([8, 3, 32, 32])
        ```
    """

    def __init__(self, *steps: Augment) -> None:
        self.steps = steps

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for step in self.steps:
            x = step(x, generator)
        return x


def _pictures(x: Tensor) -> Tensor:
    if x.ndim != 4:
        raise ValueError(f"expected a batch of pictures [N, C, H, W], got the shape {list(x.shape)}")
    return x
