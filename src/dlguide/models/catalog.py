"""The classifiers by name, and the one that fits given data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from dlguide._resembling import resembling
from dlguide.models.convolutional import CNN, LeNet
from dlguide.models.mlp import MLP
from dlguide.models.recurrent import RNNClassifier
from dlguide.models.resnet import ResNet
from dlguide.models.speedy import SpeedyNet
from dlguide.models.text import BagOfNgrams, TextCNN
from dlguide.models.transfer import Transfer, pretrained
from dlguide.models.transformer import TransformerClassifier
from dlguide.models.vgg import VGG

if TYPE_CHECKING:
    from dlguide.data import Splits


class Entry(NamedTuple):
    """A line of `MODELS`: what makes the model, what it is, and what data it takes.

    Args:
        make: the class, or a function that returns a model.
        description: one line.
        data: one or more of `"pictures"` `[N, C, H, W]`, `"rows"` `[N, T, F]`, `"numbers"` `[N, F]` and `"text"`.
        fit: gives the arguments of `make` that follow from the data.

    Example:
        ```python
        from dlguide.models import MODELS

        print(MODELS["lstm"].description, MODELS["lstm"].data)
        print(MODELS["mlp"].options())
        ```

        ``` {.text .output}
        recurrent network with LSTM cells ('rows', 'text')
        {'in_features': 64, 'hidden': (128,), 'num_classes': 10}
        ```
    """

    make: Callable[..., nn.Module]
    description: str
    data: tuple[str, ...]
    fit: Callable[[Splits], dict[str, Any]]

    def options(self) -> dict[str, Any]:
        """List the arguments that `build` passes on; those that `fit` gives follow from the data unless they are set.

        Returns:
            Names and default values, None where there is no default.
        """
        fixed = {**self.make.keywords} if isinstance(self.make, partial) else {}
        named = inspect.signature(self.make).parameters.values()
        return {p.name: None if p.default is p.empty else p.default for p in named if p.name not in fixed}


def _flat(data: Splits) -> dict[str, Any]:
    return {"in_features": data.train.tensors[0][0].numel(), "num_classes": len(data.classes)}


def _shape(data: Splits) -> dict[str, Any]:
    return {"in_shape": tuple(data.train.tensors[0].shape[1:]), "num_classes": len(data.classes)}


def _padded(data: Splits) -> dict[str, Any]:
    small = min(data.train.tensors[0].shape[2:]) < 32  # LeNet was made for 32 x 32; padding brings 28 and 8 there
    return {**_shape(data), "padding": 2 if small else 0}


def _channels(data: Splits) -> dict[str, Any]:
    x = data.train.tensors[0]
    stem = "imagenet" if min(x.shape[2:]) > 64 else "cifar"
    return {"in_channels": x.shape[1], "num_classes": len(data.classes), "stem": stem}


def _words(data: Splits) -> dict[str, Any]:
    assert data.vocabulary is not None
    return {"vocabulary": len(data.vocabulary), "num_classes": len(data.classes)}


def _positions(data: Splits) -> dict[str, Any]:
    longest = max(part.tensors[0].shape[1] for part in (data.train, data.validation, data.test))
    return {**_words(data), "max_length": longest}


def _sequences(data: Splits) -> dict[str, Any]:
    if _kind(data) == "text":
        return {**_words(data), "input_size": 64}
    return {"input_size": data.train.tensors[0].shape[2], "num_classes": len(data.classes)}


def _classes(data: Splits) -> dict[str, Any]:
    return {"num_classes": len(data.classes)}


def _network(
    network: str = "resnet18", num_classes: int = 10, weights: str | None = None, freeze: bool = True
) -> Transfer:
    return pretrained(network, num_classes, weights, freeze)


_ANY, _SEQUENCES = ("pictures", "rows", "numbers"), ("rows", "text")

MODELS: dict[str, Entry] = {
    "linear": Entry(partial(MLP, hidden=()), "one linear layer", _ANY, _flat),
    "mlp": Entry(MLP, "linear layers with ReLU between them", _ANY, _flat),
    "lenet": Entry(LeNet, "two 5 x 5 convolutions and three linear layers", ("pictures",), _padded),
    "cnn": Entry(CNN, "two 3 x 3 convolutions and two linear layers", ("pictures",), _shape),
    "resnet": Entry(ResNet, "residual network of depth 18, 34 or 6n + 2", ("pictures",), _channels),
    "vgg": Entry(VGG, "stacks of 3 x 3 convolutions with BatchNorm", ("pictures",), _shape),
    "speedynet": Entry(SpeedyNet, "convolutional network that learns CIFAR-10 in few epochs", ("pictures",), _shape),
    "pretrained": Entry(_network, "a network of torchvision with a new last layer", ("pictures",), _classes),
    "rnn": Entry(partial(RNNClassifier, cell="RNN"), "recurrent network with tanh cells", _SEQUENCES, _sequences),
    "lstm": Entry(partial(RNNClassifier, cell="LSTM"), "recurrent network with LSTM cells", _SEQUENCES, _sequences),
    "gru": Entry(partial(RNNClassifier, cell="GRU"), "recurrent network with GRU cells", _SEQUENCES, _sequences),
    "textcnn": Entry(TextCNN, "windows of a few words and their strongest responses", ("text",), _words),
    "bag": Entry(BagOfNgrams, "mean embedding of words and word pairs", ("text",), _words),
    "transformer": Entry(TransformerClassifier, "blocks of self-attention", ("text",), _positions),
}


def build(name: str, splits: Splits, **options: Any) -> nn.Module:
    """Build the classifier that fits the data.

    Sizes of the input, the number of classes and the vocabulary follow from the data. Everything else has the default
    of the class.

    Args:
        name: one of `MODELS`.
        splits: what `dlguide.data.load` returned.
        options: arguments of the class, such as `hidden=(256, 256)`; for `pretrained` also `network="resnet18"`.

    Returns:
        The model; its weights depend on torch's seed.

    Raises:
        ValueError: an unknown name or option, or a model that does not take such data.

    Example:
        ```python
        from dlguide.data import load
        from dlguide.models import build

        digits = load("digits")
        print(build("mlp", digits, hidden=(32,)).layers)
        try:
            build("mpl", digits)
        except ValueError as error:
            print(error)
        ```

        ``` {.text .output}
        Sequential(
          (0): Linear(in_features=64, out_features=32, bias=True)
          (1): ReLU()
          (2): Linear(in_features=32, out_features=10, bias=True)
        )
        there is no model 'mpl': did you mean 'mlp'?
        ```
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}: {_near(name, MODELS)}")
    entry, kind = MODELS[name], _kind(splits)
    if kind not in entry.data:
        fitting = ", ".join(other for other, line in MODELS.items() if kind in line.data)
        shape = list(splits.train.tensors[0].shape[1:])
        grey = kind == "pictures" and "rows" in entry.data
        raise ValueError(
            f"{name} takes {' or '.join(entry.data)}, and these data are {kind}, {shape} each: "
            + ("load(..., layout='rows') makes rows of grey pictures, or " if grey else "")
            + f"take one of {fitting}"
        )
    unknown = [option for option in options if option not in entry.options()]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}: {_near(unknown[0], entry.options())}")
    for option, value in options.items():
        _check_kind(name, option, value, entry.options()[option])
    model = entry.make(**{**entry.fit(splits), **options})
    if isinstance(model, SpeedyNet):
        model.whiten(splits.train.tensors[0][:2000])
    return model


_KINDS: dict[type, tuple[type | tuple[type, ...], str]] = {
    bool: (bool, "true or false"), int: (int, "a whole number"), float: ((int, float), "a number"),
    str: (str, "a text"), tuple: ((list, tuple), "a list"),
}  # fmt: skip


def _check_kind(model: str, option: str, value: Any, default: Any) -> None:
    """An option is of the kind of its default: the text "False" is not False, and one size is no list of sizes."""
    kind, words = _KINDS.get(type(default), (object, ""))
    if not isinstance(value, kind) or (isinstance(value, bool) and type(default) in (int, float)):
        example = "" if kind is bool else f", such as {list(default) if isinstance(default, tuple) else repr(default)}"
        raise ValueError(f"{model}: expected {words} as {option}{example}, got {value!r}")


def _near(name: str, known: Iterable[str]) -> str:
    """Propose a name that resembles the given one, or list them all."""
    names = list(known)
    found = resembling(name, names)
    return f"did you mean {found!r}?" if found else f"there are {', '.join(names)}"


def _kind(data: Splits) -> str:
    if data.vocabulary is not None:
        return "text"
    return {4: "pictures", 3: "rows"}.get(data.train.tensors[0].dim(), "numbers")
