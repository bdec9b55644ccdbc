"""`dlguide evaluate`: how good the model of a run is, in all and for each class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlguide.cli import folder, options

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import TensorDataset


@click.command("evaluate", short_help="Measure the model of a run.")
@options.run_argument
@click.option("--part", type=click.Choice(["test", "validation", "train"]), default="test", show_default=True,
              help="Which part of the data; the test part is for the end.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Where to compute.")
@options.json_option
def command(run: Path, part: str, device: str, as_json: bool) -> None:
    r"""Measure the model of RUN: accuracy, loss, and for each class precision, recall and F1.

    Precision is the share of the answers with this class that are right, recall the share of its examples that are
    found, and F1 their harmonic mean. --json adds the confusion matrix, a row for each true class.

    \b
    Examples:
      dlguide evaluate runs/cnn-digits
      dlguide evaluate runs/cnn-digits --part validation --json
    """
    from dlguide.cli.run import read_data
    from dlguide.train import choose_device

    trained = folder.load_model(run)
    model = trained.model.to(choose_device(device))
    _, splits = read_data(trained.config)
    if (splits.classes, splits.vocabulary) != (trained.classes, trained.vocabulary):
        what = "words" if splits.classes == trained.classes else "classes"
        raise ValueError(f"{trained.config.data} holds other {what} than when {run} was trained: train again")
    facts = {"run": str(run), "part": part, **_measure(model, getattr(splits, part), trained.classes)}
    rows = [["class", "precision", "recall", "F1", "examples"]]
    rows += [[name, *(f"{c[key]:.4f}" for key in ("precision", "recall", "f1")), str(c["examples"])]
             for name, c in facts["classes"].items()]  # fmt: skip
    head = f"{part}: accuracy {facts['accuracy']:.4f}, loss {facts['loss']:.4f} on {facts['examples']:,} examples"
    options.print_facts(facts, as_json, f"{head}\n\n{options.table(rows)}")


def _measure(model: Any, part: TensorDataset, classes: tuple[str, ...]) -> dict[str, Any]:
    from dlguide.train import evaluate, predict

    *inputs, y = part.tensors
    scores = evaluate(model, part)
    matrix = _confusion(predict(model, *inputs), y, len(classes))
    hits = matrix.diagonal().tolist()
    found, there = matrix.sum(0).tolist(), matrix.sum(1).tolist()
    return {
        "accuracy": scores.accuracy, "loss": scores.loss, "examples": len(y),
        "classes": {name: {
            "precision": hits[k] / found[k] if found[k] else 0.0,
            "recall": hits[k] / there[k] if there[k] else 0.0,
            "f1": 2 * hits[k] / (found[k] + there[k]) if found[k] + there[k] else 0.0,
            "examples": there[k],
        } for k, name in enumerate(classes)},
        "confusion": matrix.tolist(),
    }  # fmt: skip


def _confusion(answers: Tensor, y: Tensor, classes: int) -> Tensor:
    """How often each true class (row) got each answer (column)."""
    return (y * classes + answers).bincount(minlength=classes**2).view(classes, classes)
