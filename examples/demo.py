"""The main job, end to end: ``make demo``.

First every Python block of README.md runs word for word. Then the source files of the running Python's
standard library are catalogued: one record for each file, queued through ``@db.tether(wait=False)``,
flushed, listed, read back, compared with the files on disk, and found again by a second process that does
not know TetherDB. Exits with 1 and says why as soon as anything differs.
"""

from __future__ import annotations

import argparse
import ast
import dbm
import hashlib
import importlib.util
import itertools
import json
import platform
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from TetherDB import DB, __version__

HERE = Path(__file__).resolve().parent
BUCKET = "stdlib"
OTHER_BUCKET = "about"
PAGE = 500

Record = dict[str, Any]


class Differs(Exception):
    """Something is not as it should be; the text says what."""


def check(holds: bool, otherwise: str) -> None:
    """Go on if ``holds``; else end the demo."""
    if not holds:
        raise Differs(otherwise)


class Step:
    """Prints what is done, then how much of it and how fast."""

    def __init__(self, title: str) -> None:
        """Say what is done now."""
        print(f"\n{title}", flush=True)
        self._begun = time.perf_counter()

    def done(self, count: int, what: str) -> None:
        """Say how many there were, and the rate."""
        took = max(time.perf_counter() - self._begun, 1e-9)
        print(f"  {count:,} {what} in {took:.2f} s: {count / took:,.0f} per second", flush=True)


def run_readme() -> None:
    """Run the README's own examples."""
    print("README.md, its Python blocks word for word", flush=True)
    ran = subprocess.run([sys.executable, HERE / "code_blocks.py", HERE.parent / "README.md"])
    check(ran.returncode == 0, "an example of README.md does not do what it says")


def source_files(folder: Path) -> list[Path]:
    """The source files of the folder, without what others installed into it."""
    found = (path for path in folder.rglob("*.py") if path.is_file())
    foreign = {"site-packages", "dist-packages"}
    return sorted(path for path in found if not foreign & set(path.relative_to(folder).parts))


def describe(path: Path, name: str) -> Record:
    """The record of one source file."""
    source = path.read_bytes()
    record: Record = {
        "path": name,
        "bytes": len(source),
        "lines": len(source.splitlines()),
        "sha256": hashlib.sha256(source).hexdigest(),
    }
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # The library's own tests contain files that no Python can read.
        return record | {"unreadable": type(error).__name__, "classes": [], "functions": []}
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return record | {
        "classes": [node.name for node in body if isinstance(node, ast.ClassDef)],
        "functions": [node.name for node in body if isinstance(node, functions)],
    }


def store(db: DB, records: dict[str, Record]) -> None:
    """Queue all records through a tethered function, and flush."""

    @db.tether(bucket=BUCKET, wait=False)
    def catalogue(name: str) -> Record:
        return {"key": name, "value": records[name]}

    step = Step("Queueing through @db.tether(wait=False), then flushing")
    refused = [name for name in records if not catalogue(name)]
    check(not refused, f"the queue refused {refused[:3]}")
    step.done(len(records), "records queued")
    db.flush(timeout=60)
    stats = db.stats()["local"]
    step.done(
        len(records), f"records on disk, in {stats['batches']:,} batches, counted from the first call on"
    )
    check(
        stats["accepted"] == stats["delivered"] == len(records) and stats["pending"] == 0,
        f"the queue's accounts do not add up: {stats}",
    )


def pages(db: DB) -> Iterator[tuple[str, str]]:
    """Keys and stored texts of the bucket, page by page."""
    marker = None
    while True:
        keys = db.list_keys(PAGE, marker, bucket=BUCKET)
        texts = db.list_messages(PAGE, marker, bucket=BUCKET)
        check(keys["next_marker"] == texts["next_marker"], "keys and messages are paged differently")
        check(len(keys["keys"]) <= PAGE, f"a page holds {len(keys['keys'])} keys instead of {PAGE}")
        yield from zip(keys["keys"], texts["messages"], strict=True)
        marker = keys["next_marker"]
        if marker is None:
            return


def list_again(db: DB, records: dict[str, Record]) -> None:
    """List the bucket in pages and compare every key and text."""
    step = Step(f"Listing the bucket {BUCKET!r}, {PAGE} to a page")
    listed = list(pages(db))
    step.done(len(listed), "records listed")
    check([key for key, _ in listed] == sorted(records), "the list has other keys, or another order")
    for key, text in listed:
        check(text == json.dumps(records[key]), f"the stored text of {key} is not what json.dumps gives")
    everything = db.list_keys(page_size=len(records) + 2)["keys"]
    check(len(everything) == len(records) + 1, "the list of all buckets is wrong")


