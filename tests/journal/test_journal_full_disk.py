"""A full disk under the journal: nothing is queued by halves, and all goes on once there is room."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from local.test_permissions import small_disk
from TetherDB import DB, BackendError, ConfigError, DeliveryError

from .support import EMPTY, HOUR, adds_up, every_sync, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four MiB, with a ballast of three on it, which can be thrown off."""
    with small_disk(tmp_path / "disk") as mounted:
        (mounted / "ballast").write_bytes(b"x" * 3_000_000)
        yield mounted


@pytest.fixture
def open_on(disk: Path, tmp_path: Path) -> Iterator[Callable[..., DB]]:
    """Opens handles whose journal is on that disk, and whose local file is not."""
    opened: list[DB] = []

    def open_one(errors: str = "raise", logging: str = "info", **queue: object) -> DB:
        config = {
            "local": {"filepath": f"{tmp_path / 'store'}", "synchronous": "off"},
            "errors": errors,
            "logging": logging,
            "queue_batch": {"journal": f"{disk / 'journal'}", "timeout": HOUR, "size": 100_000, **queue},
        }
        opened.append(DB(config))
        return opened[-1]

    yield open_one
    for db in opened:
        db.stop()


def fill(disk: Path) -> None:
    """Leaves not a byte."""
    with (disk / "filling").open("ab", buffering=0) as filling, suppress(OSError):
        while filling.write(b"x" * 4096):
            pass


def queue_until_full(db: DB) -> tuple[dict[str, object], BackendError]:
    """What was queued, and the error that ended it."""
    queued: dict[str, object] = {}
    with pytest.raises(BackendError) as caught:  # noqa: PT012
        for number in range(10_000):
            assert db.write_queue_message(f"{number}", "x" * 10_000)
            queued[f"{number}"] = "x" * 10_000
    assert len(queued) > 50
    return queued, caught.value


@every_sync
def test_a_message_is_refused_and_nothing_else(disk: Path, open_on: Callable[..., DB], sync: str) -> None:
    db = open_on(journal_sync=sync)
    queued, error = queue_until_full(db)
    assert type(error) is BackendError
    assert (error.backend, error.retryable) == ("local", True)
    text = str(error)
    assert text.startswith(f"local backend: the journal {disk / 'journal'} did not take key "), text
    assert "Nothing was queued" in text
    assert "Check its disk, and whether it is full" in text
    stats = db.stats()
    for _ in range(3):
        with pytest.raises(BackendError, match="did not take key"):
            db.write_queue_message("never", "x" * 10_000, receipt=True)
        with pytest.raises(BackendError, match="did not take key"):
            db.write_message("never", "x" * 10_000, queue=True)
    assert db.stats() == stats
    adds_up(db)
    assert stats["local"]["pending"] == len(queued)
    # Direct verbs of other keys do not need the journal.
    assert db.write_message("direct", "v")
    (disk / "ballast").unlink()
    assert db.write_queue_message("afterwards", "x" * 10_000)
    db.flush()
    assert dict(db.iter_messages()) == {**queued, "direct": "v", "afterwards": "x" * 10_000}
    db.stop()
    assert (disk / "journal").stat().st_size == EMPTY


def test_what_was_taken_before_it_was_full_survives_a_kill(
    disk: Path, tmp_path: Path, open_on: Callable[..., DB]
) -> None:
    body = """
        db = open_db(journal=sys.argv[1])
        for number in range(10_000):
            try:
                db.write_queue_message("k", f"{number}" + "x" * 9000)
            except BackendError:
                break
        open("last", "w").write(f"{number - 1}")
    """
    assert run_killed(tmp_path, body, f"{disk / 'journal'}").err == ""
    last = int((tmp_path / "last").read_text())
    db = open_on()
    db.flush()
    assert db.read_message("k") == f"{last}" + "x" * 9000
    assert db.stats()["local"]["delivered"] == last + 1


