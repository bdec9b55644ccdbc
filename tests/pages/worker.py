"""Run programs of pages as a reader would: one after the other, each in a process of its own.

`python -m tests.pages.worker` imports the heavy packages once, reads the path of a job (JSON) per line, and forks for
each: a program then starts in milliseconds. Where there is no fork, it runs a single job and ends.

The child has no network, no standard input, an empty working folder, and a fresh module `__main__` as namespace.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import linecache
import os
import signal
import sys
import tempfile
import time
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

PRELOAD = ("torch", "torch.nn.functional", "numpy", "matplotlib.pyplot", "sklearn.datasets", "tests.pages.drawing")
LIMIT = 120  # seconds for one page
CLOSED = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


def offline(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: only sockets within this machine's processes (AF_UNIX) may connect."""
    if event in CLOSED and not (args and getattr(getattr(args[0], "family", None), "name", "") == "AF_UNIX"):
        raise PermissionError("pages run offline: this block asks another host. Use bundled or made data")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the blocks of a program in order until one fails; return what each printed and drew."""
    sys.addaudithook(offline)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = [""]
    if job["strict"]:
        warnings.simplefilter("error")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), captured() as streams:
        results: list[dict[str, Any]] = []
        for name, code in zip(job["names"], job["codes"], strict=True):
            results.append(run_block(name, code, main.__dict__, streams))
            if results[-1]["error"]:
                break
        left = open_figures()
    return {"blocks": results, "seconds": time.monotonic() - began, "open": left}


def run_block(name: str, code: str, namespace: dict[str, Any], streams: dict[int, Any]) -> dict[str, Any]:
    """Run one block; exceptions, exits and everything that reaches the screen are caught."""
    from tests.pages import drawing

    where, error = f"<block {name}>", None
    before = set(Path.cwd().glob("*.svg"))
    # with its source at hand, tracebacks show the line, and inspect.getsource works as in a file
    linecache.cache[where] = (len(code), None, code.splitlines(keepends=True), where)
    try:
        exec(compile(code, where, "exec", dont_inherit=True), namespace)
    except BaseException as exception:
        error = explain(exception)
    shown = [*drawing.SHOWN]
    drawing.SHOWN.clear()
    written = {path.stem: path.read_text("utf-8") for path in sorted(set(Path.cwd().glob("*.svg")) - before)}
    return {"out": taken(streams[1]), "err": taken(streams[2]), "error": error, "shown": shown, "written": written}


def explain(exception: BaseException) -> str:
    """The traceback from the block on, without the lines of this file."""
    if isinstance(exception, SystemExit):
        return f"the block ends the program: SystemExit({exception.code!r})"
    frames = exception.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(exception), exception, frames))


def open_figures() -> int:
    """How many figures wait for plt.show()."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return len(pyplot.get_fignums()) if pyplot else 0


@contextlib.contextmanager
def captured() -> Any:
    """Send file descriptors 1 and 2 to files, so that output of C++ and of other processes counts, too."""
    with contextlib.ExitStack() as stack:
        streams = {}
        for number, name in ((1, "stdout"), (2, "stderr")):
            file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n"))
            old = os.dup(number)
            stack.callback(os.dup2, old, number)
            os.dup2(file.fileno(), number)
            stream = os.fdopen(os.dup(number), "w", encoding="utf-8", newline="\n", buffering=1)
            stack.callback(setattr, sys, name, getattr(sys, name))
            setattr(sys, name, stream)
            streams[number] = file
        yield streams


def taken(file: Any) -> str:
    """Read a captured stream and empty it."""
    sys.stdout.flush()
    sys.stderr.flush()
    file.seek(0)
    text = file.read()
    file.seek(0)
    file.truncate()
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return str(text)


def finish(path: str) -> None:
    """Run the job at `path` and write its result beside it."""
    job = Path(path)
    result = run(json.loads(job.read_text("utf-8")))
    job.with_suffix(".result").write_text(json.dumps(result), "utf-8")


def serve() -> None:
    """Fork for each job on standard input; answer with the exit status of the child."""
    for name in PRELOAD:
        importlib.import_module(name)
    from tests.pages import drawing

    drawing.use()
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for line in jobs:
        if not hasattr(os, "fork"):
            finish(line.strip())
            answers.write("0\n")
            return
        child = os.fork()
        if child == 0:
            jobs.close()
            signal.alarm(LIMIT)  # the default action ends the process
            finish(line.strip())
            os._exit(0)
        answers.write(f"{os.waitpid(child, 0)[1]}\n")


if __name__ == "__main__":
    serve()
