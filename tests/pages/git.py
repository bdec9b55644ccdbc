"""The blob hashes by which a translation names the text that it translates."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from tests.pages.paths import ROOT

PIN = re.compile(r"^translates:[ \t]*[\"']?([0-9a-f]{40})[\"']?[ \t]*$", re.M)
TOP_PIN = re.compile(r"\A<!-- translates: ([0-9a-f]{40}) -->\n")


def blob_hash(content: bytes) -> str:
    """What `git hash-object` says of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def pinned(text: str) -> str | None:
    """The hash in a translation's front matter, or in the first line of a file at the top."""
    match = TOP_PIN.match(text) or PIN.search(text.split("\n---\n", 1)[0])
    return match[1] if match else None


def difference(old: str | None, path: Path) -> str:
    """What changed in `path` since the blob `old`, as git shows it."""
    if old is None:
        return "(the translation names no English text yet)"
    keep(path)
    command = ["git", "diff", "--no-color", "--no-ext-diff", old, blob_hash(path.read_bytes())]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    return done.stdout or f"(git does not know the blob {old[:12]}: read the whole English text)"


def keep(path: Path) -> None:
    """Put the text into git's store, so that a later difference can be shown."""
    subprocess.run(["git", "hash-object", "-w", str(path)], cwd=ROOT, capture_output=True, check=False)