def test_errors_log_says_one_line_and_gives_false(
    disk: Path, open_on: Callable[..., DB], lines: Callable[[str], list[str]]
) -> None:
    db = open_on(errors="log")
    taken = 0
    while db.write_queue_message("k", "x" * 10_000):
        taken += 1
    assert len(lines("ERROR")) == 1
    assert db.write_queue_message("k", "x" * 10_000) is False
    outcome: object = db.write_queue_message("k", "x" * 10_000, receipt=True)
    assert outcome is False
    assert len(lines("ERROR")) == 3
    assert all("Nothing was queued" in line for line in lines("ERROR"))
    assert db.stats()["local"]["accepted"] == taken
    (disk / "ballast").unlink()
    assert db.write_queue_message("k", "last") is True
    db.flush()
    assert db.read_message("k") == "last"


@pytest.mark.usefixtures("refuse_bad")
def test_what_was_given_up_stays_so_while_there_is_no_room_to_note_that_it_goes_again(
    disk: Path, open_on: Callable[..., DB], sql: Callable[..., object]
) -> None:
    # Without space that is made ahead.
    db = open_on(logging="none", journal_sync="never")
    for number in range(600):
        db.write_queue_message(f"{number}", "bad")
    with pytest.raises(DeliveryError, match=r"^600 queued"):
        db.flush()
    sql("DROP TRIGGER refuse")
    fill(disk)
    stats, kept = db.stats(), db.failed_messages()
    # More than the last page of the file may have room for.
    with pytest.raises(BackendError, match=r"did not take the messages again: .*Nothing was changed"):
        db.retry_failed()
    assert db.stats() == stats
    assert db.failed_messages() == kept
    (disk / "ballast").unlink()
    assert db.retry_failed() == 600
    db.flush()
    assert len(db.list_keys(1000)["keys"]) == 600
    adds_up(db)


def test_what_is_queued_is_delivered_while_the_disk_is_full(disk: Path, open_on: Callable[..., DB]) -> None:
    db = open_on()
    queued, _ = queue_until_full(db)
    fill(disk)
    db.flush()
    assert dict(db.iter_messages()) == queued
    adds_up(db)
    # The journal has nothing to keep any more, so there is room for more.
    assert db.write_queue_message("more", "x" * 10_000)


def test_a_direct_write_waits_for_no_room_and_stands_after_a_kill(
    disk: Path, tmp_path: Path, open_on: Callable[..., DB]
) -> None:
    # What a full disk cannot note as delivered would come back over the direct write: that is refused then.
    body = """
        logging.disable()
        db = open_db(journal=sys.argv[1])
        for number in range(200):
            db.write_queue_message(f"{number}", "queued")
        disk = os.path.dirname(sys.argv[1])
        with open(disk + "/filling", "ab", buffering=0) as filling:
            try:
                while filling.write(b"x" * 4096): pass
            except OSError: pass
        while True:
            try:
                db.write_queue_message("filling", "x")
            except BackendError:
                break
        db.flush()
        stands = {}
        for number in range(200):
            try:
                db.write_message(f"{number}", "direct")
                stands[f"{number}"] = "direct"
            except BackendError as error:
                assert "Nothing was done" in str(error), error
                stands[f"{number}"] = "queued"
        json.dump(stands, open("stands", "w"))
    """
    assert run_killed(tmp_path, body, f"{disk / 'journal'}").err == ""
    stands = json.loads((tmp_path / "stands").read_text())
    (disk / "filling").unlink()
    db = open_on()
    db.flush()
    assert db.read_messages(stands) == stands


def test_a_disk_that_is_full_from_the_beginning(disk: Path, open_on: Callable[..., DB]) -> None:
    fill(disk)
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal: .*Free space on the disk") as caught:
        open_on()
    assert f"{disk / 'journal'}" in str(caught.value)
    (disk / "ballast").unlink()
    db = open_on()
    assert db.write_queue_message("k", "v")
    db.flush()
    assert db.read_message("k") == "v"
