"""Whether backends answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from TetherDB import TetherDBError
from TetherDB.cli import output
from TetherDB.cli.failing import Code, one_line
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from TetherDB import DB


@click.command("ping")
@click.option("--all", "is_all", is_flag=True, help="Every backend that is configured.")
@options(leave_out=("bucket",))
def ping_command(settings: Settings, is_all: bool) -> Code:
    """Say how long a round trip to the backend takes.

    Ends with 3 if it does not answer, or refuses.
    """
    with settings.open() as db:
        if not is_all:
            _answered(settings, db.ping(settings.backend))
            return Code.DONE
        is_well = True
        for backend in settings.backends:
            seconds, error = ping(db, backend)
            if seconds is not None:
                _answered(replace(settings, backend=backend), seconds)
                continue
            is_well = False
            if settings.json:
                output.as_json({"backend": backend, "error": error})
            else:
                output.note(error or "")
    return Code.DONE if is_well else Code.FAILED


def ping(db: DB, backend: str) -> tuple[float | None, str | None]:
    """The seconds of a round trip, or what is wrong."""
    try:
        return db.ping(backend), None
    except TetherDBError as error:
        return None, one_line(str(error))


def _answered(settings: Settings, seconds: float) -> None:
    if settings.json:
        output.as_json({"backend": settings.backend, "seconds": seconds})
    else:
        output.line(f"{settings.backend}: {seconds * 1000:.2f} ms")
