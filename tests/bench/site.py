"""Measure the site: a warm strict build, and how soon an edited page is live.

`make bench` writes docs/results/site.json: median and spread of several runs, with versions and cores. The budgets are
those of the design: 15 s and 3 s on two cores. It works on a copy of the tree, so that nothing here is touched.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = 5
PAGE = "docs/en/start/install.md"
ENVIRONMENT = os.environ | {"NO_MKDOCS_2_WARNING": "1"}


def copy_of_the_tree(folder: Path) -> Path:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "docs/_site/node_modules").symlink_to(ROOT / "docs/_site/node_modules")
    return folder


def build_once(tree: Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run(command, cwd=tree, env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(address: str, text: str, limit: float) -> float:
    """Ask until the page holds the text; return the seconds that took."""
    start = time.perf_counter()
    while time.perf_counter() - start < limit:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if text in answer.read().decode():
                    return time.perf_counter() - start
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{address} did not show {text!r} within {limit} s")


def reloads(tree: Path) -> list[float]:
    """Edit one English page under `mkdocs serve`, both languages present, and wait until it is live."""
    port = free_port()
    command = [sys.executable, "-m", "mkdocs", "serve", "--quiet", "--dev-addr", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, cwd=tree, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/start/install/"
    try:
        wait_for(f"http://127.0.0.1:{port}/zh/start/install/", "<html", 180)
        seconds = []
        for run in range(RUNS):
            page = tree / PAGE
            page.write_text(page.read_text("utf-8") + f"\nEdit number {run}.\n", "utf-8")
            seconds.append(wait_for(address, f"Edit number {run}.", 60))
            time.sleep(1)
        return seconds
    finally:
        server.terminate()
        server.wait()


def summary(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "minimum": round(min(seconds), 2),
            "maximum": round(max(seconds), 2), "runs": len(seconds)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_the_tree(Path(folder))
        print("cold build (runs the labs) ...", flush=True)
        cold = [build_once(tree)]
        print(f"{cold[0]:.1f} s; {RUNS} warm builds ...", flush=True)
        warm = [build_once(tree) for _ in range(RUNS)]
        print(f"{statistics.median(warm):.1f} s; {RUNS} reloads ...", flush=True)
        live = reloads(tree)
        print(f"{statistics.median(live):.1f} s", flush=True)
    result = {
        "claim": "strict build of both languages, and an edited English page live under mkdocs serve; seconds, wall",
        "date": date.today().isoformat(), "cores": os.cpu_count(), "machine": platform.machine(),
        "python": platform.python_version(), "mkdocs": version("mkdocs"), "mkdocs-material": version("mkdocs-material"),
        "pages": len(list((ROOT / "docs/en").rglob("*.md"))) + len(list((ROOT / "docs/labs").glob("*.py"))),
        "cold build": summary(cold), "warm build": summary(warm), "live reload": summary(live),
    }
    path = ROOT / "docs/results/site.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
