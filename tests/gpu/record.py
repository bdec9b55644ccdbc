"""Run the GPU tests and write down what was seen: docs/results/gpu.json.

    python tests/gpu/record.py

Needs torch, torchvision, numpy, scikit-learn and pytest, nothing else. Without a CUDA device, or when a test fails,
nothing is written.
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).resolve().parent
RESULT = HERE.parents[1] / "docs" / "results" / "gpu.json"


class Recorder:
    """A plugin of pytest that keeps the outcome, the seconds and the recorded properties of each test.

    Of a set-up it keeps only that it failed or skipped.
    """

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.tests.append({"name": report.nodeid, "outcome": report.outcome, "seconds": report.duration,
                               **dict(report.user_properties)})  # fmt: skip


def describe() -> dict[str, Any]:
    """The machine, as far as a number may depend on it."""
    gpu = torch.cuda.get_device_properties(0)
    return {
        "device": f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB", "machine": platform.machine(),
        "python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }  # fmt: skip


def summary(tests: Sequence[dict[str, Any]], seconds: float, machine: dict[str, Any]) -> dict[str, Any]:
    """What is written: one row for each file, and the accuracies that were reached."""
    by_file: dict[str, list[dict[str, Any]]] = {}
    for test in tests:
        by_file.setdefault(test["name"].split("::")[0].rsplit("/", 1)[-1], []).append(test)
    return {
        "claim": "the tests of tests/gpu on a GPU: how many passed, how long they took, which accuracy was reached",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **machine,
        "seed": 0,
        "runs": 1,
        "passed": sum(test["outcome"] == "passed" for test in tests),
        "seconds": round(seconds, 1),
        "rows": [
            {"file": file, "passed": sum(t["outcome"] == "passed" for t in rows),
             "seconds": round(sum(t["seconds"] for t in rows), 1)}
            for file, rows in sorted(by_file.items())
        ],
        "accuracies": {t["name"].split("::")[-1]: round(t["accuracy"], 4) for t in tests if "accuracy" in t},
    }  # fmt: skip


def write(result: dict[str, Any], path: Path) -> None:
    """Write the whole file or nothing."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    part.replace(path)


def main(folder: Path = HERE, path: Path = RESULT) -> int:
    if not torch.cuda.is_available():
        print("there is no CUDA device here, so nothing was recorded: run this on a machine with one", file=sys.stderr)
        return 2
    recorder, start = Recorder(), time.perf_counter()
    code = pytest.main(["-c", str(HERE / "pytest.ini"), str(folder), "-q"], plugins=[recorder])
    unfinished = [test["name"] for test in recorder.tests if test["outcome"] != "passed"]
    if code or unfinished:
        print(f"nothing was recorded, because {len(unfinished)} tests did not pass: mend them first", file=sys.stderr)
        return 1
    write(summary(recorder.tests, time.perf_counter() - start, describe()), path)
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
