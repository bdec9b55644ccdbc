"""`Config`: the settings of a run, each with its range; the docstring of the class is the help text of the flags."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from dlguide.config._augment import parse_augment
from dlguide.config._values import convert, inside, near, writable

OPTIMIZERS = ("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "SGD")
_WITH_MOMENTUM = ("RMSprop", "SGD")
_KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "dict": "a table"}


class ConfigError(ValueError):
    """A setting that does not exist or has an impossible value; the message names it and says what is expected."""


def _in(group: str, default: Any, within: str = "", choices: tuple[str, ...] = ()) -> Any:
    """A field of a group, with the interval of its numbers or the words it may be."""
    return field(default=default, metadata={"group": group, "within": within, "choices": choices})


@dataclass(frozen=True)
class Config:
    """Every setting of a run; values out of range are refused with one sentence.

    Args:
        model: which model is trained, a name of `dlguide.models.MODELS`.
        data: which data, a name of `dlguide.data.DATASETS` or the path of your own pictures or texts.
        options: arguments of the model's class, such as `hidden_size`.
        out: folder of the run; `runs/MODEL-DATA` if not given.
        layout: how pictures go in, as they are or row by row; `auto` takes what the model takes.
        size: scale and crop pictures of your own to this height and width.
        standardize: subtract the mean of the training pixels and divide by their standard deviation.
        validation: share of the examples that measure each epoch.
        test: share of the examples that measure the end; ignored if the data bring their own test part.
        max_length: cut off texts that are longer.
        max_words: size of the vocabulary.
        unit: what a text is cut into.
        augment: random changes of training pictures, joined by commas, such as `flip,shift=4,cutout=8`.
        loader: batches by indexing tensors in memory, or by a `DataLoader` with worker processes; same results.
        workers: processes that read batches if the loader is `workers`.
        epochs: how often each training example is used.
        steps: how many steps are taken; the smaller of `epochs` and `steps` counts if both are given.
        batch_size: examples in a batch, all processes of `torchrun` together.
        optimizer: a class of `torch.optim`.
        lr: learning rate, the highest one if a schedule changes it.
        momentum: of SGD and RMSprop.
        nesterov: whether the momentum of SGD looks ahead.
        weight_decay: how fast weights shrink; the optimizer's own kind of decay.
        schedule: what the learning rate does after the warm-up: stay, fall to 0 by a cosine or a line, or one cycle.
        warmup: share of the steps in which the learning rate rises; one cycle takes 0.3 if this is 0.
        label_smoothing: share of each target that is spread evenly over all classes, in each loss but that of the test.
        accumulate: batches whose gradients make one step.
        clip: largest norm of the gradient.
        ema: decay of a moving average of the weights, which is validated and kept in their place.
        patience: epochs without a lower validation loss after which training stops.
        keep: which weights the run ends with, those of the lowest validation loss or the last ones.
        device: where to compute: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        spread: how the processes of `torchrun` share the model: each has it whole, or a part of each parameter.
        precision: float32, or autocast to 16 bits.
        compile: let `torch.compile` translate the model first.
        channels_last: keep pictures in memory with their channels last, with which convolutions are often faster.
        seed: decides the first weights, the split, the order of the examples and every random choice.
        deterministic: take deterministic algorithms, and refuse operations that have none.
        every: write a checkpoint after so many steps; after each epoch if not given.
        tensorboard: write event files for TensorBoard, too.

    Raises:
        ConfigError: a value of the wrong kind, out of range, or that does not fit the others; a kind of `ValueError`.

    Example:
        ```python
        from dlguide.config import Config, ConfigError

        print(Config(model="mlp", lr=0.01).optimizer)
        try:
            Config(lr=-1)
        except ConfigError as error:
            print(error)
        ```

        ``` {.text .output}
        AdamW
        lr: expected a number in (0, inf), got -1
        ```
    """

    model: str = _in("run", "cnn")
    data: str = _in("run", "digits")
    options: dict[str, Any] = field(default_factory=dict, metadata={"group": "run", "within": "", "choices": ()})
    out: str | None = _in("run", None)

    layout: str = _in("data", "auto", choices=("auto", "pictures", "rows"))
    size: int | None = _in("data", None, "[1, inf)")
    standardize: bool = _in("data", True)
    validation: float = _in("data", 0.1, "(0, 1)")
    test: float = _in("data", 0.2, "(0, 1)")
    max_length: int = _in("data", 256, "[1, inf)")
    max_words: int = _in("data", 20_000, "[1, inf)")
    unit: str = _in("data", "words", choices=("words", "characters"))
    augment: str | None = _in("data", None)
    loader: str = _in("data", "tensors", choices=("tensors", "workers"))
    workers: int = _in("data", 2, "[0, inf)")

    epochs: int | None = _in("training", 20, "[1, inf)")
    steps: int | None = _in("training", None, "[1, inf)")
    batch_size: int = _in("training", 64, "[1, inf)")
    optimizer: str = _in("training", "AdamW", choices=OPTIMIZERS)
    lr: float = _in("training", 1e-3, "(0, inf)")
    momentum: float = _in("training", 0.0, "[0, 1)")
    nesterov: bool = _in("training", False)
    weight_decay: float = _in("training", 0.0, "[0, inf)")
    schedule: str = _in("training", "none", choices=("none", "cosine", "linear", "onecycle"))
    warmup: float = _in("training", 0.0, "[0, 1)")
    label_smoothing: float = _in("training", 0.0, "[0, 1)")
    accumulate: int = _in("training", 1, "[1, inf)")
    clip: float | None = _in("training", None, "(0, inf)")
    ema: float | None = _in("training", None, "[0, 1)")
    patience: int | None = _in("training", None, "[1, inf)")
    keep: str = _in("training", "best", choices=("best", "last"))

    device: str = _in("machine", "auto")
    spread: str = _in("machine", "ddp", choices=("ddp", "fsdp"))
    precision: str = _in("machine", "float32", choices=("float32", "bf16", "fp16"))
    compile: bool = _in("machine", False)
    channels_last: bool = _in("machine", False)
    seed: int = _in("machine", 0, "[0, inf)")
    deterministic: bool = _in("machine", False)
    every: int | None = _in("machine", None, "[1, inf)")
    tensorboard: bool = _in("machine", False)

    def __post_init__(self) -> None:
        for setting in settings():
            object.__setattr__(self, setting.name, setting.check(getattr(self, setting.name)))
        for name, value in self.options.items():
            if not writable(value):
                expected = f"expected a text, a number, true or false, or a list of these as {name}"
                raise ConfigError(f"options: {expected}, got {value!r}")
        if self.seed >= 2**63:
            raise ConfigError(f"seed: expected a number below 2**63, as PyTorch takes it, got {self.seed}")
        if self.epochs is None and self.steps is None:
            raise ConfigError("epochs: expected a number of epochs or of steps, got neither: training needs an end")
        if self.momentum and self.optimizer not in _WITH_MOMENTUM:
            raise ConfigError(f"momentum: expected 0 with {self.optimizer}, which has none, got {self.momentum}")
        if self.nesterov and not (self.optimizer == "SGD" and self.momentum):
            raise ConfigError("nesterov: expected false without SGD and a momentum above 0, got true")
        if self.patience is not None and self.keep == "last":
            raise ConfigError("patience: expected none with keep 'last', which does not look for a best epoch")
        if self.validation + self.test >= 1:
            raise ConfigError(f"validation: expected a sum with test below 1, got {self.validation} and {self.test}")
        if self.augment is not None:
            try:
                parse_augment(self.augment)
            except ValueError as error:
                raise ConfigError(f"augment: {error}") from None
            if self.loader == "workers":
                raise ConfigError("augment: expected none with the loader 'workers'; the loader 'tensors' can do it")


class Setting(NamedTuple):
    """What there is to know of one setting.

    Args:
        name: of the field of `Config`, the key in TOML, and with dashes the flag.
        kind: `"int"`, `"float"`, `"str"`, `"bool"` or `"dict"`.
        optional: whether it may be none.
        default: what it is if nothing is said.
        within: the interval of its numbers, empty if it has none.
        choices: the words it may be, empty if it may be any.
        group: `"run"`, `"data"`, `"training"` or `"machine"`.
        help: what it does, one sentence or two without a full stop at the end.

    Example:
        ```python
        from dlguide.config import settings

        lr = next(setting for setting in settings() if setting.name == "lr")
        print(lr.kind, lr.within, lr.default)
        print(lr.check("0.01"))
        ```

        ``` {.text .output}
        float (0, inf) 0.001
        0.01
        ```
    """

    name: str
    kind: str
    optional: bool
    default: Any
    within: str
    choices: tuple[str, ...]
    group: str
    help: str

    @property
    def expected(self) -> str:
        """What the value has to be, in words."""
        what = f"one of {', '.join(self.choices)}" if self.choices else _KINDS[self.kind]
        return what + (f" in {self.within}" if self.within else "") + (" or none" if self.optional else "")

    def check(self, value: Any) -> Any:
        """Return the value in its own type, or say what was expected.

        Args:
            value: of that type, or its text as a flag brings it; `"none"` for no value.
        """
        if value is None or (self.optional and isinstance(value, str) and value.lower() == "none"):
            if self.optional:
                return None
            raise ConfigError(f"{self.name}: expected {self.expected}, got none")
        made = convert(self.kind, value)
        if made is None or (self.within and not inside(made, self.within)):
            raise ConfigError(f"{self.name}: expected {self.expected}, got {value!r}")
        if self.choices and made not in self.choices:
            same = [choice for choice in self.choices if choice.lower() == made.lower()]
            if not same:
                raise ConfigError(f"{self.name}: expected {self.expected}, got {value!r}{near(made, self.choices)}")
            made = same[0]
        return made


def settings() -> tuple[Setting, ...]:
    """List the settings in the order in which flags, files and the page have them.

    Returns:
        One `Setting` for each field of `Config`.

    Example:
        ```python
        from dlguide.config import settings

        print([setting.name for setting in settings()][:4])
        ```

        ``` {.text .output}
        ['model', 'data', 'options', 'out']
        ```
    """
    return _SETTINGS


def _described() -> Iterable[Setting]:
    """Read names, kinds and defaults from the fields of `Config`, and the help from its docstring."""
    arguments = (inspect.getdoc(Config) or "").partition("Args:\n")[2].partition("\n\n")[0]
    said = dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", arguments, re.M))
    for f in fields(Config):
        kind, _, rest = str(f.type).partition(" | ")
        default = {} if kind.startswith("dict") else f.default
        text = " ".join(said.get(f.name, "").split()).removesuffix(".")
        yield Setting(f.name, kind.partition("[")[0], bool(rest), default, f.metadata["within"], f.metadata["choices"],
                      f.metadata["group"], text)  # fmt: skip


_SETTINGS = tuple(_described())
