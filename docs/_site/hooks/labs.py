"""Labs: one percent script for both languages, executed once for each content, written as one notebook per language.

A lab is docs/labs/NAME.py. A Markdown cell belongs to one language by its tag, a code cell to both:

    # %% [markdown] tags=["en"]
    # %% [markdown] tags=["zh"]
    # %%
    # %% alt_en="The loss falls" alt_zh="损失下降"          a code cell that draws a figure says what one sees

The header comment of the script (`# ---` … `# ---`) holds the page's front matter as on any page; a value that differs
is `{en: …, zh: …}`, for example `description: {en: "…", zh: "…"}`. What was executed is kept in .cache/labs under a
digest of everything that can change it: the lab's code, src/dlguide, the figures' style and the versions. Prose can be
edited without running the lab again.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).parents[3]
FIGURES = Path(__file__).with_name("figures.py")
CACHE = Path(os.environ.get("DLGUIDE_CACHE") or ROOT / ".cache") / "labs"
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn")
KEPT = 8  # executions of a lab
SECONDS = 600  # for one cell: a lab ends in one minute, a busy machine may take several

# Runs in the kernel before the lab: the figures' style, SVG, and no network (the kernel itself talks over 127.0.0.1).
SETUP = f"""
import runpy, socket, matplotlib
from matplotlib_inline.backend_inline import set_matplotlib_formats
matplotlib.rcParams.update(runpy.run_path({str(FIGURES)!r})["style"]())
set_matplotlib_formats("svg", metadata={{"Date": None}})
def _closed(*args, **kwargs):
    raise OSError("a lab asks no other host: its data is bundled or made")
socket.create_connection = socket.getaddrinfo = _closed
del runpy, socket, matplotlib, set_matplotlib_formats, _closed
"""


class LabError(RuntimeError):
    """A cell failed; the message names the lab, the cell and the error."""


def read(path: Path) -> NotebookNode:
    """Return the lab as a notebook, all languages in it."""
    return deepcopy(parsed(path.read_text("utf-8")))


@lru_cache(maxsize=32)
def parsed(text: str) -> NotebookNode:
    """Return the notebook of a percent script: read once while serving."""
    return jupytext.reads(text, fmt="py:percent")


def tags(cell: NotebookNode) -> list[str]:
    """Return the languages of a cell; none means both."""
    return [tag for tag in cell.metadata.get("tags", []) if tag in ("en", "zh")]


def faults(notebook: NotebookNode) -> list[str]:
    """Return what is wrong with the languages of a lab's cells."""
    wrong = []
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and len(tags(cell)) != 1:
            wrong.append(f'cell {i} is Markdown and needs one of tags=["en"] and tags=["zh"]')
        if cell.cell_type == "code" and tags(cell):
            wrong.append(f"cell {i} is code and belongs to both languages, so it takes no language tag")
    return wrong


def digest(notebook: NotebookNode, root: Path = ROOT) -> str:
    """Return the key of an execution in two halves: the lab's code, and all else that can change its outputs."""
    code, rest = hashlib.sha256(), hashlib.sha256()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            code.update(cell.source.encode() + b"\0")
    for path in [*sorted((root / "src").rglob("*.py")), FIGURES, Path(__file__)]:
        rest.update(path.read_bytes())
    rest.update(platform.python_version().encode())
    for name in PACKAGES:
        rest.update(f"{name} {version(name)}".encode())
    return f"{code.hexdigest()[:16]}-{rest.hexdigest()[:16]}"


