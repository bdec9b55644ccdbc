"""What must hold of the repository as a whole, whatever is added to it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import dlguide

ROOT = Path(__file__).parents[1]
# put together here, so that this file does not contain what it looks for
REGISTRIES = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "deb." + "debian.org"]
WORDS = ["TO" + "DO", "FIX" + "ME", "X" * 3, "coming" + " soon", "lorem" + " ipsum"]
UNFINISHED = re.compile(rf"\b({'|'.join(WORDS)})\b")
BINARY = {".png", ".jpg", ".gz", ".woff2", ".ico"}


def files() -> list[Path]:
    """The files that belong to the project: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    return [(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in files() if path.suffix not in BINARY]


def test_no_file_names_the_host_of_a_package_registry():
    found = [(name, host) for name, text in texts() for host in REGISTRIES if host in text]
    assert found == []


def test_nothing_is_left_unfinished():
    found = [(name, match[0]) for name, text in texts() if (match := UNFINISHED.search(text))]
    assert found == []


def test_no_file_is_large():
    large = [(str(path.relative_to(ROOT)), path.stat().st_size) for path in files() if path.stat().st_size > 1_000_000]
    assert large == [], "third-party assets come by package manager, data is never committed"


def test_ci_runs_the_command_of_the_readme():
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text("utf-8"), re.M)
    for readme in ("README.md", "README.zh.md"):
        assert "$ make test" in (ROOT / readme).read_text("utf-8")


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md", "CONTRIBUTING.md", "CONTRIBUTING.zh.md"])
def test_the_make_targets_that_a_text_names_exist(readme):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / readme).read_text("utf-8")))
    assert named - targets == set()


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md", "CONTRIBUTING.md", "CONTRIBUTING.zh.md"])
def test_the_files_that_a_text_links_to_exist(readme):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", (ROOT / readme).read_text("utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert missing == []


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_hash(workflow):
    used = re.findall(r"uses: (\S+)", workflow.read_text("utf-8"))
    assert used
    assert [action for action in used if not re.search(r"@[0-9a-f]{40}$", action)] == []
    assert yaml.safe_load(workflow.read_text("utf-8"))["permissions"] == {"contents": "read"}


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["version"] == dlguide.__version__ == citation["version"]


def test_each_dependency_of_the_package_is_in_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lock = "".join((ROOT / "requirements" / name).read_text("utf-8") for name in ("torch.txt", "rest.txt"))
    for dependency in project["dependencies"]:
        name = re.match(r"[\w-]+", dependency)
        assert name
        assert re.search(rf"^{name[0]}==", lock, re.M), dependency
