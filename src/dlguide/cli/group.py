"""The group of all commands: it imports a command when it is needed, and turns every error into one sentence."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from typing import Any, NoReturn

import click

from dlguide import __version__
from dlguide.config import ConfigError, near

COMMANDS = ("data", "train", "evaluate", "predict", "plot", "graph", "export", "bench", "doctor")

_EPILOG = """\b
Examples:
  dlguide train cnn --data digits
  dlguide evaluate runs/cnn-digits
  dlguide predict runs/cnn-digits picture.png
  dlguide doctor
"""


class Failure(click.ClickException):
    """It could not be done: one sentence on stderr, and an exit code.

    Args:
        message: the sentence; nothing is written if it is empty.
        code: the exit code.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]


class Group(click.Group):
    """All commands of `dlguide`."""

    def __init__(self) -> None:
        super().__init__(
            "dlguide",
            help="Train, measure, use and look into models from the command line.",
            epilog=_EPILOG,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            params=[version_option()],
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of a day's work.

        Args:
            ctx: of click.
        """
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Args:
            ctx: of click.
            cmd_name: its name.
        """
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"dlguide.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names.

        Args:
            ctx: of click.
            args: the words.
        """
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = near(args[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it raises becomes a sentence.

        Args:
            ctx: of click.
        """
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("DLGUIDE_DEBUG"):
                traceback.print_exc()
            raise _failure(error) from error

    def main(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        """Run the command line and end the process.

        Args:
            args: as for click.
            options: as for click.
        """
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
            sys.stdout.flush()
        except click.Abort:  # Ctrl-C where nothing of a run is to be saved
            error: click.ClickException = Failure("stopped", 130)
        except click.ClickException as given:
            error = given
        except OSError as given:  # standard output leads to a pipe that has ended, or to a full disk
            error = _failure(given)
        else:
            sys.exit(code if isinstance(code, int) else 0)
        try:
            sys.stdout.flush()
        except OSError:
            sys.stdout = io.StringIO()  # or Python would write the rest at its end
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
            sys.exit(error.exit_code)
        message = " ".join(error.format_message().split())
        if isinstance(error, click.NoSuchOption):
            message = f"there is no flag {error.option_name}{near(error.option_name, _flags(error.ctx))}"
        if message:
            if isinstance(error, click.UsageError):
                where = error.ctx.command_path if error.ctx else "dlguide"
                message = f"{_sentence(message)} ({where} --help explains)"
            click.echo(f"dlguide: {message}", err=True)
        sys.exit(error.exit_code)


def version_option() -> click.Option:
    """The option `--version`."""

    def show(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo(f"dlguide {__version__}")
            ctx.exit()

    return click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show,
                        help="Show the version and end.")  # fmt: skip


def _failure(error: BaseException) -> Failure:
    """The sentence and the exit code for what a command raised."""
    if isinstance(error, BrokenPipeError):
        return Failure("", 141)
    if isinstance(error, KeyboardInterrupt):
        return Failure("stopped", 130)
    message = " ".join(str(error).split())
    if isinstance(error, ConfigError):
        return Failure(message, 2)
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or "out of memory" in message:
        message = f"not enough memory, {message or 'the data are too large'}; a smaller --batch-size needs less"
    if isinstance(error, (ValueError, OSError, ArithmeticError, ImportError, TypeError, RuntimeError, MemoryError)):
        return Failure(message or type(error).__name__)
    return Failure(f"{type(error).__name__}: {message}; with DLGUIDE_DEBUG=1 the traceback is shown")


def _flags(ctx: click.Context | None) -> list[str]:
    """All flags of a command."""
    return [flag for parameter in ctx.command.get_params(ctx) for flag in parameter.opts] if ctx else []


def _sentence(message: str) -> str:
    """Let a message of click begin like ours: with a small letter and without a full stop."""
    first = message[:1].lower() + message[1:] if message[1:2].islower() else message
    return first.removesuffix(".")
