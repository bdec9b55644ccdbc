"""The command line: `dlguide --help`. Each command imports PyTorch only when it runs, so help answers at once."""

from __future__ import annotations

from collections.abc import Sequence

from dlguide.cli.group import Group as _Group

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Exit codes: 0 done, 1 it could not be done, 2 wrong use, 130 stopped by Ctrl-C, 141 nobody reads the output any
    more, 143 stopped by SIGTERM. An error is one sentence on stderr; with `DLGUIDE_DEBUG=1` the traceback comes first.

    Args:
        arguments: the words after `dlguide`; those of the process if not given.

    Raises:
        SystemExit: always.

    Example:
        ```python
        from dlguide.cli import main

        try:
            main(["--version"])
        except SystemExit as end:
            print("exit code", end.code)
        ```

        ``` {.text .output}
        dlguide 0.1.0
        exit code 0
        ```

    References:
        - [click](https://click.palletsprojects.com/en/stable/)
    """
    _Group().main(None if arguments is None else list(arguments), prog_name="dlguide")
