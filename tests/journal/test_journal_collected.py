"""A handle that is dropped, never stopped: it delivers in the background, and gives the journal up then."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

import pytest

from process.scripts import prepare, records
from TetherDB import DB, ConfigError

from .support import EAGER, EMPTY, HOUR, program, run_killed, run_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Locked = Callable[[], AbstractContextManager[None]]
    Wait = Callable[[Callable[[], object]], None]


def open_one(path: Path, journal: Path, **queue: object) -> DB:
    """A handle that nothing but its caller holds."""
    local = {"filepath": f"{path}", "synchronous": "off", "busy_timeout": 0}
    return DB({"local": local, "queue_batch": {"journal": f"{journal}", "timeout": HOUR, **EAGER, **queue}})


@pytest.fixture
def reopened(path: Path, journal: Path, eventually: Wait) -> Callable[[], DB]:
    """Opens the journal as soon as it is free."""

    def reopen() -> DB:
        opened: list[DB] = []

        def try_it() -> bool:
            with contextlib.suppress(ConfigError):
                opened.append(open_one(path, journal))
            return bool(opened)

        eventually(try_it)
        return opened[0]

    return reopen


def test_what_it_has_queued_is_delivered_and_the_next_may_have_the_journal(
    path: Path, journal: Path, reopened: Callable[[], DB]
) -> None:
    for turn in range(5):
        db = open_one(path, journal)
        for number in range(20):
            db.write_queue_message(f"{turn}-{number}", "v")
        del db
        gc.collect()
        after = reopened()
        assert len(after.list_keys(1000)["keys"]) == 20 * (turn + 1)
        assert after.stats()["local"]["accepted"] == 0
        after.stop()
        assert journal.stat().st_size == EMPTY


@pytest.mark.parametrize("use", ["nothing", "direct", "started", "flushed"])
def test_one_with_nothing_queued_gives_it_up(
    path: Path, journal: Path, reopened: Callable[[], DB], use: str
) -> None:
    db = open_one(path, journal)
    if use == "direct":
        db.write_message("k", "v")
    elif use == "started":
        db.start()
    elif use == "flushed":
        db.write_queue_message("k", "v")
        db.flush()
    del db
    gc.collect()
    reopened().stop()
    assert journal.stat().st_size == EMPTY


# Its owner lives on and opens nothing else.
OWNER = """
    db = open_db(busy_timeout=0, **json.loads(sys.argv[1]))
    db.write_queue_message("k", "theirs")
    del db
    gc.collect()
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_another_process_may_have_it_while_the_owner_lives(
    tmp_path: Path, path: Path, reopened: Callable[[], DB]
) -> None:
    with program(tmp_path, OWNER, "{}") as owner:
        owner.expect("ready")
        db = reopened()
        assert db.read_message("k") == "theirs"
        db.stop()
        owner.tell()
        owner.finish().quiet()


def test_while_it_cannot_deliver_it_keeps_the_journal(
    path: Path, journal: Path, locked: Locked, reopened: Callable[[], DB]
) -> None:
    prepare(path)
    with locked():
        db = open_one(path, journal)
        for number in range(3):
            db.write_queue_message("k", f"{number}")
        del db
        gc.collect()
        with pytest.raises(ConfigError, match="another DB of this process uses it"):
            open_one(path, journal)
    after = reopened()
    assert after.read_message("k") == "2"
    after.stop()


def test_a_kill_of_a_process_whose_handle_is_gone_takes_nothing(
    tmp_path: Path, path: Path, locked: Locked, open_journal: Callable[..., DB]
) -> None:
    prepare(path)
    body = """
        logging.disable()
        db = open_db(busy_timeout=0)
        for number in range(10):
            db.write_queue_message("k", f"{number}")
        del db
        gc.collect()
        time.sleep(0.1)
    """
    with locked():
        run_killed(tmp_path, body)
    db = open_journal()
    db.flush()
    assert db.stats()["local"]["delivered"] == 10
    assert db.read_message("k") == "9"


def test_many_handles_dropped_one_after_the_other(tmp_path: Path) -> None:
    body = """
        def use(number):
            db = open_db(journal=f"journal-{number}", timeout=0)
            db.write_queue_message(f"{number}", "v")
        for number in range(30):
            use(number)
            gc.collect()
    """
    run_whole(tmp_path, body).quiet()
    assert len(records(tmp_path / "store")) == 30
    assert {entry.stat().st_size for entry in tmp_path.glob("journal-*")} == {EMPTY}


def test_what_it_has_given_up_stays_in_the_journal(
    path: Path, journal: Path, refuse_bad: None, reopened: Callable[[], DB]
) -> None:
    db = open_one(path, journal)
    db.write_queue_message("1", "bad")
    db.write_queue_message("2", "v")
    del db
    gc.collect()
    after = reopened()
    assert after.read_message("2") == "v"
    assert [message[:3] for message in after.failed_messages()] == [("1", "bad", "local")]
    assert after.drop_failed() == 1
    after.stop()
