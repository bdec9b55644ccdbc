"""The commands of the page, run one after the other in a folder of their own."""

# --8<-- [start:shell]
import contextlib
import io
import json
import shlex
import tempfile

from dlguide.cli import main

folder = tempfile.TemporaryDirectory()


def shell(line):
    """Run a command as a shell would; return what it prints and its exit code."""
    printed = io.StringIO()
    both = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    with contextlib.chdir(folder.name), both[0], both[1]:
        try:
            main(shlex.split(line)[1:])
        except SystemExit as end:
            return printed.getvalue().strip(), end.code


print(shell("dlguide --version"))
# --8<-- [end:shell]

# --8<-- [start:train]
from pathlib import Path

output, code = shell("dlguide train mlp --data digits")
print("exit code:", code)
run = Path(folder.name, "runs", "mlp-digits")
print(sorted(path.name for path in run.iterdir()))
result = json.loads((run / "result.json").read_text())
print("epochs:", result["epochs"], " parameters:", result["parameters"])
print("test accuracy above 0.95:", result["test_accuracy"] > 0.95)
# --8<-- [end:train]

# --8<-- [start:settings]
import tomllib

output, code = shell("dlguide train mlp --data digits --lr 0.01 --print-config")
config = tomllib.loads(output)
print("default:", config["optimizer"])
print("recipe: ", config["schedule"])
print("flag:   ", config["lr"])
# --8<-- [end:settings]

# --8<-- [start:mixed]
print(shell("dlguide train mlp --data digits --lr 0.01"))
# --8<-- [end:mixed]

# --8<-- [start:resume]
import signal
from unittest.mock import patch

import torch
from dlguide.train import HistoryFile

write = HistoryFile.on_epoch


def stop(self, trainer):
    write(self, trainer)
    if trainer.epoch == 3:
        signal.raise_signal(signal.SIGTERM)  # a second before the cluster turns it off


with patch.object(HistoryFile, "on_epoch", stop):
    output, code = shell("dlguide train mlp --data digits --out runs/second")
print(output.splitlines()[-1])
print("exit code:", code)

output, code = shell("dlguide train mlp --data digits --out runs/second")
runs = Path(folder.name, "runs")
first, second = (
    torch.load(runs / name / "model.pt", weights_only=True)["weights"]
    for name in ("mlp-digits", "second")
)
print("the same bits:", all(first[name].equal(second[name]) for name in first))
# --8<-- [end:resume]

# --8<-- [start:evaluate]
output, code = shell("dlguide evaluate runs/mlp-digits --json")
facts = json.loads(output)
eight = facts["classes"]["8"]
print(facts["examples"], "examples; of the digit 8:", eight["examples"])
print("recall of 8 above 0.8:", eight["recall"] > 0.8)
# --8<-- [end:evaluate]

# --8<-- [start:predict]
from PIL import Image
from sklearn.datasets import load_digits

pixels = load_digits().images[7] * 255 / 16  # a seven, ink from 0 to 255
seven = Image.fromarray(pixels.astype("uint8"))
seven.save(Path(folder.name, "seven.png"))
seven.point(lambda ink: 255 - ink).save(Path(folder.name, "paper.png"))


def answer(line):
    """The class with the highest probability."""
    facts = json.loads(shell(line)[0])
    return next(iter(facts[0]["classes"]))


print(answer("dlguide predict runs/mlp-digits seven.png --json"))
print(answer("dlguide predict runs/mlp-digits paper.png --invert --json"))
print(shell("dlguide plot runs/mlp-digits -o curves.png"))
# --8<-- [end:predict]

# --8<-- [start:graph]
print(shell("dlguide graph linear")[0])
# --8<-- [end:graph]

# --8<-- [start:export]
output, code = shell("dlguide export runs/mlp-digits -o model.pt2 --json")
facts = json.loads(output)
print("batches of", facts["batch_sizes"])
print("agrees with PyTorch:", facts["largest_difference"] < 1e-5)
program = torch.export.load(Path(folder.name, "model.pt2")).module()
x = torch.tensor(load_digits().images[7] / 16, dtype=torch.float32)
print(program(x.view(1, 1, 8, 8)).argmax(1))
# --8<-- [end:export]

# --8<-- [start:data]
print(shell("dlguide data check digits")[0])
# --8<-- [end:data]

# --8<-- [start:wrong]
for line in (
    "dlguide train cnnn",
    "dlguide train cnn --epoch 3",
    "dlguide train cnn --lr -1",
    "dlguide evaluate runs/mlp-digit",
    "dlguide predict runs/mlp-digits eight.png",
):
    print(*shell(line))
# --8<-- [end:wrong]
