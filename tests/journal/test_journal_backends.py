"""One journal for several backends: each has its own messages, whatever becomes of the others."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, FlushTimeout

from .support import DEAD, EAGER, EMPTY, PATIENCE, Revisions, adds_up, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.etcd import EtcdServer

    Lines = Callable[[str], list[str]]
    Wait = Callable[[Callable[[], object]], None]

# Ten messages for each.
PROGRAM = """
    logging.disable()
    db = open_db(etcd=json.loads(sys.argv[1]))
    for number in range(10):
        db.write_queue_message("k", f"local {number}")
        db.write_queue_message("k", f"etcd {number}", backend="etcd")
"""


def patient(server: EtcdServer) -> dict[str, Any]:
    return {**server.section(), "timeout": 20}


def test_what_no_section_is_there_for_stays_until_it_is_back(
    tmp_path: Path,
    journal: Path,
    clean_etcd: EtcdServer,
    open_journal: Callable[..., DB],
    lines: Lines,
    eventually: Wait,
) -> None:
    run_killed(tmp_path, PROGRAM, json.dumps(DEAD))
    for turn in range(2):
        # It stays however often, and whatever else goes through the journal.
        db = open_journal()
        db.flush()
        assert db.read_message("k") == ("local 9" if turn == 0 else "other")
        eventually(lambda: [line for line in lines("WARNING") if "not configured" in line])
        [line] = [line for line in lines("WARNING") if "not configured" in line][turn:]
        assert line.startswith(f"10 message(s) in the journal {journal} are for etcd"), line
        assert 'add a section "etcd"' in line
        db.write_queue_message("k", "other")
        for number in range(15):
            db.write_queue_message(f"large {number}", "x" * 100_000)
        db.stop()
        assert journal.stat().st_size > EMPTY
    revisions = Revisions(clean_etcd)
    db = open_journal(etcd=patient(clean_etcd), queue_batch={"size": 1})
    db.flush()
    assert revisions.texts("k") == [f"etcd {number}" for number in range(10)]
    adds_up(db)
    db.stop()
    assert journal.stat().st_size == EMPTY
    assert len([line for line in lines("WARNING") if "not configured" in line]) == 2


def test_given_up_messages_of_a_missing_section_are_listed_once_it_is_back(
    tmp_path: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB]
) -> None:
    body = """
        logging.disable()
        db = open_db(etcd=json.loads(sys.argv[1]), timeout=0, retry={"give_up_after": 0})
        db.write_queue_message("k", "v", backend="etcd")
        try:
            db.flush()
        except DeliveryError: pass
        else: raise AssertionError("delivered")
    """
    assert run_killed(tmp_path, body, json.dumps(DEAD)).err == ""
    without = open_journal()
    assert without.failed_messages() == []
    assert without.retry_failed() == without.drop_failed() == 0
    without.stop()
    db = open_journal(etcd=patient(clean_etcd))
    assert [message[:3] for message in db.failed_messages()] == [("k", "v", "etcd")]
    assert "127.0.0.1:1" in str(db.failed_messages("etcd")[0][3])
    assert db.failed_messages("local") == []
    assert db.retry_failed("local") == 0
    assert db.retry_failed("etcd") == 1
    db.flush()
    assert clean_etcd.etcdctl.get("k") == b"v"


def test_a_dead_server_does_not_hold_back_the_file(
    tmp_path: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, PROGRAM, json.dumps(DEAD))
    db = open_journal(etcd=DEAD, queue_batch=EAGER)
    # What was left for the file, and what comes.
    receipt = db.write_queue_message("k", "new", receipt=True)
    assert receipt.wait(timeout=PATIENCE) is True
    assert db.write_message("direct", "v") is True
    assert db.read_message("k") == "new"
    assert db.stats()["etcd"]["pending"] == 10
    adds_up(db)
    run_next(db, clean_etcd, open_journal)


def test_a_frozen_server_does_not_hold_back_the_file(
    tmp_path: Path, own_etcd: EtcdServer, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, PROGRAM, json.dumps(DEAD))
    own_etcd.pause()
    try:
        db = open_journal(etcd=patient(own_etcd))
        begun = time.monotonic()
        receipt = db.write_queue_message("k", "new", receipt=True)
        assert receipt.wait(timeout=PATIENCE) is True
        assert db.write_message("direct", "v") is True
        # Long before the server's own patience ends.
        assert time.monotonic() - begun < 10
        assert db.stats()["etcd"]["pending"] == 10
    finally:
        own_etcd.resume()
    db.flush(timeout=PATIENCE)
    assert own_etcd.etcdctl.get("k") == b"etcd 9"
    db.stop()


def run_next(db: DB, server: EtcdServer, open_journal: Callable[..., DB]) -> None:
    """Leaves it to another handle, whose server works."""
    with pytest.raises(FlushTimeout, match=r"^10 queued message\(s\)"):
        db.stop(timeout=0)
    revisions = Revisions(server)
    after = open_journal(etcd=patient(server), queue_batch={"size": 1})
    after.flush()
    assert revisions.texts("k") == [f"etcd {number}" for number in range(10)]
    assert after.stats()["local"]["accepted"] == 0


def test_a_locked_file_does_not_hold_back_the_server(
    tmp_path: Path,
    clean_etcd: EtcdServer,
    locked: Callable[[], Any],
    open_journal: Callable[..., DB],
    eventually: Wait,
) -> None:
    run_killed(tmp_path, PROGRAM, json.dumps(DEAD))
    # So that the file is there to be locked.
    with_file = open_journal(queue_batch={"journal": f"{tmp_path / 'another'}"})
    with_file.write_message("before", "v")
    with_file.stop()
    with locked():
        db = open_journal(etcd=patient(clean_etcd), local={"busy_timeout": 0}, queue_batch=EAGER)
        eventually(lambda: db.stats()["etcd"]["delivered"] == 10)
        assert db.stats()["local"]["pending"] == 10
    db.flush()
    assert db.read_message("k") == "local 9"
    assert db.read_message("k", backend="etcd") == "etcd 9"
