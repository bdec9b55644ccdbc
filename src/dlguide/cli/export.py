"""`dlguide export`: the model of a run as a file that other programs run, compared with the model itself."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlguide.cli import folder, options
from dlguide.cli.plot import check_ending

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dlguide.cli.folder import Trained

BATCHES = (1, 2, 5, 17)


@click.command("export", short_help="Write the model of a run for other programs.")
@options.run_argument
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
              help="The file, .onnx or .pt2 (torch.export); RUN/model.onnx if not given.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), default=1e-4, show_default=True,
              help="Largest difference of logits that is accepted.")  # fmt: skip
@options.json_option
def command(run: Path, output: Path | None, tolerance: float, as_json: bool) -> None:
    r"""Write the model of RUN as ONNX or as a program of torch.export, and compare it with the model in PyTorch.

    The file takes pixels in [0, 1], subtracts the mean and divides by the deviation itself, and gives logits; the
    number of examples in a batch is free. For texts it takes ids and lengths. The comparison runs it (ONNX in ONNX
    Runtime) on batches of several sizes, and the file is kept only if all logits agree.

    \b
    Examples:
      dlguide export runs/cnn-digits
      dlguide export runs/cnn-digits -o cnn.pt2
    """
    path = output or folder.find(run) / "model.onnx"
    kind = check_ending(path, ("onnx", "pt2"))
    trained = folder.load_model(run)
    model = _with_standardization(trained)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.{kind}")
    try:
        with _quiet():
            difference = (_onnx if kind == "onnx" else _pt2)(model, trained, part)
        if not difference <= tolerance:
            raise ValueError(f"the file's logits differ from PyTorch's by {difference:.1e}, more than {tolerance:.1e}: "
                             "nothing was written")  # fmt: skip
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    facts = {"file": str(path), "bytes": path.stat().st_size, "largest_difference": difference,
             "batch_sizes": list(BATCHES), "classes": list(trained.classes)}  # fmt: skip
    sizes = ", ".join(map(str, BATCHES))
    line = f"{path}: {facts['bytes']:,} bytes, largest difference of logits {difference:.1e} on batches of {sizes}"
    options.print_facts(facts, as_json, line)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what exporters say about themselves: what counts is the comparison."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _with_standardization(trained: Trained) -> nn.Module:
    """The model with the standardization before it: forgetting it is the usual mistake of who uses the file."""
    import torch
    from torch import nn

    if trained.vocabulary is not None:
        return trained.model
    ending = (1, 1) if trained.layout == "pictures" else ()
    mean, std = (torch.tensor(v).view(-1, *ending) for v in (trained.mean, trained.std))
    if trained.layout == "rows":  # a row holds the pixels of one channel after those of another
        mean, std = (v.repeat_interleave(trained.shape[1] // trained.channels) for v in (mean, std))

    class Standardized(nn.Module):
        mean: Tensor
        std: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.model = trained.model
            self.register_buffer("mean", mean)
            self.register_buffer("std", std)

        def forward(self, x: Tensor) -> Tensor:
            return self.model((x - self.mean) / self.std)

    return Standardized().eval()


def _inputs(trained: Trained, n: int) -> tuple[Tensor, ...]:
    """A batch of the right shape."""
    import torch

    generator = torch.Generator().manual_seed(n)
    if trained.vocabulary is None:
        return (torch.rand(n, *trained.shape, generator=generator),)
    longest = trained.shape[0]
    lengths = torch.randint(1, longest + 1, (n,), generator=generator)
    lengths[0] = longest
    ids = torch.randint(2, len(trained.vocabulary), (n, longest), generator=generator)
    return ids * (torch.arange(longest) < lengths.unsqueeze(1)), lengths


def _shapes(trained: Trained) -> tuple[Any, ...]:
    """The number of examples is free; texts are padded to the longest one."""
    import torch

    batch = torch.export.Dim("batch", min=1, max=65_536)
    return ({0: batch},) * (1 if trained.vocabulary is None else 2)


def _pt2(model: nn.Module, trained: Trained, path: Path) -> float:
    import torch

    program = torch.export.export(model, _inputs(trained, 3), dynamic_shapes=_shapes(trained))
    torch.export.save(program, path)
    again = torch.export.load(path).module()
    return max(_difference(model, again(*x), x) for x in (_inputs(trained, n) for n in BATCHES))


def _onnx(model: nn.Module, trained: Trained, path: Path) -> float:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch.onnx.export needs it
    except ImportError as error:
        raise ImportError(f"{error.name} is not installed: python -m pip install 'dlguide[export]'") from error
    import torch

    names = ["x"] if trained.vocabulary is None else ["ids", "lengths"]
    program = torch.onnx.export(
        model, _inputs(trained, 3), dynamo=True, dynamic_shapes=_shapes(trained), input_names=names,
        output_names=["logits"], verbose=False, optimize=True,
    )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {"classes": "\n".join(trained.classes)})
    onnx.save_model(proto, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = []
    for n in BATCHES:
        x = _inputs(trained, n)
        feed = {name: t.numpy() for name, t in zip(names, x, strict=True)}
        differences.append(_difference(model, torch.from_numpy(session.run(None, feed)[0]), x))
    return max(differences)


def _difference(model: nn.Module, logits: Tensor, inputs: tuple[Tensor, ...]) -> float:
    import torch

    with torch.inference_mode():
        return (model(*inputs) - logits.detach()).abs().max().item()
