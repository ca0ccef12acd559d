"""Errors as one line with the next step, and the exit code that says which kind it was."""

from __future__ import annotations

import contextlib
import re
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from TetherDB import BackendError, DeliveryError, FlushTimeout, QueueFull, TetherDBError
from TetherDB.cli import NEEDED

if TYPE_CHECKING:
    from collections.abc import Generator


class Code(IntEnum):
    """Exit codes. Documented in docs/cli.md."""

    DONE = 0
    # The key is not there, or two stores differ.
    NOT_FOUND = 1
    # The arguments, the configuration, or what was to be imported.
    WRONG_INPUT = 2
    # The backend did not do it.
    FAILED = 3
    # A bug of TetherDB; EX_SOFTWARE of sysexits.h.
    BUG = 70
    # As shells have it: 128 and the number of the signal.
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Stop(Exception):
    """Ends the command: the text says what is wrong and what to do."""

    def __init__(self, text: str, code: Code = Code.WRONG_INPUT) -> None:
        """text: one or more lines. code: how the process ends."""
        super().__init__(text)
        self.code = code


@contextlib.contextmanager
def refusals() -> Generator[None]:
    """Around a verb that is given what users gave: what it refuses is their mistake, and no bug of this code.

    Keep it around the verb alone. Anywhere else a ValueError or TypeError is a bug.
    """
    try:
        yield
    except TetherDBError:
        raise
    except (ValueError, TypeError) as refused:
        raise Stop(str(refused)) from refused


def explain(error: BaseException) -> tuple[str, Code]:
    """What to print for an error, and how to end."""
    match error:
        case Stop():
            return str(error), error.code
        case click.NoSuchOption():
            command = error.ctx.command_path if error.ctx else "tetherdb"
            like = f" Did you mean '{error.possibilities[0]}'?" if error.possibilities else ""
            text = f"No such option '{error.option_name}'.{like} See: {command} --help."
            return f"{text} (A key or value that begins with - stands behind --)", Code.WRONG_INPUT
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "tetherdb"
            return f"{_sentence(error.format_message())} See: {command} --help", Code.WRONG_INPUT
        case click.ClickException():
            return error.format_message(), Code.WRONG_INPUT
        case KeyboardInterrupt() | click.Abort():
            return "interrupted", Code.INTERRUPTED
        case BackendError() | DeliveryError() | FlushTimeout() | QueueFull():
            return str(error), Code.FAILED
        case TetherDBError():
            return str(error), Code.WRONG_INPUT
        case ModuleNotFoundError() if (error.name or "").partition(".")[0] in ("rich", "textual"):
            return NEEDED.format(name=(error.name or "").partition(".")[0]), Code.WRONG_INPUT
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            return f"{named}{error.strerror or error}", Code.FAILED
        case _:
            text = f"{type(error).__name__}: {str(error).rstrip('.')}. This is a bug of TetherDB: "
            return f"{text}please report it; --verbose shows where", Code.BUG


def one_line(text: str) -> str:
    """A text that may have several lines, such as the problems of a configuration, as one."""
    return re.sub(r"\s*\n\s*", "; ", text.strip())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."
