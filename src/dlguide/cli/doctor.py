"""`dlguide doctor`: what is installed and what this machine has, and what does not fit together."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from dlguide import __version__
from dlguide.cli import options
from dlguide.cli.group import Failure

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "tqdm", "click", "torchmetrics", "pillow")
EXTRAS = ("onnx", "onnxscript", "onnxruntime", "tensorboard")

# Each is tried in a process of its own: a library that does not fit may end the process that loads it.
_TRY_TORCHVISION = """
import torch, torchvision
boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]])
assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0]
"""
_TRY_TORCH = """
import json, torch
from dlguide.data import data_folder
cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({
    "cuda": cuda, "cuda_build": torch.version.cuda, "mps": torch.backends.mps.is_available(),
    "threads": torch.get_num_threads(), "data": str(data_folder()),
}))
"""


@click.command("doctor", short_help="Look at versions, devices, folders and what does not fit.")
@options.json_option
def command(as_json: bool) -> None:
    """Show versions, devices, threads and the data folder, and say what is wrong and how to mend it.

    The exit code is 1 if something is wrong.
    """
    facts, problems = _look()
    options.print_facts({**facts, "problems": problems}, as_json, _text(facts, problems))
    if problems:
        raise Failure("" if as_json else f"{len(problems)} problem{'s' * (len(problems) > 1)} found")


def _look() -> tuple[dict[str, Any], list[str]]:
    versions = {name: _version(name) for name in (*PACKAGES, *EXTRAS)}
    missing = [name for name in PACKAGES if versions[name] is None]
    problems = [f"{name} is not installed: python -m pip install {name}" for name in missing]
    found: dict[str, Any] = {}
    folder: Path | None = None
    if versions["torch"]:
        end, out, error = _try(_TRY_TORCH)
        if end:
            problems.append(f"torch cannot be imported ({error}): python -m pip install --force-reinstall torch")
        else:
            found = json.loads(out.splitlines()[-1])
            folder = Path(found.pop("data"))
    if versions["torch"] and versions["torchvision"]:
        end, _, error = _try(_TRY_TORCHVISION)
        if end:
            problems.append(_torchvision(error, versions))
    if folder is not None and folder.exists() and not folder.is_dir():
        problems.append(f"DLGUIDE_DATA is {folder}, which is a file: set it to a folder")
    data = {"folder": str(folder) if folder else None, "exists": folder is not None and folder.is_dir()}
    facts = {
        "dlguide": __version__, "python": platform.python_version(), "executable": sys.executable,
        "system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count(), "packages": versions,
        "torch": found, "data": data,
    }  # fmt: skip
    return facts, problems


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _try(code: str) -> tuple[int, str, str]:
    """Run code in a process of its own; return its exit code, its output, and the last line of its error."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, done.stdout, lines[-1].strip() if lines else f"exit code {done.returncode}"


def _torchvision(error: str, versions: dict[str, str | None]) -> str:
    """Say why torchvision fails: almost always it was built for another PyTorch."""
    wants = [r for r in importlib.metadata.requires("torchvision") or [] if r.split(";")[0].strip().startswith("torch")]
    wanted = " ".join(wants[0].split(";")[0].split()) if wants else "another torch"
    return (
        f"torchvision {versions['torchvision']} fails beside torch {versions['torch']} ({error}): its compiled library"
        f" was built for another PyTorch and could not be loaded (it asks for {wanted}); install both in one command,"
        " python -m pip install --upgrade torch torchvision"
    )


def _text(facts: dict[str, Any], problems: list[str]) -> str:
    torch = facts["torch"]
    devices = ["cpu", *(f"cuda:{i} ({name})" for i, name in enumerate(torch.get("cuda", [])))]
    devices += ["mps"] if torch.get("mps") else []
    there = "" if facts["data"]["exists"] else " (does not exist)"
    rows = [["dlguide", facts["dlguide"]], ["python", f"{facts['python']}, {facts['executable']}"],
            ["system", f"{facts['system']}, {facts['cores']} cores"]]  # fmt: skip
    rows += [[name, version or "not installed"] for name, version in facts["packages"].items()]
    rows += [["devices", ", ".join(devices)], ["CUDA build", torch.get("cuda_build") or "none"],
             ["threads", str(torch.get("threads", "unknown"))],
             ["data folder", (facts["data"]["folder"] or "unknown") + there]]  # fmt: skip
    return "\n".join([options.table(rows), "", *([f"problem: {p}" for p in problems] or ["everything fits together"])])
