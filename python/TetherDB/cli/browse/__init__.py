"""``tetherdb browse``: what is stored, in the terminal.

- Without textual: :mod:`places`, :mod:`listing`, :mod:`records`, :mod:`pretty`, :mod:`queues`.
- :mod:`calls`: the engine's verbs beside the interface, which they must not block.
- :mod:`rows`: a list of any length; :mod:`panes`: the window; :mod:`screens`: what opens over it.
- :mod:`app`: what keys do; :mod:`editing`: those that change something.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

from TetherDB._tetherdb import inspect_config
from TetherDB._tetherdb import records as records_of
from TetherDB.cli import output
from TetherDB.cli.browse.queues import JournalWatch
from TetherDB.cli.failing import Stop
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_A_TERMINAL = (
    "browse needs a terminal to draw in, for its input and its output. "
    "In a script use: tetherdb list, or tetherdb get KEY"
)
NEEDED = 'browse needs the package "{name}", which is not installed. Run: pip install "tetherdb[cli]"'


@click.command("browse")
@click.option("--write", is_flag=True, help="Allow keys to be edited, made and deleted; each asks first.")
@options(leave_out=("json", "quiet"))
def browse_command(settings: Settings, write: bool) -> int:
    """Look through the records, in the terminal.

    Changes nothing, unless --write is given. Press ? for its keys.
    """
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stdout)):
        raise Stop(NOT_A_TERMINAL)
    try:
        from TetherDB.cli.browse.app import Browser
    except ModuleNotFoundError as missing:
        raise Stop(NEEDED.format(name=missing.name)) from None
    journal = inspect_config(settings.configuration(journal=True))["journal"]
    # No `with`: leaving it would wait for a request that hangs, and nothing is queued.
    db = settings.open()
    # One that is not configured is told here, not shown as another one.
    records_of(db, settings.bucket, settings.backend)
    browser = Browser(
        db,
        settings.backends,
        backend=settings.backend,
        bucket=settings.bucket,
        journal=JournalWatch(Path(journal)) if journal else None,
        write=write,
        title=str(settings.config_file or settings.local_file),
    )
    with _notes_held_back():
        browser.run()
    if browser.failure is not None:
        raise browser.failure
    return browser.return_code or 0


def _is_terminal(stream: object) -> bool:
    """Whether a person is at this stream, which is None where the program was started without it."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


class _notes_held_back:  # noqa: N801 -- used as `with`
    """While the terminal is drawn on, TetherDB's log is kept; the latest lines are printed afterwards."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("TetherDB")
        self._handlers, self._kept = self._logger.handlers, _Kept()
        self._logger.handlers = [self._kept]

    def __exit__(self, *_: object) -> None:
        self._logger.handlers = self._handlers
        for text in self._kept:
            output.note(text)


class _Kept(logging.Handler):
    """The latest lines."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=1000)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.levelname.lower()}: {record.getMessage()}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)
