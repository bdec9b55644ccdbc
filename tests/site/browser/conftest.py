"""A real Chromium and a loopback server that serves the built site under the path it is published at."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from requirements.browser import chromium
from tests.site.browser.pages import Visit, published_at
from tests.site.browser.server import Server

# quiet, offline, and the same on every machine; the sandbox cannot start as root (containers)
FLAGS = [
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=MediaRouter,OptimizationHints,Translate",
    "--hide-scrollbars",
]


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The address of the site's first page, on this machine."""
    server = Server(site, published_at(site))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.address
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *root])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Open an address of the site in a fresh profile; at the end of the test no error may have shown up."""
    visits: list[Visit] = []

    def open_page(path: str = "", **options: object) -> Visit:
        one = Visit(browser, address, **options)
        visits.append(one)
        one.go(path)
        return one

    yield open_page
    troubles = [trouble for one in visits for trouble in one.troubles]
    for one in visits:
        one.close()
    assert not troubles, "the browser reported: " + "; ".join(troubles)