def read_again(db: DB, records: dict[str, Record], folder: Path) -> None:
    """Read every record, one by one and in bulk, and compare it with the file on disk."""
    step = Step("Reading back, one by one")
    for name, record in records.items():
        found = db.read_message(name, bucket=BUCKET)
        check(found == record, f"{name} reads as {found!r} instead of {record!r}")
    step.done(len(records), "records read")

    step = Step(f"Reading back, {PAGE} at a time, and comparing with the files on disk")
    names = iter(records)
    compared = 0
    while some := list(itertools.islice(names, PAGE)):
        found_records = db.read_messages(some, bucket=BUCKET)
        check(found_records.keys() == set(some), "a bulk read gives other records than those asked for")
        for name, stored in found_records.items():
            source = (folder / name).read_bytes()
            expected = records[name] | {"bytes": len(source), "sha256": hashlib.sha256(source).hexdigest()}
            check(stored == expected, f"{name}: the stored record does not fit the file on disk")
            compared += 1
    step.done(compared, "records compared with their files")


def find_from_second_process(database: Path, records: dict[str, Record]) -> None:
    """Let a process that does not use TetherDB read the file."""
    step = Step("Finding the records again from a second process")
    command = [sys.executable, str(Path(__file__).resolve()), "--second-process", str(database)]
    answer = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    check(answer.returncode == 0, f"the second process failed:\n{answer.stderr}")
    found: dict[str, str] = json.loads(answer.stdout)
    how = found.pop("how")
    step.done(len(found) - 1, f"records found through {how}")
    expected = {f"{BUCKET}:{name}": json.dumps(record) for name, record in records.items()}
    expected[f"{OTHER_BUCKET}:python"] = platform.python_version()
    check(found == expected, "the second process found other records")


def second_process(database: str) -> None:
    """Print every record of the file as JSON, read with the standard library alone."""
    if importlib.util.find_spec("dbm.sqlite3"):
        how = f"dbm, which takes the file for {dbm.whichdb(database)}"
        with dbm.open(database, "r") as store:
            keys = [key for key in store.keys() if isinstance(key, bytes)]  # noqa: SIM118 (it is no dict)
            rows = [(key, store[key]) for key in keys]
    else:
        how = "sqlite3, since this Python has no dbm.sqlite3"
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT key, value FROM Dict").fetchall()
    found = {key.decode(): value.decode() for key, value in rows}
    json.dump({"how": how} | found, sys.stdout)


def run(folder: Path) -> None:
    """The whole demo; raises :class:`Differs`."""
    begun = time.perf_counter()
    print(f"TetherDB {__version__}, Python {platform.python_version()} on {platform.system()}")
    run_readme()

    step = Step("Describing the source files of Python's standard library")
    files = source_files(folder)
    check(bool(files), f"there are no source files in {folder}")
    records: dict[str, Record] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the parser thinks of the files is not our subject
        for path in files:
            name = path.relative_to(folder).as_posix()
            records[name] = describe(path, name)
    step.done(len(records), "files read, hashed and parsed")

    with tempfile.TemporaryDirectory(prefix="tetherdb-demo-") as temporary:
        database = Path(temporary) / "catalogue"
        with DB({"local": {"filepath": str(database)}}) as db:
            db.write_message("python", platform.python_version(), bucket=OTHER_BUCKET)
            store(db, records)
            list_again(db, records)
            read_again(db, records, folder)
            find_from_second_process(database, records)
        leftovers = sorted(path.name for path in Path(temporary).iterdir() if path != database)
        check(not leftovers, f"closing left files beside the database: {leftovers}")
        size = database.stat().st_size
    took = time.perf_counter() - begun
    print(f"\nAll as documented: {len(records):,} records, {size:,} bytes on disk, {took:.1f} s.")


def main() -> int:
    """Run the demo, or be its second process."""
    parser = argparse.ArgumentParser(description="TetherDB's main job, end to end.")
    parser.add_argument("--folder", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--second-process", metavar="DATABASE")
    arguments = parser.parse_args()
    if arguments.second_process is not None:
        second_process(arguments.second_process)
        return 0
    try:
        run(arguments.folder.resolve())
    except Differs as difference:
        print(f"\nThe demo failed: {difference}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
