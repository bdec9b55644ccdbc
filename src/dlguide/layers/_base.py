"""What the layers share: taking over options and weights from the layer of torch.nn that has the same name."""

from __future__ import annotations

import inspect
from typing import Any, Self

from torch import nn


class Layer(nn.Module):
    """A layer whose constructor arguments and parameter names are those of the class of the same name in torch.nn."""

    @classmethod
    def load_from_torch(cls, layer: nn.Module) -> Self:
        """Make a layer with the options and a copy of the weights of PyTorch's own.

        Args:
            layer: a layer of the class in `torch.nn` that has this class's name.

        Returns:
            A new layer on the same device, of the same dtype, in the same mode, which computes the same.

        Raises:
            TypeError: `layer` is of another class.
        """
        theirs = getattr(nn, cls.__name__)
        if type(layer) is not theirs:
            came = f"torch.nn.{type(layer).__name__}" if isinstance(layer, nn.Module) else type(layer).__name__
            raise TypeError(f"expected a torch.nn.{cls.__name__} to load from, got {came}: pass the layer itself")
        ours = cls(**cls._options(layer))
        like = next((value for value in layer.state_dict().values() if value.is_floating_point()), None)
        if like is not None:
            ours = ours.to(like.device, like.dtype)
        ours.load_state_dict(layer.state_dict())
        return ours.train(layer.training)

    @classmethod
    def _options(cls, layer: nn.Module) -> dict[str, Any]:
        """The constructor arguments that make a layer like this one; a class overrides it where names differ."""
        options = {name: getattr(layer, name) for name in inspect.signature(cls).parameters if hasattr(layer, name)}
        if "bias" in options and not isinstance(options["bias"], bool):  # torch keeps the tensor under that name
            options["bias"] = options["bias"] is not None
        return options
