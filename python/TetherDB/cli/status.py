"""Whether backends answer, and what they hold."""

from __future__ import annotations

import click

from TetherDB.cli import output
from TetherDB.cli.settings import Settings, options


@click.command("ping")
@options(leave_out=("bucket",))
def ping_command(settings: Settings) -> None:
    """Say how long a round trip to the backend takes.

    Ends with 3 if it does not answer, or refuses.
    """
    with settings.open() as db:
        seconds = db.ping(settings.backend)
    if settings.json:
        output.as_json({"backend": settings.backend, "seconds": seconds})
    else:
        output.line(f"{settings.backend}: {seconds * 1000:.2f} ms")
