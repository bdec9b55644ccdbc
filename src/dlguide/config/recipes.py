"""Settings that are known to work: for each model, and for some models on some data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DATA = ("digits", "reviews", "mnist", "fashion-mnist", "cifar10", "imdb")

# For each model: settings for any data, and under the name of a data set those for it alone.
RECIPES: dict[str, dict[str, Any]] = {
    "linear": {"lr": 0.01},
    "mlp": {"schedule": "onecycle", "lr": 0.003, "mnist": {"epochs": 10, "batch_size": 256, "lr": 0.005}},
    "lenet": {"schedule": "onecycle", "lr": 0.003, "mnist": {"epochs": 5, "batch_size": 128}},
    "cnn": {
        "schedule": "onecycle",
        "lr": 0.005,
        "label_smoothing": 0.1,
        "digits": {"epochs": 15, "batch_size": 32},
        "mnist": {"epochs": 4, "batch_size": 128, "augment": "shift=2", "channels_last": True},
        "fashion-mnist": {"epochs": 6, "batch_size": 128, "augment": "flip", "channels_last": True},
        "cifar10": {"epochs": 6, "batch_size": 128, "augment": "flip", "channels_last": True},
    },
    "resnet": {
        "schedule": "onecycle",
        "lr": 0.005,
        "weight_decay": 0.01,
        "label_smoothing": 0.1,
        "cifar10": {"epochs": 10, "batch_size": 128, "augment": "flip,shift=4", "channels_last": True},
    },
    "vgg": {"schedule": "onecycle", "lr": 0.002, "label_smoothing": 0.1},
    "speedynet": {
        "schedule": "onecycle",
        "lr": 0.005,
        "weight_decay": 0.01,
        "label_smoothing": 0.2,
        "cifar10": {"epochs": 8, "batch_size": 512, "augment": "flip,shift=2", "channels_last": True},
    },
    "pretrained": {"epochs": 5},
    "rnn": {"schedule": "onecycle", "lr": 0.005, "clip": 1.0, "digits": {"batch_size": 32, "label_smoothing": 0.1}},
    "lstm": {"schedule": "onecycle", "lr": 0.01, "clip": 1.0, "imdb": {"epochs": 3, "batch_size": 128, "lr": 0.003}},
    "gru": {"schedule": "onecycle", "lr": 0.01, "clip": 1.0, "imdb": {"epochs": 3, "batch_size": 128, "lr": 0.003}},
    "textcnn": {"epochs": 5, "imdb": {"epochs": 2, "batch_size": 128}},
    "bag": {"lr": 0.01, "epochs": 5, "imdb": {"epochs": 3, "batch_size": 256, "max_length": 400, "max_words": 50_000}},
    "transformer": {"schedule": "onecycle", "clip": 1.0, "imdb": {"epochs": 3, "batch_size": 128}},
}


def recipe(model: str, data: str) -> dict[str, Any]:
    """Give the settings that are known to work for a model, and for these data if there are any.

    Args:
        model: a name of `dlguide.models.MODELS`; an unknown one has no recipe.
        data: a name of `dlguide.data.DATASETS`, or a path.

    Returns:
        Settings by their names; `Config(model=model, data=data, **recipe(model, data))` is the whole.

    Example:
        ```python
        from dlguide.config import Config, recipe

        config = Config(model="rnn", data="digits", **recipe("rnn", "digits"))
        print(config.clip)
        ```

        ``` {.text .output}
        1.0
        ```
    """
    found = RECIPES.get(model, {})
    general = {name: value for name, value in found.items() if not isinstance(value, dict)}
    return {**general, **found.get(data, {})}


def data_name(data: str) -> str:
    """A short name for a folder: that of the set, or the last part of a path without its ending."""
    return data if data in DATA else Path(data).name.partition(".")[0] or "data"
