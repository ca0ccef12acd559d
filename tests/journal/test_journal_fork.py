"""A forked child does not have its parent's journal: it may write, and queue with a path of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from process.scripts import records, run

from .support import EMPTY, run_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from TetherDB import DB

    History = Callable[[str], list[str | None]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# `child(work)` runs it in a forked child, which must succeed; `refused(call)` gives what it raises.
FORK = """
    import asyncio, faulthandler, traceback

    def child(work, leave=os._exit):
        sys.stdout.flush()
        number = os.fork()
        if not number:
            faulthandler.dump_traceback_later(40, exit=True)
            try:
                work()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(9)
            leave(0)
        code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        assert code == 0, code

    def refused(call):
        try:
            call()
        except ConfigError as error:
            text = str(error)
            assert text.startswith("queue_batch.journal: "), text
            assert "path of its own" in text, text
            assert os.path.abspath("journal") in text, text
        else:
            raise AssertionError("it was taken")

"""


def test_queueing_in_a_child_is_refused_by_every_way(tmp_path: Path, history: Callable[..., object]) -> None:
    body = """
    db = open_db()
    db.write_queue_message("parent", "before")
    receipts = []

    @db.tether(wait=False, key="tethered")
    def tethered():
        return {"value": "v"}

    def work():
        refused(lambda: db.write_queue_message("child", "v"))
        refused(lambda: db.write_queue_message("child", "v", receipt=True))
        refused(lambda: db.write_message("child", "v", queue=True))
        refused(tethered)
        account = db.stats()["local"]
        assert account["accepted"] == account["pending"] == 0, account

    child(work)
    child(work, sys.exit)
    db.write_queue_message("parent", "after")
    db.stop()
    """
    run_whole(tmp_path, FORK + body).quiet()
    assert records(tmp_path / "store") == {"parent": "after"}
    assert history("parent") == ["before", "after"]
    assert (tmp_path / "journal").stat().st_size == EMPTY


@pytest.mark.parametrize("leave", ["os._exit", "sys.exit"])
def test_all_other_verbs_work_in_a_child_and_harm_nothing(
    tmp_path: Path, history: History, leave: str
) -> None:
    body = """
    db = open_db()
    for turn in range(50):
        db.write_queue_message("parent", f"{turn}")
    db.write_message("direct", "parent")

    def work():
        before = open("journal", "rb").read()
        assert db.read_message("direct") == "parent"
        assert db.write_message("direct", "child")
        assert db.update_message("direct", "child again")
        assert db.write_messages({"a": "1", "b": "2"}) == 2
        assert db.delete_message("a") and db.delete_messages(["b"]) == 1
        assert list(db.iter_messages()) == [("direct", "child again")]
        assert db.ping() >= 0
        assert db.failed_messages() == []
        db.start()
        db.flush()
        # What the parent has queued is not the child's, either in memory or on disk.
        assert db.read_message("parent") is None
        db.stop()
        assert db.write_message("child", "after stop")
        assert open("journal", "rb").read() == before

    child(work, eval(sys.argv[1]))
    assert db.stats()["local"]["pending"] == 50
    db.write_queue_message("parent", "50")
    db.flush()
    assert db.read_message("parent") == "50"
    """
    run_whole(tmp_path, FORK + body, leave).quiet()
    assert history("parent") == [f"{turn}" for turn in range(51)]
    assert (tmp_path / "journal").stat().st_size == EMPTY


def test_a_child_that_drops_the_handle_leaves_the_journal_alone(
    tmp_path: Path, history: History, open_journal: Callable[..., DB]
) -> None:
    body = """
    db = open_db()
    db.write_queue_message("k", "1")

    def work():
        global db
        db.read_message("k")
        del db
        gc.collect()

    child(work)
    child(work, sys.exit)
    db.write_queue_message("k", "2")
    os.kill(os.getpid(), signal.SIGKILL)
    """
    run_whole(tmp_path, FORK + body)
    open_journal().flush()
    assert history("k") == ["1", "2"]


def test_a_child_opens_a_journal_of_its_own(tmp_path: Path) -> None:
    body = """
    db = open_db()
    db.write_queue_message("parent", "v")
    parent = os.getpid()

    def work():
        # Not the parent's, which lives.
        try:
            open_db()
        except ConfigError as error:
            assert str(parent) in str(error), error
        else:
            raise AssertionError("it has two owners")
        with open_db(journal=f"journal-{os.getpid()}") as own:
            own.write_queue_message("child", "v")
            own.flush()
            assert own.read_message("child") == "v"
            own.write_queue_message("child", "late")

    child(work)
    child(work, sys.exit)
    assert db.read_message("child") == "late"
    assert db.stats()["local"]["pending"] == 1
    """
    run_whole(tmp_path, FORK + body).quiet()
    assert records(tmp_path / "store") == {"parent": "v", "child": "late"}


def test_a_child_may_open_it_once_the_parent_has_stopped(tmp_path: Path) -> None:
    body = """
    db = open_db()
    db.write_queue_message("parent", "v")
    db.stop()

    def work():
        with open_db() as own:
            own.write_queue_message("child", "v")

    child(work)
    db.write_queue_message("parent", "again")
    """
    run_whole(tmp_path, FORK + body).quiet()
    assert records(tmp_path / "store") == {"parent": "again", "child": "v"}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(tmp_path: Path, method: str) -> None:
    (tmp_path / "program.py").write_text(
        """\
