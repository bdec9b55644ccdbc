"""Run a page's program in the worker, once: in this session, and for the same code, package and versions at all.

What ran without an error is kept in .cache/pages under a digest of all that could change it. So the two languages of a
page, and the processes of pytest-xdist, share one run. A failure is never kept.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.pages.paths import ROOT

CACHE = ROOT / ".cache" / "pages"
# The same digits on any processor of the last ten years: fixed instruction sets, one thread, fixed hash order.
PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "80", "TZ": "UTC",
}
INPUTS = ("tests/pages/worker.py", "tests/pages/drawing.py", "tests/pages/compare.py", "docs/_site/hooks/figures.py")


@dataclass(frozen=True)
class Result:
    """What one block did. `ran` is False when an earlier block failed."""

    out: str = ""
    err: str = ""
    error: str | None = None
    shown: tuple[str, ...] = ()
    written: tuple[tuple[str, str], ...] = ()
    ran: bool = True


@dataclass(frozen=True)
class Run:
    """What a program did. `open` counts figures that were drawn and never shown."""

    blocks: tuple[Result, ...]
    seconds: float
    open: int = 0


_session: dict[tuple[str, bool], Run] = {}


def run(names: tuple[str, ...], codes: tuple[str, ...], *, fresh: bool = False, strict: bool = False) -> Run:
    """Run the blocks as one program, or return what they did before.

    `fresh` asks for a new run in this session; with `strict` every warning is an error, also one that Python hides.
    """
    job = {"names": names, "codes": codes, "strict": strict}
    key = digest(job)
    if (key, fresh) not in _session:
        path = CACHE / f"{key}.json"
        with locked(path):
            answer = json.loads(path.read_text("utf-8")) if path.exists() and not fresh else execute(job)
            if all(not block["error"] for block in answer["blocks"]):
                write(path, json.dumps(answer))
        _session[key, fresh] = _session[key, False] = understood(answer, len(codes))
    return _session[key, fresh]


def understood(answer: dict[str, Any], count: int) -> Run:
    """The worker's answer as a Run, one result for each block."""
    blocks = [Result(b["out"], b["err"], b["error"], tuple(b["shown"]), tuple(b["written"].items()))
              for b in answer["blocks"]]
    return Run((*blocks, *[Result(ran=False)] * (count - len(blocks))), answer["seconds"], answer["open"])


def execute(program: dict[str, Any]) -> dict[str, Any]:
    """Hand the program to the worker and wait for the answer."""
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "job.json")
        job.write_text(json.dumps(program), "utf-8")
        process = server()
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{job}\n")
        process.stdin.flush()
        status = process.stdout.readline().strip()
        if not hasattr(os, "fork") or not status:
            server.cache_clear()
        result = job.with_suffix(".result")
        if result.exists():
            return dict(json.loads(result.read_text("utf-8")))
    why = "it took longer than 120 s" if status == "14" else f"its process ended with status {status or 'unknown'}"
    crash = {"out": "", "err": "", "error": f"the program did not finish: {why}", "shown": [], "written": {}}
    return {"blocks": [crash], "seconds": 0.0, "open": 0}


@cache
def server() -> subprocess.Popen[str]:
    """Start the worker; it ends with this process."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    env = {**os.environ, **PINNED, "PYTHONPATH": path, "MPLBACKEND": "module://tests.pages.drawing"}
    for name in ("PYTHONWARNINGS", "PYTHONSTARTUP"):  # the reader has neither
        env.pop(name, None)
    process = subprocess.Popen([sys.executable, "-P", "-m", "tests.pages.worker"], env=env, text=True, cwd=ROOT,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.kill)
    return process


def digest(program: dict[str, Any]) -> str:
    """The key of a run: the code, what it may import, how it is run, and on what."""
    return hashlib.sha256(json.dumps([program, surroundings()]).encode()).hexdigest()[:32]


@cache
def surroundings() -> list[Any]:
    """Everything but the code that can change what a program does."""
    key = hashlib.sha256()
    for path in [*sorted((ROOT / "src").rglob("*.py")), *(ROOT / name for name in INPUTS)]:
        key.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    packages = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))
    cpu = next((line for line in _cpuinfo() if line.startswith("model name")), platform.processor())
    return [key.hexdigest(), packages, sys.version, platform.platform(), cpu, PINNED]


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def write(path: Path, text: str) -> None:
    """Write a file in one step, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8", newline="\n") as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time run this program, where the system can lock files."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
