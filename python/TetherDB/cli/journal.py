"""`journal`: the messages that a journal holds, beside the process that owns it or without one."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from TetherDB import DB, DeliveryError, FlushTimeout, TetherDBError
from TetherDB._tetherdb import drop_failed_from_journal, inspect_config, look_into_journal
from TetherDB.cli import output
from TetherDB.cli.deleting import confirm
from TetherDB.cli.failing import Code, Stop, one_line
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from collections.abc import Callable

_C = TypeVar("_C", bound="Callable[..., Any]")
# Of a message: its key, its text, its backend, and why it was given up.
_Message = tuple[str, str, str, str | None]


@click.group("journal")
def journal_command() -> None:
    """Look after the messages that a journal holds."""


def _journal_option(command: _C) -> _C:
    return click.option(
        "--journal",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The journal; else the one of the configuration.",
    )(command)


@journal_command.command("show")
@click.option("--values", "has_values", is_flag=True, help="The values, too.")
@_journal_option
@options(leave_out=("bucket",))
def show_command(settings: Settings, journal: Path | None, has_values: bool) -> None:
    """List the messages that wait or were given up.

    Nothing is sent or changed, and the journal may be in use. With --backend, those
    of one backend.
    """
    path = _path(settings, journal)
    look = look_into_journal(path)
    messages = _of_backend(settings, look["messages"])
    if settings.json:
        for key, text, backend, error in messages:
            output.as_json({"key": key, "value": output.value(text), "backend": backend, "error": error})
    elif messages:
        columns = ["key", "backend", "state", *(["value"] if has_values else [])]
        output.table(
            columns,
            (
                [key, backend, "waiting" if error is None else f"given up: {error}"] + [text] * has_values
                for key, text, backend, error in messages
            ),
        )
    if settings.quiet:
        return
    output.note(f"{path}: {_counted(messages)}{_owner(look['owner'])}")
    if look["damaged"]:
        output.note(f"{path}: {look['damaged']} bytes are damaged, and were passed over")


@journal_command.command("retry")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to try.",
)
@_journal_option
@options(leave_out=("bucket",))
def retry_command(settings: Settings, journal: Path | None, timeout: float) -> Code:
    """Send what waits, and again what was given up.

    With --backend, only what that one gave up is sent again. Ends with 3 if
    something is left. The journal must not be in use.
    """
    if math.isnan(timeout):
        raise Stop("--timeout is no number of seconds")
    path = _path(settings, journal)
    before = len(look_into_journal(path)["messages"])
    configuration = settings.configuration(journal=True)
    configuration["queue_batch"] = {**configuration.get("queue_batch", {}), "journal": os.fspath(path)}
    ended: BaseException | None = None
    db: DB | None = None
    try:
        # It sends at once what waits.
        db = DB(configuration)
        db.retry_failed(settings.backend if "backend" in settings.given else None)
        db.flush(timeout)
    except (FlushTimeout, DeliveryError, KeyboardInterrupt) as error:
        # What is given up, or left, the log has told.
        ended = error
    finally:
        # It ends at once, and what is not delivered stays in the journal.
        if db is not None:
            with contextlib.suppress(TetherDBError):
                db.stop(timeout=0)
    left = look_into_journal(path)["messages"]
    delivered = max(0, before - len(left))
    if settings.json:
        why = None if ended is None else one_line(str(ended) or "interrupted")
        output.as_json({"delivered": delivered, "left": len(left), "error": why})
    else:
        output.line(f"delivered: {delivered}")
        output.line(f"left: {_counted(left)}")
    if isinstance(ended, KeyboardInterrupt):
        output.finish()
        raise ended
    return Code.FAILED if left else Code.DONE


@journal_command.command("drop")
@click.option("--dry-run", "is_dry", is_flag=True, help="Drop nothing; say how many it would be.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@_journal_option
@options(leave_out=("bucket",))
def drop_command(settings: Settings, journal: Path | None, is_dry: bool, is_sure: bool) -> None:
    """Drop the messages that were given up; what waits stays.

    With --backend, those of one backend. The journal must not be in use.
    """
    path = _path(settings, journal)
    given_up = [
        message
        for message in _of_backend(settings, look_into_journal(path)["messages"])
        if message[3] is not None
    ]
    if is_dry:
        _tell(settings, len(given_up), "would be dropped")
        return
    if given_up and not is_sure:
        confirm(f"Drop what was given up from {path}: {_messages(len(given_up))}?")
    dropped = drop_failed_from_journal(path, settings.backend if "backend" in settings.given else None)
    _tell(settings, dropped, "dropped")


def _path(settings: Settings, journal: Path | None) -> Path:
    """Which journal is meant."""
    found = journal or inspect_config(settings.configuration(journal=True))["journal"]
    if found is None:
        raise Stop(
            "there is no journal in the configuration. Give --journal FILE, or --config FILE that has one"
        )
    return found


def _of_backend(settings: Settings, messages: list[_Message]) -> list[_Message]:
    if "backend" not in settings.given:
        return messages
    return [message for message in messages if message[2] == settings.backend]


def _counted(messages: list[_Message]) -> str:
    given_up = sum(error is not None for *_, error in messages)
    if not messages:
        return "nothing"
    by_backend = Counter(backend for _, _, backend, _ in messages)
    where = ", ".join(f"{backend} {count}" for backend, count in by_backend.items())
    return f"{_messages(len(messages))} ({where})" + (f", of which {given_up} given up" if given_up else "")


def _owner(process: int | None) -> str:
    """Whether the process that opened it last still runs."""
    if process is None:
        return ""
    if os.name == "nt":
        # There the question would be a Ctrl-C.
        return f". Process {process} opened it last"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return f". Process {process}, which opened it last, has ended"
    except OSError:
        # It is somebody else's, so it runs.
        pass
    return f". Process {process}, which opened it last, runs"


def _tell(settings: Settings, count: int, what: str) -> None:
    if settings.json:
        output.as_json({"messages": count})
    else:
        output.line(f"{_messages(count)} {what}")


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
