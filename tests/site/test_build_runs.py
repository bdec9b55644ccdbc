"""What a reader does: copy a published page's blocks, in order, into a fresh interpreter that has only the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.published import page, sources

# Runs the program as `python program.py` would, with no network, and says which dlguide it used.
RUNNER = """
import runpy, socket, sys
def closed(*args, **kwargs):
    raise OSError("a page asks no other host")
socket.create_connection = socket.getaddrinfo = closed
runpy.run_path(sys.argv[1], run_name="__main__")
used = sys.modules.get("dlguide")
assert used is None or used.__file__.startswith(sys.argv[2]), used.__file__
"""
AGG = "ignore:FigureCanvasAgg is non-interactive:UserWarning"


def run(program: list[str], package: Path, folder: Path) -> None:
    """Run the blocks as one program in an empty folder; a failure shows what a reader would see."""
    folder.mkdir()
    file = folder.with_suffix(".py")
    file.write_text("\n\n".join(program) + "\n", "utf-8")
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSTARTUP")}
    env = kept | {"PYTHONPATH": str(package), "MPLBACKEND": "Agg", "TQDM_DISABLE": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-P", "-W", "error", "-W", AGG, "-c", RUNNER, str(file), str(package)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, f"the page's blocks do not run:\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("source", sources())
def test_a_copied_page_runs(site: Path, package: Path, tmp_path: Path, source: str) -> None:
    english, chinese = page(site, "en", source).program, page(site, "zh", source).program
    if source.startswith("reference/"):  # each example stands alone
        for i, block in enumerate(dict.fromkeys([*english, *chinese])):
            run([block], package, tmp_path / f"example{i}")
        return
    for i, program in enumerate([english] if english == chinese else [english, chinese]):
        if program:
            run(program, package, tmp_path / f"page{i}")
