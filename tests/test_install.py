"""The set-up says in one sentence what is missing, and does nothing twice."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from requirements import browser, install, lock

ROOT = Path(__file__).parents[1]


def test_little_disk_space_is_one_sentence_with_the_remedy(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100e9, 96e9, 4e9))
    with pytest.raises(install.Missing, match=r"10 GB of free disk space .* 4\.0 GB are free: .* DLGUIDE_TORCH=cpu"):
        install.check_disk("")
    install.check_disk("cpu")


def test_an_old_python_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(install.Missing, match=r"Python 3\.11 or newer is needed"):
        install.check_python()


def test_an_unknown_build_of_pytorch_is_refused(monkeypatch):
    monkeypatch.setenv("DLGUIDE_TORCH", "gpu")
    with pytest.raises(install.Missing, match="it may be 'cpu'"):
        install.python_packages()


def test_npm_comes_from_a_python_package_when_there_is_none(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    command = [*install.npm(), "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\s*", version)


def test_a_failed_step_becomes_a_sentence():
    with pytest.raises(install.Missing, match="the step failed"):
        install.run(sys.executable, "-c", "raise SystemExit(3)", why="the step failed")


def test_a_finished_step_is_not_done_again(tmp_path):
    mark, source = tmp_path / "mark", tmp_path / "lock.txt"
    source.write_text("a==1")
    assert not install.finished(mark, install.digest(source))
    mark.write_text(install.digest(source))
    assert install.finished(mark, install.digest(source))
    source.write_text("a==2")
    assert not install.finished(mark, install.digest(source))


def test_the_pins_of_pytorch_come_from_the_lock():
    assert install.pins("torch", "torchvision") == [f"torch=={lock.TORCH}", f"torchvision=={lock.TORCHVISION}"]


def test_a_named_browser_that_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="CHROMIUM names"):
        browser.chromium()


@pytest.mark.parametrize("name", ["torch.txt", "rest.txt"])
def test_locks_hold_versions_and_hashes_and_no_addresses(name):
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert "//" not in text
    entries = re.split(r"\n(?=[a-z])", text.split("\n", 1)[1].strip())
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.+-]+", entry), entry
        assert "--hash=sha256:" in entry


def test_splitting_a_lock_keeps_every_entry():
    entries = [f"{name} \\\n    --hash=sha256:{name[0]}" for name in ("numpy==1", "nvidia-x==2", "torch==3")]
    torch, rest = lock.split("\n".join(entries))
    assert re.findall(r"^[\w-]+", torch, re.M) == ["nvidia-x", "torch"]
    assert re.findall(r"^[\w-]+", rest, re.M) == ["numpy"]


def test_help_explains_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert targets == explained
