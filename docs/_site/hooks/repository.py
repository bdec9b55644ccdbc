"""Where the sources live: REPO_URL, or the http(s) address of the git remote, or nowhere. No host is ever made up."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit


def cleaned(address: str) -> str:
    """Return a web address of a repository without user, password and `.git`; nothing if it is not a web address."""
    parts = urlsplit(address.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}://{host}{parts.path.rstrip('/').removesuffix('.git')}"


def edit(repository: str, path: str) -> str | None:
    """Return the address at which a file can be edited, in the way of its host."""
    if not repository:
        return None
    way = "-/edit" if "gitlab" in (urlsplit(repository).hostname or "") else "edit"
    return f"{repository}/{way}/main/{path}"


@cache
def remote(folder: Path) -> str:
    """Return the web address of the git remote `origin`, or nothing."""
    try:
        done = subprocess.run(["git", "-C", str(folder), "remote", "get-url", "origin"], capture_output=True, text=True)
    except OSError:
        return ""
    return cleaned(done.stdout) if done.returncode == 0 else ""


def address(folder: Path) -> str:
    """Return the repository's web address, or nothing."""
    if "REPO_URL" in os.environ:
        return cleaned(os.environ["REPO_URL"])
    return remote(folder)
