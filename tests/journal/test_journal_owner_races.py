"""Several who want the same journal at the same moment: one has it, and no message is lost."""

from __future__ import annotations

import contextlib
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from at_once import in_threads
from process.scripts import count_writes, writes
from TetherDB import DB, ConfigError

from .support import DEAD, EMPTY, PATIENCE, program, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_of_threads_that_open_it_at_once_one_has_it(journal: Path, open_journal: Callable[..., DB]) -> None:
    for _ in range(20):
        opened: list[DB] = []

        def try_it(opened: list[DB] = opened) -> None:
            with contextlib.suppress(ConfigError):
                opened.append(open_journal())

        in_threads(*[try_it] * 6)
        [db] = opened
        db.write_queue_message("k", "v")
        db.stop()
        assert journal.stat().st_size == EMPTY
        journal.unlink()


def test_processes_that_take_turns_lose_nothing(tmp_path: Path, path: Path) -> None:
    count_writes(path)
    # Some of what is queued is left for whoever has it next.
    body = """
        logging.disable()
        name = sys.argv[1]
        print("ready", flush=True)
        sys.stdin.readline()
        turn = 0
        while turn < 15:
            try:
                db = open_db()
            except ConfigError as error:
                assert "uses it" in str(error), error
                time.sleep(0.001)
                continue
            db.write_queue_message(f"{name}-{turn}", "v")
            turn += 1
            try:
                db.stop(timeout=0)
            except FlushTimeout:
                pass
    """
    with ExitStack() as stack:
        started = [stack.enter_context(program(tmp_path, body, f"{number}")) for number in range(4)]
        for each in started:
            each.expect("ready")
        for each in started:
            each.tell()
        for each in started:
            each.finish().quiet()
    with DB({"local": {"filepath": f"{path}"}, "queue_batch": {"journal": f"{tmp_path / 'journal'}"}}):
        pass
    expected = {f"{number}-{turn}" for number in range(4) for turn in range(15)}
    # What was on its way when `stop` left it is sent again: at least once.
    assert set(writes(path)) == expected


def test_nobody_gets_in_while_it_is_rewritten(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB]
) -> None:
    (tmp_path / "others").mkdir()
    body = """
        print("ready", flush=True)
        tries = 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            tries += 1
            try:
                open_db(journal=sys.argv[1])
            except ConfigError as error:
                assert "uses it" in str(error), error
            else:
                raise AssertionError("it has two owners")
        print("tried", tries, flush=True)
    """
    db = open_journal(
        etcd=DEAD, queue_batch={"timeout": 0, "journal_sync": "never", "max_pending_bytes": 1 << 21}
    )
    db.write_queue_message("parked", "v", backend="etcd")
    files = {journal.stat().st_ino}
    with program(tmp_path / "others", body, f"{journal}") as other:
        other.expect("ready")
        number = 0
        while len(files) < 6 and number < 2000:
            number += 1
            db.write_queue_message(f"{number % 10}", "x" * 100_000)
            files.add(journal.stat().st_ino)
        tries = int(other.expect("tried"))
        other.finish().quiet()
    assert len(files) > 1, "it was not rewritten"
    assert tries > 20


def test_a_rewriting_that_a_kill_has_cut_off_is_begun_anew(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, "db = open_db()\ndb.write_queue_message('k', 'v')\n")
    left = journal.with_name("journal.rewritten")
    left.write_bytes(journal.read_bytes() + b"garbage" * 1000)
    db = open_journal(etcd=DEAD, queue_batch={"timeout": 0, "journal_sync": "never"})
    db.flush(timeout=30)
    assert db.read_message("k") == "v"
    db.write_queue_message("parked", "v", backend="etcd")
    before, number = journal.stat().st_ino, 0
    deadline = time.monotonic() + PATIENCE
    while journal.stat().st_ino == before:
        number += 1
        assert time.monotonic() < deadline, "it was not rewritten"
        db.write_queue_message(f"{number % 10}", "x" * 100_000)
    assert b"garbage" not in journal.read_bytes()
    assert not left.exists()
