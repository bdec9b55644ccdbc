"""Where the tests' Chromium is: the variable CHROMIUM, the PATH, the usual folders, or Playwright's own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge"]
PLACES = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
]


def playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def chromium() -> str:
    """Return the path of a Chromium-based browser.

    Raises:
        FileNotFoundError: No browser was found, or CHROMIUM names a file that is not there.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"CHROMIUM names {named}, which is not a file: name a browser, or unset it.")
        return named
    found = next(filter(None, map(shutil.which, NAMES)), None) or next((p for p in PLACES if Path(p).is_file()), None)
    found = found or playwrights_own()
    if not found:
        raise FileNotFoundError("No Chromium was found: `make test` installs one, or name one with CHROMIUM.")
    return found


if __name__ == "__main__":
    try:
        print(chromium())
    except FileNotFoundError as missing:
        sys.exit(str(missing))
