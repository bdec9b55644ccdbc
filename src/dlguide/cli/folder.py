"""The folder of a run: what lies in it, whether it belongs to this configuration, and the model that came out."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dlguide.config import Config, ConfigError, near, read_config, to_toml
from dlguide.config.recipes import data_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dlguide.data import Splits

CONFIG, HISTORY, CHECKPOINTS = "config.toml", "history.jsonl", "checkpoints"
MODEL, RESULT, EVENTS = "model.pt", "result.json", "tensorboard"
FORMAT = 1  # of model.pt


def folder_of(config: Config) -> Path:
    """Where the run of this configuration lies."""
    return Path(config.out or f"runs/{config.model}-{data_name(config.data)}").expanduser()


def claim(config: Config, fresh: bool) -> Path:
    """Check that a folder is free, or that the run in it has the same settings; nothing is written yet."""
    folder = folder_of(config)
    if folder.is_dir() and not (folder / CONFIG).is_file() and any(folder.iterdir()):
        raise ConfigError(f"out: {folder} holds files, but no run: take another folder with --out")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out: {folder} is a file: take another folder with --out")
    if not fresh and (folder / CONFIG).is_file():
        _same(folder, config)
    return folder


def begin(folder: Path, config: Config, fresh: bool) -> None:
    """Make the folder of a run; a fresh one keeps nothing of an earlier run."""
    from dlguide.train._files import write_text

    for name in (RESULT, MODEL, CHECKPOINTS, EVENTS, HISTORY, CONFIG) if fresh else ():
        _delete(folder / name)
    write_text(folder / CONFIG, to_toml(config))


def _delete(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path) if path.name in (CHECKPOINTS, EVENTS) else path.unlink()
    except OSError as error:  # with a checkpoint left, the run would go on from there
        raise OSError(f"{path} cannot be deleted, {error.strerror or error}: delete it yourself") from error


def _same(folder: Path, config: Config) -> None:
    there, here = asdict(replace(config_of(folder), out=None)), asdict(replace(config, out=None))
    other = [f"{name} {there[name]!r} there, {here[name]!r} here" for name in here if there[name] != here[name]]
    if other:
        raise ConfigError(
            f"{folder} holds a run with other settings ({'; '.join(other)}): take another folder with --out,"
            " or begin anew with --fresh"
        )


def find(run: Path) -> Path:
    """Check that a folder holds a run."""
    if (run / CONFIG).is_file():
        return run
    others = [path.parent for path in (*run.parent.glob(f"*/{CONFIG}"), *Path("runs").glob(f"*/{CONFIG}"))]
    hint = near(str(run), map(str, others)) or near(run.name, [path.name for path in others])
    raise FileNotFoundError(f"{run} holds no run (no {CONFIG} in it){hint}")


def config_of(run: Path) -> Config:
    """The configuration of a run."""
    return Config(**read_config(find(run) / CONFIG))


def result_of(run: Path) -> dict[str, Any] | None:
    """What came out of a run, None if it is not finished, or its model is gone."""
    path = run / RESULT
    if not path.is_file() or not (run / MODEL).is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise ValueError(f"{path} is damaged: delete it, and `dlguide train` makes it again") from None
    return result


class Trained(NamedTuple):
    """A model that came out of a run, and what one must know to use it."""

    model: nn.Module
    config: Config
    classes: tuple[str, ...]
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    vocabulary: Any
    shape: tuple[int, ...]  # of one picture, of its rows, or the longest text
    channels: int  # of a picture
    layout: str


def save_model(run: Path, weights: Mapping[str, Tensor], splits: Splits, layout: str) -> None:
    """Write what `load_model` reads."""
    from dlguide.train import checkpoint

    checkpoint.write(run / MODEL, {
        "format": FORMAT,
        "weights": dict(weights),
        "classes": list(splits.classes), "mean": splits.mean, "std": splits.std,
        "vocabulary": None if splits.vocabulary is None else splits.vocabulary.state_dict(),
        "shape": _shape(splits), "channels": len(splits.mean) if isinstance(splits.mean, tuple) else 1,
        "layout": layout,
    })  # fmt: skip


def load_model(run: Path) -> Trained:
    """Build the model of a run again, with its weights, in `eval` mode, on the CPU."""
    from dlguide.data import Vocabulary
    from dlguide.train import checkpoint

    config = config_of(run)
    if not (run / MODEL).is_file():
        raise FileNotFoundError(f"{run} has no {MODEL} yet: the same `dlguide train` finishes the run first")
    try:
        saved = checkpoint.read(run / MODEL)
    except ValueError as error:
        raise ValueError(
            f"{run / MODEL} is damaged: delete it, and the same `dlguide train` writes it again"
        ) from error
    if saved.get("format") != FORMAT:
        raise ValueError(f"{run / MODEL} has the format {saved.get('format')}, expected {FORMAT}: train again")
    vocabulary = None if saved["vocabulary"] is None else Vocabulary.from_state(saved["vocabulary"])
    mean, std = (tuple(v) if isinstance(v, list | tuple) else v for v in (saved["mean"], saved["std"]))
    classes, shape = tuple(saved["classes"]), tuple(saved["shape"])
    model = _build(config, _like(shape, classes, vocabulary))
    model.load_state_dict(saved["weights"])
    return Trained(model.eval(), config, classes, mean, std, vocabulary, shape, saved["channels"], saved["layout"])


def _shape(splits: Splits) -> list[int]:
    parts = (splits.train, splits.validation, splits.test)
    if splits.vocabulary is not None:
        return [max(part.tensors[0].shape[1] for part in parts)]
    return list(splits.train.tensors[0].shape[1:])


def _like(shape: tuple[int, ...], classes: tuple[str, ...], vocabulary: Any) -> Splits:
    """Data of the right shapes, from which the model can be built without reading the real ones."""
    import torch
    from torch.utils.data import TensorDataset

    from dlguide.data import Splits

    y = torch.zeros(2, dtype=torch.int64)
    x = torch.zeros(2, *shape, dtype=torch.float32 if vocabulary is None else torch.int64)
    part = TensorDataset(x, y) if vocabulary is None else TensorDataset(x, y + 1, y)
    return Splits(part, part, part, classes, vocabulary=vocabulary)


def _build(config: Config, splits: Splits) -> nn.Module:
    """Build a model whose weights will come from the run, so that none need to be fetched for `pretrained`."""
    from dlguide.models import build

    if config.model != "pretrained":
        return build(config.model, splits, **config.options)
    import torch
    import torchvision

    with tempfile.TemporaryDirectory() as place:
        weights = Path(place, "weights.pt")
        name = config.options.get("network", "resnet18")
        torch.save(torchvision.models.get_model(name, weights=None).state_dict(), weights)
        return build(config.model, splits, **{**config.options, "weights": weights})
