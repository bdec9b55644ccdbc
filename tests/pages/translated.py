"""`make translated`: show what changed in English since each translation was made, then mark it as translated.

Run it after the Chinese text has been read again and mended. It writes the blob hash of the English text into the
front matter of Chinese pages, into the first line of README.zh.md and CONTRIBUTING.zh.md, and into the Chinese cells of
the labs.
"""

from __future__ import annotations

import re
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


def main() -> None:
    """Mark all translations."""
    pairs = [(page_path(name, "en"), page_path(name, "zh")) for name in page_names("zh")]
    pairs += [(ROOT / name, ROOT / name.replace(".md", ".zh.md")) for name in TOP if ".zh." not in name]
    done = [twin for english, twin in pairs if english.exists() and twin.exists() and mark(english, twin)]
    done += [path for path in labs.paths() if labs.mark(path)]
    print("\n".join(["", "marked as translated:", *(f"  {path.relative_to(ROOT)}" for path in done)])
          if done else "every translation is current")


if __name__ == "__main__":
    main()
