"""`stats`: what a fresh process can know of the backends, the local file and the journal."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from TetherDB._tetherdb import inspect_config, look_into_journal, records
from TetherDB.cli import output, pages
from TetherDB.cli.failing import Code
from TetherDB.cli.settings import Settings, options
from TetherDB.cli.status import ping

if TYPE_CHECKING:
    from TetherDB import DB


@click.command("stats")
@click.option(
    "--count", "counts", is_flag=True, help="Count the records of each bucket, by reading all keys."
)
@options(leave_out=("bucket",))
def stats_command(settings: Settings, counts: bool) -> Code:
    """Say what is stored and queued, and whether backends answer.

    Of all backends that are configured, or the one that --backend names. Ends with
    3 if one does not answer.
    """
    found: dict[str, Any] = {"backends": {}}
    with settings.open() as db:
        chosen = [settings.backend] if "backend" in settings.given else settings.backends
        for backend in chosen:
            found["backends"][backend] = _of_backend(db, backend, counts)
    if "local" in chosen:
        found["local_file"] = _of_file(settings.local_file)
    found["journal"] = _of_journal(inspect_config(settings.configuration(journal=True))["journal"])
    if settings.json:
        output.as_json(found)
    else:
        _print(found)
    is_well = all(backend["error"] is None for backend in found["backends"].values())
    return Code.DONE if is_well else Code.FAILED


def _of_backend(db: DB, backend: str, counts: bool) -> dict[str, Any]:
    seconds, error = ping(db, backend)
    found: dict[str, Any] = {"seconds": seconds, "error": error}
    if counts and error is None:
        buckets: Counter[str] = Counter()
        for keys in pages.of_keys(records(db, "", backend)):
            # The engine's keys are "BUCKET:KEY"; which colon is meant, only the writer knows.
            buckets.update(
                bucket if colon else "" for bucket, colon, _ in (key.partition(":") for key in keys)
            )
        found["records"] = buckets.total()
        found["buckets"] = dict(sorted(buckets.items()))
    return found


def _of_file(path: Path) -> dict[str, Any]:
    """The bytes of the file, with those that SQLite keeps beside it."""
    sizes = [size for end in ("", "-wal") if (size := _size(Path(f"{path}{end}"))) is not None]
    return {"path": os.fspath(path), "bytes": sum(sizes) if sizes else None}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _of_journal(path: Path | None) -> dict[str, Any] | None:
    """How many messages wait in it, and how many were given up."""
    if path is None:
        return None
    found: dict[str, Any] = {"path": os.fspath(path), "bytes": _size(path)}
    if found["bytes"] is None:
        return found
    look = look_into_journal(path)
    pending, given_up = (
        Counter(backend for _, _, backend, error in look["messages"] if (error is not None) == is_given_up)
        for is_given_up in (False, True)
    )
    return found | {"pending": dict(pending), "given_up": dict(given_up), "damaged_bytes": look["damaged"]}


def _print(found: dict[str, Any]) -> None:
    """For people: one line a fact."""
    for backend, of_backend in found["backends"].items():
        if of_backend["error"] is None:
            output.line(f"{backend}: answers in {of_backend['seconds'] * 1000:.2f} ms")
        else:
            output.line(f"{backend}: {output.printable(of_backend['error'])}")
        if "records" in of_backend:
            output.line(f"  records: {of_backend['records']}")
            for bucket, count in of_backend["buckets"].items():
                output.line(f"    {output.printable(bucket) if bucket else '(no bucket)'}: {count}")
    if file := found.get("local_file"):
        output.line(f"local file: {output.printable(file['path'])}, {_bytes(file['bytes'])}")
    if (journal := found["journal"]) is None:
        return
    output.line(f"journal: {output.printable(journal['path'])}, {_bytes(journal['bytes'])}")
    for name, words in (("pending", "waiting"), ("given_up", "given up")):
        for backend, count in journal.get(name, {}).items():
            output.line(f"  {words} for {backend}: {count}")
    if journal.get("damaged_bytes"):
        output.line(f"  damaged bytes: {journal['damaged_bytes']}")


def _bytes(size: int | None) -> str:
    return "does not exist yet" if size is None else f"{size} bytes"
