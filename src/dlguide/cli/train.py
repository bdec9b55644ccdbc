"""`dlguide train`: a run in a folder, from which the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dlguide.cli import options
from dlguide.cli.group import Failure
from dlguide.config import Config, read_config, to_toml

_HELP = """Train MODEL and keep everything in the folder of the run.

Settings come from defaults, the recipe for this model and these data, --config, and flags; the last one counts. The
folder holds config.toml, history.jsonl, checkpoints, and at the end model.pt and result.json. The same command again
goes on from the last checkpoint, also after Ctrl-C or a power cut, and ends with the same weights.

\b
Examples:
  dlguide train cnn --data digits
  dlguide train lstm --data imdb --option hidden_size=128 --clip 1
  dlguide train resnet --data pictures/ --size 64 --augment flip,shift=4
  dlguide train --config mine.toml --lr 0.01
  torchrun --nproc-per-node 2 -m dlguide train cnn --data mnist

A setting that has a value is taken away by `none`, such as --clip none.
"""


@click.command("train", cls=options.GroupedCommand, help=_HELP, short_help="Train a model, or go on with a run.")
@options.model_argument(required=False)
@click.option("--config", "file", type=click.Path(path_type=Path, dir_okay=False),
              help="Take settings from this file in TOML.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Begin anew: what an earlier run left in the folder is deleted.")
@click.option("--print-config", is_flag=True, help="Print the settings as a file in TOML and end.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@options.json_option
@options.setting_options()
def command(
    model: str | None, file: Path | None, fresh: bool, print_config: bool, quiet: bool, as_json: bool, **flags: Any
) -> None:
    """Train a model."""
    layers = [read_config(file) if file else {}, {"model": model} if model else {}, options.given(flags)]
    if model is None and "model" not in layers[0]:
        raise click.UsageError("expected a MODEL, or a --config file that names one", click.get_current_context())
    config = options.configure(*layers)
    if print_config:
        click.echo(to_toml(config), nl=False)
        return
    _train(config, fresh, quiet, as_json)


def _train(config: Config, fresh: bool, quiet: bool, as_json: bool) -> None:
    from dlguide.cli.run import Run
    from dlguide.train import Interrupted

    with Run(config, fresh) as run:
        try:
            result = run.train(progress=not quiet)
        except Interrupted as stop:
            click.echo(err=True)
            raise Failure(
                f"stopped after step {run.trainer.step} of epoch {stop.epoch} and saved in {run.folder};"
                " the same command goes on from there",
                143 if stop.signal_name == "SIGTERM" else 130,
            ) from stop
        if run.writes:
            options.print_facts(result, as_json, _summary(result, run.folder, run.was_finished))


def _summary(result: dict[str, Any], folder: Path, was_finished: bool) -> str:
    line = (
        f"test accuracy {result['test_accuracy']:.4f}, test loss {result['test_loss']:.4f}"
        f" after {result['epochs']} epochs and {result['steps']} steps"
    )
    if was_finished:
        return f"{folder} is finished: {line}; --fresh begins anew"
    return f"{line}\n{folder}"
