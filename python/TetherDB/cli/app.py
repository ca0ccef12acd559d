"""The commands by name, and what happens when one fails."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from TetherDB import __version__
from TetherDB.cli import output
from TetherDB.cli.failing import Code, explain, one_line
from TetherDB.cli.settings import ALL, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where each command is, and its line in the list: only the one that runs is imported.
COMMANDS = {
    "ping": "status",
    "browse": "browse",
}


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


@click.group("tetherdb", cls=Lazy, context_settings={"help_option_names": ["--help", "-h"]})
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def tetherdb(context: click.Context, /, **given: Any) -> None:
    """Read, write and move the records of TetherDB.

    Without a configuration that is the file "localdb" in this folder.
    """
    known = {option.name for option in ALL}
    context.obj = Settings(
        **{name: value for name, value in given.items() if name in known and value is not None}
    )


for _option in reversed(ALL):
    tetherdb = click.option(*_option.declarations, **_option.attributes)(tetherdb)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit code."""
    output.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    context: click.Context | None = None
    try:
        if completion := os.environ.get("_TETHERDB_COMPLETE"):
            from click.shell_completion import shell_complete

            return shell_complete(tetherdb, {}, "tetherdb", "_TETHERDB_COMPLETE", completion)
        logging.getLogger("TetherDB").addHandler(Notes())
        with tetherdb.make_context("tetherdb", given) as context:
            code = tetherdb.invoke(context)
        output.finish()
        return int(code or 0)
    except click.exceptions.Exit as ended:
        output.finish()
        return ended.exit_code
    except BrokenPipeError:
        # As other programs end: whoever reads, such as `head`, has had enough.
        output.abandon()
        return Code.BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        text, code = explain(error)
        output.note(one_line(text))
        settings = context.obj if context else None
        if isinstance(settings, Settings) and settings.verbose:
            import traceback

            traceback.print_exc()
        return code


class Notes(logging.Handler):
    """TetherDB's log, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        output.note(f"{record.levelname.lower()}: {record.getMessage()}")
