"""`dlguide graph`: the autograd graph of one step of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dlguide.cli import options
from dlguide.cli.plot import check_ending


@click.command("graph", short_help="Draw the autograd graph of a model.")
@options.model_argument()
@click.option("--format", "kind", type=click.Choice(["text", "mermaid", "svg"]), default="text", show_default=True,
              help="A list, a Mermaid flowchart, or a drawing.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@click.option("--examples", type=click.IntRange(min=1), default=2, show_default=True, help="Examples in the batch.")
@options.setting_options("data", "options", "layout", "size", "seed")
@options.json_option
def command(model: str, kind: str, output: Path | None, examples: int, as_json: bool, **flags: Any) -> None:
    r"""Show what autograd records when MODEL classifies a batch and the loss is computed.

    \b
    Examples:
      dlguide graph mlp
      dlguide graph cnn --data digits --format svg -o cnn.svg
    """
    config = options.configure({"model": model}, options.given(flags))
    if output is not None and kind == "svg":
        check_ending(output, ("svg",))
    import torch
    import torch.nn.functional as F

    from dlguide.cli.run import read_data, wrong_use
    from dlguide.graph import to_mermaid, to_svg, to_text, trace
    from dlguide.models import build
    from dlguide.train._files import write_text

    splits = read_data(config)[1]
    torch.manual_seed(config.seed)
    with wrong_use():
        network = build(config.model, splits, **config.options)
    *inputs, y = (t[:examples] for t in splits.train.tensors)
    graph = trace(F.cross_entropy(network(*inputs), y), network)
    text = {"text": to_text, "mermaid": to_mermaid}[kind](graph) if kind != "svg" else to_svg(graph, f"{model}, loss")
    facts = {
        "model": model, "data": config.data, "operations": len(graph.operations), "leaves": len(graph.leaves),
        "parameters": sum(p.numel() for p in network.parameters()), "kept_bytes": graph.kept_bytes,
    }  # fmt: skip
    if output is not None:
        write_text(output, text + "\n")
        options.print_facts({**facts, "file": str(output)}, as_json, str(output))
    else:
        options.print_facts({**facts, kind: text}, as_json, text)
