"""`delete`: keys by name, or all of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from TetherDB._tetherdb import records
from TetherDB.cli import output, pages
from TetherDB.cli.failing import Code, Stop, refusals
from TetherDB.cli.given import KEY
from TetherDB.cli.reading import missing_text
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from TetherDB import DB
    from TetherDB._tetherdb import Records


@click.command("delete")
@click.argument("keys", metavar="[KEY]...", nargs=-1, type=KEY)
@click.option("--all", "is_all", is_flag=True, help="Delete all records of the bucket.")
@click.option("--everything", is_flag=True, help="With --all and no bucket: all records of the backend.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Delete nothing; say what would be deleted.")
@click.option("--yes", "is_sure", is_flag=True, help="With --all: do not ask.")
@options()
def delete_command(
    settings: Settings, keys: Sequence[str], is_all: bool, everything: bool, is_dry: bool, is_sure: bool
) -> Code:
    """Delete keys, or all records of a bucket.

    Ends with 1 if a key did not exist; the others are deleted.
    """
    if is_all and keys:
        raise Stop("give either keys or --all")
    if everything and (settings.bucket or not is_all):
        raise Stop("--everything is for --all without a bucket")
    if not is_all and not keys:
        raise Stop("no key is given. Give keys, or --all with a bucket")
    if is_all and not (settings.bucket or everything):
        raise Stop(
            "--all needs a bucket: give --bucket NAME, or --everything to delete all records of the backend"
        )
    with settings.open() as db:
        found = records(db, settings.bucket, settings.backend)
        if not is_all:
            return _named(settings, db, found, keys, is_dry)
        what = f"all records of {settings.place}"
        if is_dry:
            count = sum(map(len, pages.of_keys(found)))
            _tell(settings, count, f"{_records(count)} would be deleted from {settings.place}")
            return Code.DONE
        if not is_sure:
            confirm(f"Delete {what}?")
        _all(settings, found)
    return Code.DONE


def confirm(question: str) -> None:
    """Asks at a terminal. Raises Stop where nobody is there, or the answer is no."""
    if not output.is_asked():
        raise Stop(
            f"{question} Nobody is here to ask: give --yes to do it, or --dry-run to see what it would do"
        )
    if not click.confirm(output.printable(question), err=True):
        raise Stop("nothing was done", Code.INTERRUPTED)


def _named(settings: Settings, db: DB, found: Records, keys: Sequence[str], is_dry: bool) -> Code:
    missing = 0
    # One by one: only so it is known which of them existed.
    for key in dict.fromkeys(keys):
        with refusals():
            if is_dry:
                existed = found.read_texts([key])[0] is not None
            else:
                existed = db.delete_message(key, settings.bucket, settings.backend)
        if settings.json:
            output.as_json({"key": key, "would_delete" if is_dry else "deleted": existed})
        elif existed and is_dry:
            output.line(f"would delete {output.printable(key)}")
        if not existed:
            missing += 1
            output.note(missing_text(settings, key))
    return Code.NOT_FOUND if missing else Code.DONE


def _all(settings: Settings, found: Records) -> None:
    count = 0
    try:
        for keys in pages.of_keys(found):
            count += found.delete(keys)
    except BaseException:
        # Whatever ended it: what is gone is gone, and so may be what was under way.
        output.note(f"at least {_records(count)} of {settings.place} deleted, not all")
        raise
    _tell(settings, count, f"{_records(count)} of {settings.place} deleted")


def _tell(settings: Settings, count: int, text: str) -> None:
    if settings.json:
        output.as_json({"records": count})
    else:
        output.line(output.printable(text))


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
