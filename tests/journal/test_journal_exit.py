"""The end of the program: everything is delivered, or stays in the journal and is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from process.scripts import records

from .support import DEAD, EMPTY, Revisions, every_sync, run_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.etcd import EtcdServer
    from TetherDB import DB

LEAVE = {
    "end": "",
    "exit": "sys.exit(0)",
    "stop": "db.stop()",
    "with": "with db: sys.exit(0)",
    "thread": "threading.Timer(0.1, db.write_queue_message, ('late', 'v')).start()",
    "deleted": "del db; gc.collect()",
    "cycle": "cycle = [db]; cycle.append(cycle); del cycle, db",
}


@pytest.mark.parametrize("way", LEAVE)
def test_a_normal_end_delivers_and_leaves_an_empty_journal(tmp_path: Path, way: str) -> None:
    body = """
        db = open_db()
        for number in range(200):
            db.write_queue_message(f"{number}", "v")
        exec(sys.argv[1])
    """
    run_whole(tmp_path, body, LEAVE[way]).quiet()
    assert len(records(tmp_path / "store")) == 200 + (way == "thread")
    assert (tmp_path / "journal").stat().st_size == EMPTY
    assert {entry.name for entry in tmp_path.iterdir()} == {"store", "journal"}


@every_sync
def test_an_uncaught_exception_is_a_normal_end(tmp_path: Path, sync: str) -> None:
    body = """
        db = open_db(journal_sync=sys.argv[1])
        for number in range(20):
            db.write_queue_message(f"{number}", "v")
        raise RuntimeError("of the program")
    """
    run_whole(tmp_path, body, sync).last_words("RuntimeError: of the program")
    assert len(records(tmp_path / "store")) == 20
    assert (tmp_path / "journal").stat().st_size == EMPTY


@pytest.mark.parametrize("way", ["", "del db; gc.collect()"], ids=["end", "deleted"])
def test_what_is_not_delivered_in_time_is_told_by_number_and_stays(
    tmp_path: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB], way: str
) -> None:
    body = """
        db = open_db(etcd=json.loads(sys.argv[1]), exit_timeout=0.3, timeout=0)
        for number in range(7):
            db.write_queue_message("k", f"{number}", backend="etcd")
        db.write_queue_message("local", "v")
        exec(sys.argv[2])
    """
    result = run_whole(tmp_path, body, json.dumps(DEAD), way)
    assert (result.code, result.out) == (0, "")
    told = [line for line in result.err.splitlines() if line.startswith("ERROR")]
    assert len(told) == 1, result.err
    assert told[0].startswith("ERROR 7 queued message(s) not delivered in time [etcd]"), told
    assert str(tmp_path / "journal") in told[0]
    assert records(tmp_path / "store") == {"local": "v"}
    revisions = Revisions(clean_etcd)
    db = open_journal(etcd={**clean_etcd.section(), "timeout": 20}, queue_batch={"size": 1})
    db.flush()
    assert revisions.texts("k") == [f"{number}" for number in range(7)]
    assert db.stats()["local"]["accepted"] == 0


def test_a_stop_out_of_time_before_the_end_leaves_it_there(
    tmp_path: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB]
) -> None:
    body = """
        logging.disable()
        db = open_db(etcd=json.loads(sys.argv[1]))
        db.write_queue_message("k", "v", backend="etcd")
        try:
            db.stop(timeout=0)
        except FlushTimeout:
            print("timeout")
    """
    assert run_whole(tmp_path, body, json.dumps(DEAD)).quiet() == "timeout\n"
    db = open_journal(etcd={**clean_etcd.section(), "timeout": 20})
    db.flush()
    assert db.read_message("k", backend="etcd") == "v"


def test_sigterm_that_becomes_an_exit_delivers(tmp_path: Path) -> None:
    body = """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        db = open_db()
        for number in range(20):
            db.write_queue_message(f"{number}", "v")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    """
    run_whole(tmp_path, body).quiet()
    assert len(records(tmp_path / "store")) == 20
    assert (tmp_path / "journal").stat().st_size == EMPTY


def test_at_the_end_nothing_is_written_that_a_replay_would_undo(
    tmp_path: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB]
) -> None:
    """The server is out of reach while the queue is drained, and there again for a hook that runs later."""
    body = """
        import atexit
        logging.disable()
        section = json.loads(sys.argv[1])
        def late():
            for verb in (db.write_message, db.write_queue_message):
                try:
                    verb("k", "late", backend="etcd")
                except Unavailable as error:
                    assert "next would send them over this" in str(error), error
                    print("refused")
            print(db.write_message("other", "v"))
        atexit.register(late)
        db = open_db(etcd=section, exit_timeout=0.3, timeout=0)
        db.write_queue_message("k", "queued", backend="etcd")
        # Only hooks that were there before it come after its own.
        db.stats()
    """
    result = run_whole(tmp_path, body, json.dumps(DEAD))
    assert (result.code, result.out, result.err) == (0, "refused\nrefused\nTrue\n", "")
    db = open_journal(etcd={**clean_etcd.section(), "timeout": 20})
    db.flush()
    assert db.read_message("k", backend="etcd") == "queued"


def test_what_is_queued_while_the_program_ends_is_written(tmp_path: Path) -> None:
    body = """
        import atexit
        db = open_db()
        class Late:
            def __del__(self, db=db):
                assert db.write_queue_message("finalizer", "v")
        atexit.register(lambda: db.write_queue_message("atexit", "v"))
        late = Late()
        db.write_queue_message("k", "v")
    """
    run_whole(tmp_path, body).quiet()
    assert set(records(tmp_path / "store")) == {"k", "atexit", "finalizer"}
    assert (tmp_path / "journal").stat().st_size == EMPTY


def test_a_handle_that_found_something_and_was_never_used_delivers_it(tmp_path: Path) -> None:
    run_whole(tmp_path, "db = open_db()\ndb.write_queue_message('k', 'v')\nos._exit(0)\n")
    run_whole(tmp_path, "logging.disable()\ndb = open_db()\n").quiet()
    assert records(tmp_path / "store") == {"k": "v"}
    assert (tmp_path / "journal").stat().st_size == EMPTY
