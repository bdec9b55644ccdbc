"""A copy of the project in which faults are planted, one at a time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.pages.paths import ROOT

# A lab of two cells: the real ones train for half a minute.
TINY = """\
# ---
# kind: lab
# minutes: 1
# needs: []
# description: {en: A lab for the tests., zh: 给测试用的实验。}
# ---

# %% [markdown] tags=["en"]
# # Tiny { #tiny }
#
# It prints 0.5.

# %% [markdown] tags=["zh"]
# # 小实验 { #tiny }
#
# 它打印 0.5。

# %%
print(0.5)
"""


def git(*arguments: str, folder: Path = ROOT) -> str:
    """What git answers."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest said."""

    status: int
    text: str

    @property
    def red(self) -> list[str]:
        """The tests that failed."""
        return re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", self.text, re.M)


class Tree:
    """A copy; `planted()` gives back every file that was changed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before: dict[Path, bytes | None] = {}
        for name in git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        for name in ("docs/_site/node_modules", ".cache/pages"):  # what is in them is keyed by content
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to(ROOT / name, target_is_directory=True)
        git("init", "--quiet", folder=folder)  # reads the project's objects and writes into its own
        objects = ROOT / git("rev-parse", "--git-path", "objects").strip()
        (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{objects}\n", "utf-8")
        (folder / "docs" / "labs" / "tiny.py").write_text(TINY, "utf-8")
        self.run_code("from tests.pages import labs; labs.mark(labs.ROOT / 'docs' / 'labs' / 'tiny.py')")

    def environment(self) -> dict[str, str]:
        """The copy's own modules come first; only the plugins that the project names are loaded."""
        path = os.pathsep.join([str(self.folder), str(self.folder / "src")])
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
        return {**kept, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "1000"}

    def run_code(self, code: str) -> None:
        """Run Python in the copy."""
        subprocess.run([sys.executable, "-c", code], cwd=self.folder, env=self.environment(), check=True)

    def pytest(self, *selection: str) -> Outcome:
        """Run some tests of the copy in a process of their own."""
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *selection]
        done = subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True,
                              encoding="utf-8", check=False)
        return Outcome(done.returncode, done.stdout + done.stderr)

    # ---------------------------------------------------------------- planting

    def read(self, name: str) -> str:
        """The text of a file."""
        return (self.folder / name).read_text("utf-8")

    def write(self, name: str, text: str | None) -> None:
        """Change a file, or delete it; the text must be another than before."""
        path = self.folder / name
        before = path.read_bytes() if path.exists() else None
        self._before.setdefault(path, before)
        assert before != (text.encode() if text is not None else None), f"nothing was planted in {name}"
        if text is None:
            path.unlink()
        else:
            path.write_text(text, "utf-8", newline="\n")

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace the first occurrence, which must exist."""
        text = self.read(name)
        assert old in text, f"{name} has no {old!r}: the fault needs a new place"
        self.write(name, text.replace(old, new, 1))

    def sub(self, name: str, pattern: str, new: str) -> None:
        """Replace the first match, which must exist."""
        text, count = re.subn(pattern, new, self.read(name), count=1, flags=re.M | re.S)
        assert count, f"{name} has no match of {pattern!r}: the fault needs a new place"
        self.write(name, text)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Give back every changed file at the end."""
        try:
            yield
        finally:
            for path, before in self._before.items():
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(before)
            self._before.clear()
