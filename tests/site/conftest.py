"""The site as it is published, built once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE_URL = "http://127.0.0.1:8000/dlguide/"  # below a path, as on a project's Pages
REPO_URL = "https://git.example/dlguide"


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold a lock that only one process can have: workers of pytest-xdist wait for each other."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            time.sleep(0.5)
    try:
        yield
    finally:
        lock.unlink()


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def site(common: Path) -> Path:
    """Return the folder of the built site; a strict build that fails is shown with its last lines."""
    folder, failed = common / "site", common / "site-failed.txt"
    with one_at_a_time(common / "site.lock"):
        if not folder.exists() and not failed.exists():
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder) + ".part"]
            env = os.environ | {"SITE_URL": SITE_URL, "REPO_URL": REPO_URL, "NO_MKDOCS_2_WARNING": "1"}
            env.pop("DLGUIDE_LANGS", None)
            done = subprocess.run(command, cwd=ROOT, env=env, text=True, encoding="utf-8", errors="replace",
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                wrong = [line for line in done.stdout.splitlines() if line.startswith(("WARNING", "ERROR", "Aborted"))]
                failed.write_text("\n".join(wrong or done.stdout.splitlines()[-30:]), "utf-8")
            else:
                shutil.move(str(folder) + ".part", folder)
    if failed.exists():
        pytest.fail(f"`mkdocs build --strict` fails:\n{failed.read_text('utf-8')}", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def package(common: Path) -> Path:
    """Return a folder with the package as its wheel installs it, and nothing of the repository."""
    folder = common / "package"
    with one_at_a_time(common / "package.lock"):
        if not folder.exists():
            source = common / "package-source"
            shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                shutil.copy(ROOT / name, source)
            command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps",
                       "--no-index", "--disable-pip-version-check", "--wheel-dir", str(common / "wheel"), str(source)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"the package's wheel cannot be built:\n{done.stderr}"
            (wheel,) = (common / "wheel").glob("dlguide-*.whl")
            zipfile.ZipFile(wheel).extractall(folder)
    return folder
