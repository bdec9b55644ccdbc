"""`dlguide plot`: the curves of a run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click

from dlguide.cli import folder, options
from dlguide.config import near

FORMATS = ("svg", "png", "pdf")


@click.command("plot", short_help="Draw the curves of a run.")
@options.run_argument
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
              help="The picture, .svg, .png or .pdf; RUN/history.svg if not given.")  # fmt: skip
@options.json_option
def command(run: Path, output: Path | None, as_json: bool) -> None:
    r"""Draw loss and accuracy of RUN against the epoch, also while it is still going on.

    \b
    Examples:
      dlguide plot runs/cnn-digits
      dlguide plot runs/cnn-digits -o curves.png
    """
    path = output or folder.find(run) / "history.svg"
    kind = check_ending(path, FORMATS)
    from dlguide.train import read_history

    history = read_history(folder.find(run) / folder.HISTORY)
    if not history.train_loss:
        raise ValueError(f"{run} has no finished epoch yet: there is nothing to draw")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_drawn(history, kind))
    facts = {"file": str(path), "epochs": len(history.train_loss), "best_epoch": history.best_epoch}
    options.print_facts(facts, as_json, str(path))


def check_ending(path: Path, known: tuple[str, ...]) -> str:
    """The kind of file that a name asks for."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in known:
        names = ", ".join(f".{name}" for name in known)
        hint = near(kind, known)
        raise click.UsageError(f"--output: expected a file that ends in {names}, got {str(path)!r}{hint}")
    return kind


def _drawn(history: Any, kind: str) -> bytes:
    import matplotlib

    with matplotlib.rc_context({"backend": "agg", "svg.hashsalt": "dlguide", "svg.fonttype": "none"}):
        import matplotlib.pyplot as plt

        figure, picture = history.plot(), io.BytesIO()
        metadata = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}[kind]
        figure.savefig(picture, format=kind, dpi=150, metadata=metadata)
        plt.close(figure)
    return picture.getvalue()
