"""`make translated`: show what changed in English since each translation was made, then mark it as translated.

Run it after the Chinese text has been read again and mended; `python -m tests.pages.translated PAGE…` marks some pages
only, named as `training/optimizers` or by their path. It writes the blob hash of the English text into the
front matter of Chinese pages, into the first line of README.zh.md and CONTRIBUTING.zh.md, and into the Chinese cells of
the labs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.pages import git, labs
from tests.pages.paths import ROOT
from tests.pages.project import TOP, page_names, page_path


def marked(text: str, new: str) -> str:
    """The translation with the hash `new`."""
    old = git.pinned(text)
    if old:
        return text.replace(old, new, 1)
    if text.startswith("---\n"):
        head, end, rest = text.partition("\n---\n")
        head = re.sub(r"^translates:.*\n?", "", head, flags=re.M).rstrip("\n")
        return f"{head}\ntranslates: {new}{end}{rest}"
    return f"<!-- translates: {new} -->\n{text}"


def mark(english: Path, twin: Path) -> bool:
    """Show the difference and mark one translation; False if it was current."""
    text, new = twin.read_text("utf-8"), git.blob_hash(english.read_bytes())
    if git.pinned(text) == new:
        return False
    print(f"\n{twin.relative_to(ROOT)}\n{git.difference(git.pinned(text), english)}")
    git.keep(english)
    twin.write_text(marked(text, new), "utf-8", newline="\n")
    return True


def chosen(path: Path, given: list[str]) -> bool:
    """Whether a translation is among those that were asked for; all are if none was."""
    name = path.relative_to(ROOT).as_posix()
    return not given or any(one in (name, name.removeprefix("docs/zh/").removesuffix(".md")) for one in given)


def main(given: list[str]) -> int:
    """Mark the translations, and say which."""
    pairs = [(page_path(name, "en"), page_path(name, "zh")) for name in page_names("zh")]
    pairs += [(ROOT / name, ROOT / name.replace(".md", ".zh.md")) for name in TOP if ".zh." not in name]
    known = [twin for _, twin in pairs] + list(labs.paths())
    if unknown := [one for one in given if not any(chosen(path, [one]) for path in known)]:
        print(f"no Chinese page or lab is called {', '.join(unknown)}: name them as training/optimizers")
        return 2
    done = [twin for english, twin in pairs
            if chosen(twin, given) and english.exists() and twin.exists() and mark(english, twin)]
    done += [path for path in labs.paths() if chosen(path, given) and labs.mark(path)]
    print("\n".join(["", "marked as translated:", *(f"  {path.relative_to(ROOT)}" for path in done)])
          if done else "every translation is current")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
