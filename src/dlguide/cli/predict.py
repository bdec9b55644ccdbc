"""`dlguide predict`: the class of a picture or of a text, and how sure the model is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlguide.cli import folder, options

if TYPE_CHECKING:
    from torch import Tensor

    from dlguide.cli.folder import Trained


@click.command("predict", short_help="Classify pictures or texts.")
@options.run_argument
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, help="A text to classify; may be repeated.")
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Show so many classes for each.")
@click.option("--invert", is_flag=True, help="Turn dark ink on light paper into light ink on dark, as in MNIST.")
@options.json_option
def command(
    run: Path, files: tuple[Path, ...], texts: tuple[str, ...], top: int, invert: bool, as_json: bool
) -> None:
    r"""Classify each of FILES with the model of RUN: the name, the class, and its probability.

    A picture is turned grey if the model knows only grey ones, scaled and cropped to the size that it was trained on,
    and standardized with the training pixels' mean and deviation. A text file is one text; the file - is the standard
    input, one text in a line.

    \b
    Examples:
      dlguide predict runs/cnn-digits seven.png --top 3
      dlguide predict runs/bag-imdb review.txt --text "a good film"
    """
    if not files and not texts:
        raise click.UsageError("expected FILES or --text, got neither", click.get_current_context())
    trained = folder.load_model(run)
    if trained.vocabulary is None:
        if texts:
            raise click.UsageError("--text: the model of this run takes pictures", click.get_current_context())
        names: list[str] = [str(file) for file in files]
        inputs: tuple[Tensor, ...] = (_pictures(files, trained, invert),)
    else:
        if invert:
            raise click.UsageError("--invert: the model of this run takes texts", click.get_current_context())
        found = [*_texts(files), *((text, text) for text in texts)]
        names, inputs = [name for name, _ in found], _encoded([text for _, text in found], trained)
    facts = _answers(trained, names, inputs, min(top, len(trained.classes)))
    rows = [[f["file"], *(f"{name} {p:.4f}" for name, p in f["classes"].items())] for f in facts]
    options.print_facts(facts, as_json, options.table(rows))  # type: ignore[arg-type]


def _answers(trained: Trained, names: Sequence[str], inputs: tuple[Tensor, ...], top: int) -> list[dict[str, Any]]:
    import torch

    with torch.inference_mode():
        batches = zip(*(x.split(256) for x in inputs), strict=True)
        probabilities = torch.cat([trained.model(*batch).softmax(1) for batch in batches])
    best, classes = probabilities.topk(top)
    return [
        {"file": name, "classes": {trained.classes[k]: p for k, p in zip(ks, ps, strict=True)}}
        for name, ks, ps in zip(names, classes.tolist(), best.tolist(), strict=True)
    ]


def _pictures(files: Sequence[Path], trained: Trained, invert: bool) -> Tensor:
    """Read pictures as the model was trained on them."""
    import torch

    height, width = trained.shape[-2:]
    if trained.layout == "rows":
        width //= trained.channels  # [H, C * W]
    x = torch.stack([_picture(file, trained.channels, (height, width)) for file in files])  # [N, C, H, W]
    x = 1 - x if invert else x
    x = (x - torch.tensor(trained.mean).view(-1, 1, 1)) / torch.tensor(trained.std).view(-1, 1, 1)
    return x.transpose(1, 2).flatten(2) if trained.layout == "rows" else x  # as in dlguide.data


def _picture(file: Path, channels: int, size: tuple[int, int]) -> Tensor:
    import torch

    from dlguide.data.images import open_picture

    _check_file(file, "a picture")
    pixels = torch.from_numpy(open_picture(file, size, "L" if channels == 1 else "RGB")).float() / 255
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)  # [C, H, W]


def _check_file(file: Path, what: str) -> None:
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder: expected {what}")
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: expected {what}")


def _texts(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Read texts with their names."""
    found = []
    for file in files:
        if str(file) == "-":
            lines = _decoded(sys.stdin.buffer.read(), "the standard input").split("\n")
            found += [(f"line {i}", line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
        else:
            _check_file(file, "a text file, or --text for the text itself")
            found.append((str(file), _decoded(file.read_bytes(), str(file))))
    if files and not found:
        raise ValueError("expected at least one text, got an empty standard input")
    return found


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")  # a mark at the beginning is left out, as in training
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not a text in UTF-8: the model of this run takes texts") from None


def _encoded(texts: Sequence[str], trained: Trained) -> tuple[Tensor, Tensor]:
    from dlguide.data import pad_batch

    longest = min(trained.config.max_length, trained.shape[0])
    ids, lengths, _ = pad_batch([(trained.vocabulary.encode(text)[:longest], 0) for text in texts])
    return ids, lengths
