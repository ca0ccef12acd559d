"""What was given up stays in the journal, across processes, until it is sent again or dropped."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError

from .support import EMPTY, HOUR, PATIENCE, adds_up, run_killed, run_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Sql = Callable[..., list[tuple[Any, ...]]]

pytestmark = pytest.mark.usefixtures("refuse_bad")

# The file refuses what is "bad"; the others are delivered. How it ends is the argument.
PROGRAM = """
    logging.disable()
    db = open_db()
    db.write_queue_message("1", "bad")
    db.write_queue_message("k", "fine")
    db.write_queue_message("2", {"bad": "é"}, bucket="events")
    try:
        db.flush()
    except DeliveryError as error:
        assert len(error.failed) == 2, error.failed
    exec(sys.argv[1])
"""
ENDS = {
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "stop": "db.stop()",
    "end": "",
    "exit": "sys.exit()",
    "os-exit": "os._exit(0)",
}


def allow(sql: Sql) -> None:
    """The fault is mended."""
    sql("DROP TRIGGER refuse")


def listed(db: DB) -> list[tuple[str, object]]:
    """What is kept, after a look at the rest of it."""
    kept = db.failed_messages()
    for _, _, backend, error in kept:
        assert backend == "local"
        assert isinstance(error, str)
        assert "refused by the trigger" in error
    return [message[:2] for message in kept]


@pytest.mark.parametrize("end", ENDS)
def test_the_next_process_lists_it_and_says_so(
    tmp_path: Path,
    open_journal: Callable[..., DB],
    lines: Callable[[str], list[str]],
    eventually: Callable[[Callable[[], object]], None],
    end: str,
) -> None:
    run_whole(tmp_path, PROGRAM, ENDS[end])
    db = open_journal()
    assert listed(db) == [("1", "bad"), ("events:2", {"bad": "é"})]
    eventually(lambda: lines("WARNING"))
    [line] = lines("WARNING")
    assert line.startswith("2 message(s) given up earlier are in the journal [local]"), line
    assert "retry_failed()" in line
    adds_up(db)
    assert db.stats()["local"]["failed"] == 2
    # Whoever gave it up has reported it.
    db.flush()
    db.stop()
    assert listed(db) == [("1", "bad"), ("events:2", {"bad": "é"})]
    assert db.failed_messages("local") == db.failed_messages()


def test_the_next_process_finds_it_to_the_letter(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB]
) -> None:
    body = """
        logging.disable()
        db = open_db()
        for key, value in [("1", "bad"), ("é ☃", {"bad": [1, None]}), ("2", "bad" * 1000)]:
            db.write_queue_message(key, value, "bucket")
        try:
            db.flush()
        except DeliveryError: pass
        with open("kept", "w") as file:
            json.dump(db.failed_messages(), file)
    """
    run_killed(tmp_path, body)
    first = [tuple(message) for message in json.loads((tmp_path / "kept").read_text())]
    assert len(first) == 3
    db = open_journal(queue_batch={"journal_sync": "never"})
    assert db.failed_messages() == first
    # Also once the file has been rewritten around it.
    before, number = journal.stat().st_ino, 0
    deadline = time.monotonic() + PATIENCE
    while journal.stat().st_ino == before:
        number += 1
        assert time.monotonic() < deadline, "it was not rewritten"
        db.write_queue_message(f"{number % 10}", "x" * 100_000)
    db.stop()
    assert open_journal().failed_messages() == first


def test_it_is_sent_again_in_its_order_after_what_is_there(
    tmp_path: Path, sql: Sql, open_journal: Callable[..., DB], journal: Path
) -> None:
    body = """
        logging.disable()
        db = open_db()
        for number in range(5):
            db.write_queue_message("k", f"bad {number}")
        try:
            db.flush()
        except DeliveryError: pass
    """
    run_killed(tmp_path, body)
    note = "INSERT INTO History (value) VALUES (new.value)"
    sql(
        "CREATE TABLE History (at INTEGER PRIMARY KEY, value)",
        f"CREATE TRIGGER written AFTER INSERT ON Dict BEGIN {note}; END",
        f"CREATE TRIGGER changed AFTER UPDATE ON Dict BEGIN {note}; END",
    )
    allow(sql)
    db = open_journal(queue_batch={"timeout": HOUR, "size": 1000})
    db.write_queue_message("k", "there already")
    assert db.retry_failed() == 5
    assert db.failed_messages() == []
    adds_up(db)
    db.flush()
    seen = [text.decode() for (text,) in sql("SELECT value FROM History ORDER BY at")]
    assert seen == ["there already", *(f"bad {number}" for number in range(5))]
    db.stop()
    assert journal.stat().st_size == EMPTY


def test_what_is_sent_again_survives_a_kill_in_its_new_place(
    tmp_path: Path, sql: Sql, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, PROGRAM, "")
    body = """
        logging.disable()
        db = open_db()
        db.write_queue_message("1", "there already")
        # Their batch never fills before the kill.
        assert db.retry_failed() == 2
        assert db.failed_messages() == []
    """
    run_killed(tmp_path, body)
    allow(sql)
    db = open_journal()
    db.flush()
    assert db.failed_messages() == []
    assert db.read_messages(["1", "events:2"]) == {"1": "bad", "events:2": {"bad": "é"}}


def test_what_fails_again_is_kept_again(tmp_path: Path, sql: Sql, open_journal: Callable[..., DB]) -> None:
    run_killed(tmp_path, PROGRAM, "")
    body = """
        logging.disable()
        db = open_db()
        assert db.retry_failed() == 2
        try:
            db.flush()
        except DeliveryError as error:
            assert [failed[0] for failed in error.failed] == ["1", "events:2"]
        else:
            raise AssertionError("delivered")
        assert len(db.failed_messages()) == 2
    """
    assert run_killed(tmp_path, body).err == ""
    db = open_journal()
    assert listed(db) == [("1", "bad"), ("events:2", {"bad": "é"})]
    assert db.retry_failed() == 2
    with pytest.raises(DeliveryError, match="2 queued"):
        db.flush()
    db.stop()
    allow(sql)
    # The same handle after stop, on the journal that it opens anew.
    assert db.retry_failed("local") == 2
    db.flush()
    assert db.read_message("1") == "bad"
    adds_up(db)


@pytest.mark.parametrize("end", ["kill", "end"])
def test_what_is_dropped_is_forgotten_for_good(
    tmp_path: Path,
    journal: Path,
    open_journal: Callable[..., DB],
    lines: Callable[[str], list[str]],
    end: str,
) -> None:
    run_killed(tmp_path, PROGRAM, "")
    body = """
        logging.disable()
        db = open_db()
        assert db.drop_failed() == 2
        assert db.drop_failed() == 0
        assert db.failed_messages() == []
        account = db.stats()["local"]
        assert account["failed"] == 2, account
        exec(sys.argv[1])
    """
    result = run_whole(tmp_path, body, ENDS[end])
    assert result.err == ""
    db = open_journal()
    assert db.failed_messages() == []
    assert db.retry_failed() == 0
    assert lines("WARNING") == []
    db.stop()
    assert journal.stat().st_size == EMPTY


def test_drop_failed_as_the_first_verb_after_stop(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    run_killed(tmp_path, PROGRAM, "")
    db = open_journal()
    db.stop()
    assert db.drop_failed() == 2
    db.stop()
    assert open_journal().failed_messages() == []


def test_more_is_kept_than_the_queue_may_hold(
    tmp_path: Path, sql: Sql, open_journal: Callable[..., DB]
) -> None:
    body = """
        logging.disable()
        db = open_db(max_pending=2, max_pending_bytes=100)
        for number in range(50):
            db.write_queue_message("k", f"bad {number:02}" + "x" * 40)
        try:
            db.flush()
        except DeliveryError as error:
            assert len(error.failed) == 50, len(error.failed)
    """
    assert run_killed(tmp_path, body).err == ""
    db = open_journal(queue_batch={"max_pending": 2, "max_pending_bytes": 100})
    assert listed(db) == [("k", f"bad {number:02}" + "x" * 40) for number in range(50)]
    allow(sql)
    assert db.retry_failed() == 50
    db.flush()
    assert db.read_message("k") == "bad 49" + "x" * 40
    assert db.write_queue_message("k", "afterwards")


def test_on_error_is_not_called_for_what_an_earlier_process_has_given_up(
    tmp_path: Path, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, PROGRAM, "")
    calls: list[object] = []

    def note(key: str, *_: object) -> None:
        calls.append(key)

    db = open_journal(on_error=note)
    db.write_queue_message("k", "v")
    db.flush()
    db.stop()
    assert calls == []
    assert len(db.failed_messages()) == 2
