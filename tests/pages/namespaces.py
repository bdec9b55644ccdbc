"""Run a page's program inside a test, so that the test can use its functions and values."""

from __future__ import annotations

import contextlib
import io
import linecache
import random
import tempfile
import warnings
from typing import Any

import numpy as np
import torch

from tests.pages.fences import read
from tests.pages.project import page_path


@contextlib.contextmanager
def undisturbed() -> Any:
    """Put back what a program may set for the whole process."""
    states = random.getstate(), np.random.get_state()
    dtype, deterministic = torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()
    anomaly = torch.is_anomaly_enabled()
    from matplotlib import pyplot, rc_context

    from tests.pages import drawing

    try:
        with torch.random.fork_rng(devices=[]), rc_context(), warnings.catch_warnings():
            warnings.simplefilter("default")
            drawing.use()
            yield
    finally:
        drawing.SHOWN.clear()
        pyplot.close("all")
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic)
        torch.autograd.set_detect_anomaly(anomaly)


def namespace(name: str) -> dict[str, Any]:
    """The names that the program of a page has defined after its last block."""
    blocks = read(page_path(name).read_text("utf-8"), name).blocks
    assert blocks, f"the page {name} has no Python blocks"
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    quiet = contextlib.redirect_stdout(io.StringIO())
    with undisturbed(), quiet, tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in blocks:
            where = f"<{name} {block.name}>"
            linecache.cache[where] = (len(block.code), None, block.code.splitlines(keepends=True), where)
            exec(compile(block.code, where, "exec", dont_inherit=True), names)
    return names
