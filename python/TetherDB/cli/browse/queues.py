"""How the queue and the journal are doing, as lines of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from TetherDB import TetherDBError
from TetherDB._tetherdb import look_into_journal
from TetherDB.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from TetherDB.types import Stats

ACCOUNTS = ("accepted", "pending", "delivered", "failed", "retried")


@dataclass(frozen=True)
class JournalLook:
    """What a journal holds."""

    pending: int = 0
    given_up: int = 0
    owner: int | None = None
    last_error: str | None = None
    damaged: int = 0
    problem: str | None = None


class JournalWatch:
    """Looks into a journal again only where the file has changed: it may be large."""

    def __init__(self, path: Path) -> None:
        """path: of the file, which need not be there."""
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._last = JournalLook()

    def look(self) -> JournalLook:
        """What it holds now, whoever owns it."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen = None
            return JournalLook(problem="no file: no program has queued anything yet")
        except OSError as error:
            return JournalLook(problem=error.strerror or str(error))
        seen = (status.st_mtime_ns, status.st_size)
        if seen == self._seen:
            return self._last
        try:
            found = look_into_journal(self.path)
        except (TetherDBError, OSError, ValueError) as error:
            return JournalLook(problem=printable(str(error)))
        errors = [error for *_, error in found["messages"] if error is not None]
        self._last = JournalLook(
            pending=len(found["messages"]) - len(errors),
            given_up=len(errors),
            owner=found["owner"],
            last_error=printable(errors[-1]) if errors else None,
            damaged=found["damaged"],
        )
        self._seen = seen
        return self._last


def queue_rows(stats: Mapping[str, Stats]) -> list[tuple[str, list[int], str]]:
    """For each backend its accounts, and its last error."""
    return [
        (
            backend,
            [
                accounts["accepted"],
                accounts["pending"],
                accounts["delivered"],
                accounts["failed"],
                accounts["retried"],
            ],
            printable(accounts["last_error"] or ""),
        )
        for backend, accounts in stats.items()
    ]


def journal_line(path: Path, look: JournalLook) -> str:
    """A journal in words."""
    name = printable(path.name)
    if look.problem:
        return f"{name}: {look.problem}"
    parts = [f"{look.pending:,} pending", f"{look.given_up:,} given up"]
    if look.owner is not None:
        parts.append(f"last opened by process {look.owner}")
    if look.damaged:
        parts.append(f"{look.damaged:,} bytes damaged")
    if look.last_error:
        parts.append(look.last_error)
    return f"{name}: {', '.join(parts)}"