def executed(path: Path, say: Callable[[str], None], cache: Path = CACHE, root: Path = ROOT,
             hurry: bool = False, never: bool = False) -> NotebookNode:
    """Return the lab with its outputs, from the cache or from a kernel.

    Args:
        path: the lab's script.
        say: told how far the lab is, while it runs.
        cache: the folder of executed labs.
        root: the project, whose package the lab imports.
        hurry: take the outputs of the same code even if the package or a version has changed since; for live reload.
        never: run nothing; `DLGUIDE_LABS=off` asks for it, for a fast preview.

    Raises:
        LabError: a cell failed, or nothing was kept and nothing may run.
    """
    notebook = read(path)
    key = digest(notebook, root)
    kept = cache / f"{path.stem}-{key}.ipynb"
    if hurry and not kept.exists():
        same = sorted(cache.glob(f"{path.stem}-{key.split('-')[0]}-*.ipynb"), key=lambda old: old.stat().st_mtime)
        kept = same[-1] if same else kept
    if never and not kept.exists():
        raise LabError(f"the lab docs/labs/{path.name} is shown without outputs, because DLGUIDE_LABS is off")
    if not kept.exists():
        done = run(notebook, path.stem, say, root)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache, delete=False, encoding="utf-8") as file:
            file.write(nbformat.writes(done))
        Path(file.name).replace(kept)  # in one step: two builds may run at once
        for stale in sorted(cache.glob(f"{path.stem}-*.ipynb"), key=lambda old: old.stat().st_mtime)[:-KEPT]:
            stale.unlink(missing_ok=True)
    old = nbformat.reads(kept.read_text("utf-8"), 4)
    outputs = [cell.outputs for cell in old.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = outputs.pop(0)
    notebook.metadata["stamp"] = old.metadata["stamp"]
    return notebook


def run(notebook: NotebookNode, name: str, say: Callable[[str], None], root: Path = ROOT) -> NotebookNode:
    """Execute the code cells in a fresh kernel, in an empty folder, and say how far it is."""
    from nbclient import NotebookClient  # 0.3 s that a build with a warm cache does not need
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    work = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SETUP), *(nbformat.from_dict(c) for c in code)])
    started = time.monotonic()

    def tell(cell: NotebookNode, cell_index: int, **_: object) -> None:
        if cell_index:
            say(f"lab {name}: cell {cell_index} of {len(code)} runs ({time.monotonic() - started:.0f} s so far)")

    path = os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH", "")]))
    # one thread: the nets are small, and on a busy machine threads that wait for each other take minutes
    env = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "default", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(work, timeout=SECONDS, startup_timeout=SECONDS, kernel_name="python3",
                                on_cell_start=tell, coalesce_streams=True, resources={"metadata": {"path": folder}})
        try:
            client.execute(env=env, stderr=subprocess.DEVNULL)  # the kernel's own notes; a cell's stderr is an output
        except CellExecutionError as error:
            raise LabError(failure(name, work, f"{error.ename}: {error.evalue}")) from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise LabError(failure(name, work, str(error).splitlines()[0])) from None
    seconds = time.monotonic() - started
    work.cells = work.cells[1:]
    for cell in work.cells:
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    work.metadata["stamp"] = {
        "recorded": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "torch": version("torch").split("+")[0],
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "seconds": f"{seconds:.1f}",
    }
    return work


def failure(name: str, work: NotebookNode, error: str) -> str:
    """Return one sentence about the first cell that did not finish."""
    number = next((i for i, c in enumerate(work.cells) if any(o.output_type == "error" for o in c.outputs)), 0)
    first = work.cells[number].source.strip().splitlines() or [""]
    where = f"code cell {number} (`{first[0]}`)" if number else "a code cell"
    return f"the lab docs/labs/{name}.py fails in {where}: {error}"


def in_language(notebook: NotebookNode, lang: str) -> NotebookNode:
    """Return the notebook with the Markdown of one language, its outputs kept."""
    cells = [cell for cell in notebook.cells if not tags(cell) or lang in tags(cell)]
    stamp = notebook.metadata.get("stamp")  # alone: jupytext's own notes come in any order
    copy = nbformat.v4.new_notebook(metadata={"stamp": stamp} if stamp else {})
    copy.cells = [nbformat.from_dict(cell) for cell in cells if cell.cell_type != "raw"]
    for i, cell in enumerate(copy.cells):
        cell["id"] = f"cell-{i}"
    return copy


def front_matter(notebook: NotebookNode, lang: str) -> dict[str, object]:
    """Return the page's front matter in one language; jupytext keeps a script's header as a raw cell."""
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "raw":
        return {}
    meta = yaml.safe_load(first.source.strip().strip("-")) or {}
    return {key: value[lang] if isinstance(value, dict) and set(value) == {"en", "zh"} else value
            for key, value in meta.items()}


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return what a reader downloads: the cells, no outputs, the ordinary kernel."""
    cells = []
    for cell in notebook.cells:
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        cells.append(new(cell.source, id=cell["id"]))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
