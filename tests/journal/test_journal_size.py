"""The file of a journal: for its owner alone, and no larger than what it has to hold needs."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest

from .support import DEAD, EMPTY, HOUR, PATIENCE, adds_up, every_sync, run_killed, run_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.etcd import EtcdServer
    from TetherDB import DB

MIB = 1 << 20
LARGE = "x" * 100_000
# It is rewritten from 16 MiB on, in the background: meanwhile it grows.
BOUND = 56 * MIB


class Watch:
    """Notes the largest size that the file has had."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.largest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.largest = max(self.largest, self.journal.stat().st_size)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@every_sync
def test_only_its_owner_may_read_it(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB], sync: str
) -> None:
    db = open_journal(queue_batch={"journal_sync": sync, "timeout": HOUR})
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    db.write_queue_message("k", "v")
    db.stop()
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert journal.stat().st_size == EMPTY


def test_whatever_the_umask_is_only_its_owner_may_read_it(tmp_path: Path) -> None:
    run_killed(tmp_path, "os.umask(0)\ndb = open_db()\ndb.write_queue_message('k', 'v')\n")
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o600


def test_it_shrinks_once_everything_is_delivered(journal: Path, open_journal: Callable[..., DB]) -> None:
    db = open_journal(queue_batch={"timeout": HOUR, "size": 1000, "journal_sync": "never"})
    for number in range(100):
        db.write_queue_message(f"{number % 10}", LARGE)
    assert journal.stat().st_size > 10_000_000
    db.flush()
    assert journal.stat().st_size < 2 * MIB
    db.write_queue_message("k", "v")
    db.stop()
    assert journal.stat().st_size == EMPTY


def test_it_stays_small_while_much_goes_through_a_small_queue(
    journal: Path, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(queue_batch={"max_pending_bytes": MIB, "journal_sync": "never", "timeout": 0})
    with Watch(journal) as watch:
        for number in range(600):
            db.write_queue_message(f"{number % 10}", LARGE)
        db.flush()
    assert watch.largest < BOUND, watch.largest
    assert journal.stat().st_size < 17 * MIB
    db.stop()
    assert journal.stat().st_size == EMPTY
    assert [entry.name for entry in journal.parent.iterdir() if "journal" in entry.name] == ["journal"]


@every_sync
def test_it_is_rewritten_around_what_stays_for_a_dead_backend(
    tmp_path: Path,
    journal: Path,
    clean_etcd: EtcdServer,
    open_journal: Callable[..., DB],
    sync: str,
) -> None:
    body = """
        logging.disable()
        etcd, sync = json.loads(sys.argv[1]), sys.argv[2]
        db = open_db(etcd=etcd, journal_sync=sync, timeout=0, max_pending_bytes=1 << 20)
        for number in range(5):
            db.write_queue_message("parked", f"{number}", backend="etcd")
        largest = 0
        for number in range(900):
            receipt = db.write_queue_message(f"{number % 10}", "x" * 100_000, receipt=True)
            largest = max(largest, os.path.getsize("journal"))
            if number % 150 == 149:
                assert receipt.wait(30)
                deadline = time.monotonic() + 30
                # In the background: no message is held up for it.
                while os.path.getsize("journal") > 36 << 20:
                    assert time.monotonic() < deadline, os.path.getsize("journal")
                    time.sleep(0.005)
        print(largest, os.path.getsize("journal"), os.stat("journal").st_mode & 0o777, flush=True)
        # It is as good as before.
        for number in range(5, 10):
            db.write_queue_message("parked", f"{number}", backend="etcd")
    """
    result = run_killed(tmp_path, body, json.dumps(DEAD), sync)
    assert result.err == ""
    largest, size, mode = map(int, result.out.split())
    # Of 86 MiB.
    assert max(largest, size) < BOUND, largest
    assert mode == 0o600
    db = open_journal(etcd={**clean_etcd.section(), "timeout": 20}, queue_batch={"size": 1})
    db.flush()
    assert db.read_message("parked", backend="etcd") == "9"
    assert db.stats()["etcd"]["delivered"] == 10
    adds_up(db)
    db.stop()
    assert journal.stat().st_size == EMPTY


@pytest.mark.parametrize("name", ["journal", "link"])
def test_the_lock_goes_along_when_it_is_rewritten(
    tmp_path: Path, journal: Path, open_journal: Callable[..., DB], name: str
) -> None:
    # By its own name, or by a link that leads to it.
    link = tmp_path / "link"
    link.symlink_to("journal")
    (tmp_path / "others").mkdir()
    body = """
        try:
            open_db(journal=sys.argv[1])
        except ConfigError as error:
            assert sys.argv[2] in str(error), error
        else:
            raise AssertionError("it has two owners")
    """
    db = open_journal(etcd=DEAD, queue_batch={"journal": f"{tmp_path / name}", "journal_sync": "never"})
    db.write_queue_message("parked", "v", backend="etcd")
    before = journal.stat().st_ino
    deadline, number = time.monotonic() + PATIENCE, 0
    while (tmp_path / name).stat().st_ino == before:
        assert time.monotonic() < deadline, "it was not rewritten"
        number += 1
        db.write_queue_message(f"{number % 10}", LARGE)
    assert link.is_symlink()
    for path in (journal, link):
        run_whole(tmp_path / "others", body, f"{path}", f"{os.getpid()}").quiet()
