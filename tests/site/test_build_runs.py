"""What a reader does: copy a published page's blocks, in order, into a fresh interpreter that has only the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.published import page, sources

# Runs each program as `python program.py` would, with no network, and says which dlguide was used.
RUNNER = """
import runpy, socket, sys
def closed(*args, **kwargs):
    raise OSError("a page asks no other host")
socket.create_connection = socket.getaddrinfo = closed
package, *programs = sys.argv[1:]
for program in programs:
    runpy.run_path(program, run_name="__main__")
used = sys.modules.get("dlguide")
assert used is None or used.__file__.startswith(package), used.__file__
"""
AGG = "ignore:FigureCanvasAgg is non-interactive:UserWarning"


def run(programs: list[str], package: Path, folder: Path) -> None:
    """Run programs one after the other in a new interpreter and an empty folder, each in a namespace of its own."""
    files = []
    for i, program in enumerate(programs):
        files.append(folder / f"program{i}.py")
        files[-1].write_text(program + "\n", "utf-8")
    empty = folder / "empty"
    empty.mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSTARTUP")}
    env = kept | {"PYTHONPATH": str(package), "MPLBACKEND": "Agg", "TQDM_DISABLE": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-P", "-W", "error", "-W", AGG, "-c", RUNNER, str(package), *map(str, files)]
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, f"the page's blocks do not run:\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("source", sources())
def test_a_copied_page_runs(site: Path, package: Path, tmp_path: Path, source: str) -> None:
    english, chinese = page(site, "en", source).program, page(site, "zh", source).program
    if source.startswith("reference/"):  # each example is a program of its own
        programs = list(dict.fromkeys([*english, *chinese]))
    else:
        programs = list(dict.fromkeys("\n\n".join(blocks) for blocks in (english, chinese) if blocks))
    if programs:
        run(programs, package, tmp_path)
