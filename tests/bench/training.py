"""Measure training beside what a reader would otherwise copy: the same data and machine, in one run, in turn.

`tests/bench/training.py mnist` (or mlp, cifar, names, imdb, tricks; several, or all) writes docs/results/NAME.json,
which the page about/benchmarks shows. The scripts in usual/ are written in the style of the official examples; those in
fast/ use this package. Each run is a process of its own, so `program` is what a user waits: import, reading, training,
test. `seconds` is the training alone. The data sets are read from the folder DLGUIDE_DATA. `--quick` runs everything
once on few examples and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import torchvision

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "docs/results"
QUICK = 2000  # examples


@dataclass(frozen=True)
class Program:
    """A row of the table: a script with its arguments, and how many seeds it runs with."""

    name: str
    command: tuple[str, ...]
    runs: int


BENCHMARKS: dict[str, tuple[str, tuple[Program, ...]]] = {
    "mnist": (
        "MNIST: accuracy on the 10,000 test pictures, seconds of training and of the whole program",
        (Program("usual", ("usual/mnist.py",), 1), Program("fast", ("fast/mnist.py",), 10)),
    ),
    "mlp": (
        "MNIST, one epoch of an MLP 784-128-10: pictures in a second",
        (
            Program("loader", ("usual/mlp.py",), 3),
            Program("workers", ("usual/mlp.py", "--workers", "2"), 3),
            Program("tensors", ("fast/mlp.py", "--batch", "64"), 5),
            Program("large", ("fast/mlp.py", "--batch", "1024"), 5),
        ),
    ),
    "cifar": (
        "CIFAR-10: accuracy on the 10,000 test pictures, seconds of training and of the whole program",
        (
            Program("usual", ("usual/cifar.py",), 1),
            Program("fast", ("fast/cifar.py", "--epochs", "2"), 3),
        ),
    ),
    "names": (
        "Surnames of 18 languages: accuracy on a fifth held out, seconds of training and of the whole program",
        (Program("usual", ("usual/names.py",), 1), Program("fast", ("fast/names.py",), 3)),
    ),
    "imdb": (
        "IMDB: accuracy on the 25,000 test reviews, seconds of training and of the whole program",
        (
            Program("usual", ("usual/imdb.py",), 1),
            Program("lstm", ("fast/imdb.py", "--model", "lstm"), 3),
            Program("transformer", ("fast/imdb.py", "--model", "transformer"), 1),
            Program("bag", ("fast/imdb.py", "--model", "bag"), 5),
            Program("linear", ("fast/imdb_linear.py",), 1),
        ),
    ),
}


def once(program: Program, seed: int, quick: bool) -> dict[str, float]:
    """Run a program in a process of its own; its last line says what came out."""
    command = [sys.executable, str(HERE / program.command[0]), *program.command[1:], "--seed", str(seed)]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--limit", str(QUICK)] if quick else command, capture_output=True, text=True, check=False
    )
    whole = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(program.command)} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found | {"program": whole}


def in_turn(programs: Sequence[Program]) -> list[tuple[Program, int]]:
    """Spread the runs of each program evenly over the whole time, so that a slow minute hits all of them."""
    places = [((seed + 0.5) / p.runs, i, p, seed) for i, p in enumerate(programs) for seed in range(p.runs)]
    return [(program, seed) for _, _, program, seed in sorted(places, key=lambda place: place[:2])]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum, to four digits."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def machine() -> dict[str, Any]:
    """Say what the numbers were measured on."""
    return {
        "date": date.today().isoformat(), "device": "CPU", "machine": platform.machine(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "matrix unit": bool(torch.cpu.get_capabilities().get("amx_bf16")),
        "python": platform.python_version(), "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0], "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }  # fmt: skip


def measure(name: str, quick: bool) -> dict[str, Any]:
    claim, programs = BENCHMARKS[name]
    runs: dict[str, list[dict[str, float]]] = {program.name: [] for program in programs}
    for program, seed in in_turn([Program(p.name, p.command, 1) for p in programs] if quick else programs):
        runs[program.name].append(once(program, seed, quick))
        print(name, program.name, seed, runs[program.name][-1], flush=True)
    rows = [
        {"name": program, "runs": len(found), "seeds": list(range(len(found)))}
        | {key: spread([run[key] for run in found]) for key in found[0]}
        for program, found in runs.items()
    ]
    return {"claim": claim, **machine(), "rows": rows}


def write(name: str, result: dict[str, Any]) -> None:
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrote docs/results/{path.name}")


def main() -> None:
    names = [*BENCHMARKS, "tricks"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=[*names, "all"], metavar="NAME", help=f"{', '.join(names)}, or all")
    parser.add_argument("--quick", action="store_true", help="few examples, one run each, nothing is written")
    options = parser.parse_args()
    for name in names if "all" in options.names else options.names:
        if name == "tricks":
            from tricks import measured

            result = measured(options.quick) | machine()
        else:
            result = measure(name, options.quick)
        if not options.quick:
            write(name, result)


if __name__ == "__main__":
    main()