import multiprocessing, os, sys
from TetherDB import DB, ConfigError

def open_db(name):
    queue = {"journal": name, "size": 1000, "timeout": 3600}
    return DB({"local": {"filepath": "store", "busy_timeout": 60}, "queue_batch": queue})

db = None

def work(number):
    if db is not None:
        try:
            db.write_queue_message(f"inherited-{number}", "v")
        except ConfigError as error:
            assert "path of its own" in str(error), error
        else:
            raise AssertionError("it was taken")
        assert db.write_message(f"direct-{number}", "v")
    else:
        try:
            open_db("journal")
        except ConfigError as error:
            assert str(os.getppid()) in str(error) or sys.argv[1] == "forkserver", error
        else:
            raise AssertionError("it has two owners")
        open_db(f"journal-{number}").write_message(f"direct-{number}", "v")
    own = open_db(f"journal-{number}")
    own.write_queue_message(f"own-{number}", "v")
    own.flush()

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    db = open_db("journal")
    db.write_queue_message("parent", "v")
    children = [multiprocessing.Process(target=work, args=(number,)) for number in range(3)]
    [child.start() for child in children]
    for child in children:
        child.join(50)
        assert child.exitcode == 0, child.exitcode
    assert db.read_message("parent") is None
    assert db.stats()["local"]["pending"] == 1
"""
    )
    run(tmp_path, tmp_path / "program.py", method).quiet()
    names = {f"{kind}-{number}" for kind in ("direct", "own") for number in range(3)}
    assert set(records(tmp_path / "store")) == {"parent", *names}


def test_forking_while_threads_queue(tmp_path: Path) -> None:
    body = """
    db = open_db(timeout=0.001, size=10, journal_sync=sys.argv[1])
    done, failures, counts = threading.Event(), [], [0, 0, 0, 0]

    def hammer(number):
        try:
            while not done.is_set():
                db.write_queue_message(f"{number}-{counts[number]}", "v" * 100)
                counts[number] += 1
        except BaseException as error:
            failures.append(repr(error))

    def work():
        refused(lambda: db.write_queue_message("child", "v"))
        assert db.write_message("direct", "v")

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    for turn in range(12):
        child(work, (os._exit, sys.exit)[turn % 2])
    done.set()
    [thread.join() for thread in threads]
    assert not failures, failures
    db.stop()
    assert len(db.list_keys(1_000_000)["keys"]) == sum(counts) + 1
    """
    for sync in ("always", "interval"):
        folder = tmp_path / sync
        folder.mkdir()
        run_whole(folder, FORK + body, sync).quiet()
        assert (folder / "journal").stat().st_size == EMPTY
