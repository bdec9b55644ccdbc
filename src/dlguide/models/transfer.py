"""torchvision's networks with a new last layer, for learning from few pictures."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from dlguide._resembling import resembling


class Transfer(nn.Module):
    r"""A network without its last layer, the body, and a new linear layer, the head.

    $$\operatorname{logits} = \operatorname{body}(x)\, W^\top + b$$

    While the body is frozen, its parameters get no gradient, and it stays in evaluation mode even in training:
    otherwise each batch would move the running mean and variance of its BatchNorm layers, and dropout would be at work.
    Grey pictures are shown to the body as three equal channels.

    Args:
        body: maps pictures to features `[N, F]`.
        features: F.
        num_classes: number of classes.

    Example:
        ```python
        import torch
        from torch import nn
        from dlguide.models import Transfer

        body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5), nn.BatchNorm1d(5))
        model = Transfer(body, features=5, num_classes=2)
        model.freeze()
        print([name for name, p in model.named_parameters() if p.requires_grad])
        print(model.train().body.training, model(torch.zeros(4, 1, 4, 4)).shape)
        ```

        ``` {.text .output}
        ['head.weight', 'head.bias']
        False torch.Size([4, 2])
        ```

    References:
        - Yosinski et al. 2014, arXiv:1411.1792 (how transferable are features)
    """

    def __init__(self, body: nn.Module, features: int, num_classes: int) -> None:
        super().__init__()
        self.body, self.head, self.frozen = body, nn.Linear(features, num_classes), False

    def freeze(self, frozen: bool = True) -> None:
        """Keep the body as it is, or let it learn again.

        Args:
            frozen: False lets it learn; give its parameters to an optimizer then, with a small learning rate.
        """
        self.frozen = frozen
        self.body.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Transfer:
        """Switch to training or evaluation; a frozen body stays in evaluation.

        Args:
            mode: True for training.

        Returns:
            The model.
        """
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of pictures.

        Args:
            x: `[N, 3, H, W]` or `[N, 1, H, W]`, float, normalized as for the body.

        Returns:
            Logits `[N, num_classes]`.
        """
        if x.dim() != 4 or x.shape[1] not in (1, 3):
            raise ValueError(f"expected pictures [N, 3, H, W] or [N, 1, H, W], got {list(x.shape)}: reshape them")
        return self.head(self.body(x.expand(-1, 3, -1, -1)))


def pretrained(
    name: str, num_classes: int, weights: str | os.PathLike[str] | None = None, freeze: bool = True
) -> Transfer:
    """Take one of torchvision's classifiers with its weights and give it a new last layer.

    Args:
        name: as in torchvision: `"resnet18"`, `"mobilenet_v3_small"`, `"vit_b_16"`.
        num_classes: number of classes of the new layer.
        weights: file with a `state_dict` of that network, its last layer with any number of classes; None lets
            torchvision download its own (needs a network).
        freeze: train the new layer only.

    Returns:
        The model; `model.body` is torchvision's network without its last layer, `model.head` the new one.

    Raises:
        ValueError: an unknown name, a network whose last layer is not linear, or a file that holds something else.
        FileNotFoundError: the file is missing.
        ConnectionError: torchvision's weights cannot be downloaded.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory

        import torch
        import torchvision
        from dlguide.models import pretrained

        with TemporaryDirectory() as folder:  # stands for weights that were downloaded somewhere else
            file = Path(folder) / "resnet18.pt"
            torch.save(torchvision.models.resnet18().state_dict(), file)
            model = pretrained("resnet18", num_classes=5, weights=file)
        print(model(torch.zeros(2, 3, 64, 64)).shape)
        print(sum(p.numel() for p in model.parameters() if p.requires_grad))
        ```

        ``` {.text .output}
        torch.Size([2, 5])
        2565
        ```

    References:
        - [torchvision.models](https://docs.pytorch.org/vision/stable/models.html)
        - [torch.load, weights_only](https://docs.pytorch.org/docs/stable/generated/torch.load.html)
    """
    from torchvision import models  # here, because it takes a second to import and the other models do not need it

    known = models.list_models(module=models)
    if name not in known:
        found = resembling(name, known)
        raise ValueError(
            f"torchvision has no classifier {name!r}"
            + (f": did you mean {found!r}?" if found else ": see torchvision.models.list_models()")
        )
    try:
        body = models.get_model(name, weights="DEFAULT" if weights is None else None)
    except URLError as error:
        raise ConnectionError(
            f"the weights of {name} cannot be downloaded ({error.reason}): give weights=FILE with a state_dict that was"
            f" saved where there is a network, torch.save(torchvision.models.get_model({name!r},"
            " weights='DEFAULT').state_dict(), FILE)"
        ) from error
    last_name, last = [(n, m) for n, m in body.named_modules() if not list(m.children()) and list(m.parameters())][-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(f"the last layer of {name} is a {type(last).__name__} and not a Linear: take resnet18")
    body.set_submodule(last_name, nn.Identity())
    if weights is not None:
        _load_body(body, _read(path := Path(weights).expanduser()), f"{last_name}.", name, path)
    model = Transfer(body, last.in_features, num_classes)
    model.freeze(freeze)
    return model


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the file that torch.save(model.state_dict(), FILE) wrote")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged or not a file of weights that torch.save wrote: copy it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state_dict: save model.state_dict(), which maps names to tensors")
    return state


def _load_body(body: nn.Module, state: dict[str, Tensor], last: str, name: str, path: Path) -> None:
    expected = body.state_dict()
    state = {key: value for key, value in state.items() if not key.startswith(last)}
    different = [key for key in {**expected, **state}
                 if key not in expected or key not in state or expected[key].shape != state[key].shape]  # fmt: skip
    if different:
        key = different[0]
        shapes = [list(of[key].shape) if key in of else "nothing" for of in (expected, state)]
        raise ValueError(
            f"{path} holds the weights of another network than {name}: at {key} expected {shapes[0]}, got {shapes[1]}"
        )
    body.load_state_dict(state)
