"""The commands by name, and what happens when one fails."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from TetherDB import __version__
from TetherDB.cli import output
from TetherDB.cli.failing import Code, explain, one_line
from TetherDB.cli.settings import ALL, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where each command is, in the order of the list: only the one that runs is imported.
COMMANDS = {
    "get": "reading",
    "put": "writing",
    "update": "writing",
    "delete": "deleting",
    "list": "listing",
    "ping": "status",
    "stats": "stats",
    "browse": "browse",
    "journal": "journal",
    "config": "config",
    "completion": "completion",
}
COMPLETION = "_TETHERDB_COMPLETE"


class Lazy(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"TetherDB.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Says which command may have been meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            like = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{like[0]}'?" if like else ""
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group("tetherdb", cls=Lazy, context_settings={"help_option_names": ["--help", "-h"]})
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def tetherdb(context: click.Context, /, **given: Any) -> None:
    """Read and write the records of TetherDB.

    Without a configuration that is the file "localdb" in this folder. The options
    below can stand before the command or behind it.
    """
    context.obj = Settings.of(given)


for _option in reversed(ALL):
    tetherdb = click.option(*_option.declarations, **_option.attributes)(tetherdb)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit code."""
    output.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    context: click.Context | None = None
    try:
        if completion := os.environ.get(COMPLETION):
            from click.shell_completion import shell_complete

            return shell_complete(tetherdb, {}, "tetherdb", COMPLETION, completion)
        logging.getLogger("TetherDB").addHandler(Notes())
        sys.unraisablehook = _raise_again
        try:
            with tetherdb.make_context("tetherdb", given) as context:
                code = tetherdb.invoke(context)
        except click.exceptions.NoArgsIsHelpError as told:
            # The help that click prints then, with its exit code.
            click.echo(told.format_message(), err=True)
            return Code.WRONG_INPUT
        except click.exceptions.Exit as ended:
            code = ended.exit_code
        output.finish()
        return int(code or 0)
    except BrokenPipeError:
        # As other programs end: whoever reads, such as `head`, has had enough.
        output.abandon()
        return Code.BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            # Now: whoever reads may do so slowly, or not at all.
            output.abandon()
        else:
            # What has been found until then comes before what went wrong.
            output.finish_or_abandon()
        if isinstance(error, KeyboardInterrupt | click.Abort):
            output.end_line()
        text, code = explain(error)
        output.note(one_line(text))
        settings = context.obj if context else None
        if isinstance(settings, Settings) and settings.verbose:
            import traceback

            output.trace(traceback.format_exception(error))
        return code


def _raise_again(told: sys.UnraisableHookArgs) -> None:
    """A Ctrl-C that met a place that cannot raise it, such as a line of the log, comes once more."""
    if not issubclass(told.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(told)
        return
    # A little later, since here it would be as lost.
    again = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    if hasattr(signal, "pthread_kill"):
        # To the very thread that waits, so that it does not go on waiting.
        main = threading.main_thread().ident or 0
        again = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGINT])
    again.daemon = True
    again.start()


class Notes(logging.Handler):
    """TetherDB's log, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        output.note(f"{record.levelname.lower()}: {record.getMessage()}")
