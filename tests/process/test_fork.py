"""After `fork` the child's handle works, and what the parent had queued is the parent's to deliver."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from .scripts import count_writes, records, run, writes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# `child(function)` runs it in a forked child and gives its number; the child leaves as `leave` says.
# Whoever hangs shows where, and fails.
FORK = """
import faulthandler
from TetherDB import DB

def open_db(**queue):
    local = {"filepath": "store", "synchronous": "normal", "busy_timeout": 60}
    return DB({"local": local, "queue_batch": queue})

def watch(watching=[]):
    # Once: a child of a child would wait for the thread that its parent has.
    if not watching:
        faulthandler.dump_traceback_later(40, exit=True)
    watching.append(True)

def child(work, *arguments, leave=os._exit):
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    watch()
    try:
        work(*arguments)
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(9)
    leave(0)

def gather(*numbers):
    for number in numbers:
        code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        assert code == 0, code

"""


def program(body: str) -> str:
    """The body of a program, after what all have in common."""
    return FORK + textwrap.dedent(body)


@pytest.mark.parametrize("leave", ["os._exit", "sys.exit"])
def test_every_verb_works_in_the_child_of_an_idle_parent(tmp_path: Path, leave: str) -> None:
    source = program("""
        db = open_db(timeout=0.05)
        db.write_message("parent", {"from": "parent"})
        db.write_queue_message("parent-queued", "text")
        db.flush()
        assert db.read_message("parent-queued") == "text"

        def work():
            assert db.read_message("parent") == {"from": "parent"}
            assert db.write_message("child", {"from": "child"})
            assert db.write_queue_message("child-queued", "text")
            db.flush()
            assert db.stats()["local"]["delivered"] == 1
            assert db.read_message("child-queued") == "text"
            assert db.update_message("child", "changed")
            assert db.write_messages({"child-a": "a", "child-b": "b"}) == 2
            assert db.read_messages(["child-a", "parent"]) == {"child-a": "a", "parent": {"from": "parent"}}
            assert db.delete_message("child-a")
            assert len(db.list_keys()["keys"]) == 5
            assert len(dict(db.iter_messages())) == 5
            assert db.ping() >= 0
            receipt = db.write_queue_message("child-receipt", "text", receipt=True)
            assert receipt.wait(30) is True

        gather(child(work, leave=eval(sys.argv[1])))
        assert db.read_message("child") == "changed"
        assert db.write_message("parent", "again")
        assert db.write_queue_message("parent-queued", "again")
        db.stop()
    """)
    run(tmp_path, source, leave).quiet()
    assert records(tmp_path / "store") == {
        "parent": "again",
        "parent-queued": "again",
        "child": "changed",
        "child-queued": "text",
        "child-b": "b",
        "child-receipt": "text",
    }


@pytest.mark.parametrize("leave", ["os._exit", "sys.exit"])
def test_what_the_parent_has_queued_is_delivered_by_the_parent_alone(tmp_path: Path, leave: str) -> None:
    count_writes(tmp_path / "store")
    source = program("""
        db = open_db(size=1000, timeout=60, max_pending=500)
        for i in range(500):
            db.write_queue_message(f"parent-{i}", "text")

        def work():
            account = db.stats()["local"]
            assert account["pending"] == account["accepted"] == 0, account
            db.flush()
            assert db.read_message("parent-0") is None
            for i in range(500):
                db.write_queue_message(f"child-{i}", "text")
            db.flush()
            assert db.read_message("child-499") == "text"
            assert db.read_message("parent-499") is None

        gather(child(work, leave=eval(sys.argv[1])))
        assert db.stats()["local"]["pending"] == 500
        assert db.read_message("parent-0") is None
        db.flush()
        db.stop()
    """)
    run(tmp_path, source, leave).quiet()
    expected = Counter([f"{who}-{i}" for who in ("parent", "child") for i in range(500)])
    assert writes(tmp_path / "store") == expected


def test_children_forked_while_the_worker_delivers(tmp_path: Path) -> None:
    count_writes(tmp_path / "store")
    source = program("""
        db = open_db(size=10, timeout=0.001)

        def work(number):
            db.write_queue_message(f"child-{number}", "text")
            db.write_message(f"child-direct-{number}", "text")
            db.flush()
            assert db.stats()["local"]["delivered"] == 1

        children = []
        for number in range(20):
            for i in range(300):
                db.write_queue_message(f"parent-{number}-{i}", "text")
            children.append(child(work, number, leave=(os._exit, sys.exit)[number % 2]))
        gather(*children)
        db.stop()
    """)
    run(tmp_path, source).quiet()
    expected = Counter([f"parent-{number}-{i}" for number in range(20) for i in range(300)])
    expected.update([f"{kind}-{number}" for number in range(20) for kind in ("child", "child-direct")])
    assert writes(tmp_path / "store") == expected


@pytest.mark.parametrize(
    ("leave", "end"),
    [
        ("sys.exit", ""),
        ("sys.exit", "raise SystemExit(0)"),
        ("os._exit", "db.flush()"),
        ("os._exit", "db.stop()"),
    ],
)
def test_the_child_delivers_its_own_queue(tmp_path: Path, leave: str, end: str) -> None:
    source = program("""
        db = open_db(size=1000, timeout=60)
        db.write_queue_message("parent", "text")

        def work():
            for i in range(50):
                db.write_queue_message(f"child-{i}", "text")
            if "raise" in sys.argv[2]:
                sys.exit(0)
            exec(sys.argv[2])

        def leave(code):
            eval(sys.argv[1])(code)

        number = os.fork()
        if not number:
            watch()
            work()
            leave(0)
        gather(number)
        # The child is gone: what is there is what it has delivered.
        assert all(value == "text" for value in db.read_messages(f"child-{i}" for i in range(50)).values())
        assert len(db.list_keys(page_size=100)["keys"]) == 50
    """)
    run(tmp_path, source, leave, end).quiet()
    assert len(records(tmp_path / "store")) == 51


def test_a_child_in_a_with_block_of_the_parent_leaves_it(tmp_path: Path) -> None:
    count_writes(tmp_path / "store")
    source = program("""
        with open_db(timeout=60) as db:
            for i in range(5):
                db.write_queue_message(f"parent-{i}", "text")
            number = os.fork()
            if not number:
                db.write_queue_message("child", "text")
        if not number:
            assert db.read_message("child") == "text"
            sys.exit(0)
        gather(number)
    """)
    run(tmp_path, source).quiet()
    assert writes(tmp_path / "store") == Counter(["child", *(f"parent-{i}" for i in range(5))])


def test_a_hundred_children_write_and_the_parent_finds_it_all(tmp_path: Path) -> None:
    source = program("""
        db = open_db()
        db.write_message("parent", "text")
        db.write_queue_message("parent-queued", "text")

        def work(number):
            assert db.write_message(f"direct-{number}", {"pid": os.getpid()})
            assert db.write_queue_message(f"queued-{number}", {"pid": os.getpid()})
            db.flush()
            assert db.read_message(f"direct-{number}") == {"pid": os.getpid()}

        gather(*[child(work, number) for number in range(100)])
        found = db.read_messages([f"{kind}-{i}" for kind in ("direct", "queued") for i in range(100)])
        assert len(found) == 200
        assert len({value["pid"] for value in found.values()}) == 100
        db.stop()
    """)
    run(tmp_path, source).quiet()
    assert len(records(tmp_path / "store")) == 202


def test_fork_while_eight_threads_use_the_handle(tmp_path: Path) -> None:
    source = program("""
        db = open_db(size=5, timeout=0.005, max_pending=40)
        done, failures, written = threading.Event(), [], []

        def hammer(number):
            turn = 0
            try:
                while not done.is_set():
                    name = f"{number}-{turn}"
                    turn += 1
                    if number % 4 == 0:
                        db.write_message(f"direct-{name}", "text")
                        written.append(f"direct-{name}")
                    elif number % 4 == 1:
                        db.write_queue_message(f"queued-{name}", {"text": "text"})
                        written.append(f"queued-{name}")
                    elif number % 4 == 2:
                        db.read_message(f"direct-0-{turn}")
                        db.list_messages(page_size=50)
                        db.stats()
                    else:
                        db.write_messages({f"bulk-{name}-{i}": "text" for i in range(3)})
                        written.extend(f"bulk-{name}-{i}" for i in range(3))
                        db.flush()
            except BaseException as error:
                failures.append(repr(error))

        def work(number):
            assert db.write_message(f"child-direct-{number}", "text")
            assert db.write_queue_message(f"child-queued-{number}", "text")
            db.flush()
            assert db.read_message(f"child-queued-{number}") == "text"
            assert len(db.list_keys()["keys"]) == 10
            if number % 3 == 0:
                db.stop()

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        for number in range(0, 30, 2):
            gather(child(work, number), child(work, number + 1, leave=sys.exit))
        done.set()
        [thread.join() for thread in threads]
        assert not failures, failures
        db.stop()
        with open("written", "w") as file:
            json.dump(written, file)
    """)
    run(tmp_path, source).quiet()
    written: list[str] = json.loads((tmp_path / "written").read_text())
    children = {f"child-{kind}-{number}" for kind in ("direct", "queued") for number in range(30)}
    assert set(records(tmp_path / "store")) == {*written, *children}


def test_fork_in_a_thread_and_children_of_children(tmp_path: Path) -> None:
    source = program("""
        db = open_db(timeout=0.01)
        db.write_queue_message("parent", "text")

        def work(depth, name):
            db.write_message(f"direct-{name}", "text")
            db.write_queue_message(f"queued-{name}", "text")
            if depth:
                gather(child(work, depth - 1, name + "-a"), child(work, depth - 1, name + "-b"))
            db.flush()

        def in_a_thread(name):
            gather(child(work, 2, name))

        threads = [threading.Thread(target=in_a_thread, args=(f"thread{number}",)) for number in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        db.stop()
    """)
    run(tmp_path, source).quiet()
    assert len(records(tmp_path / "store")) == 1 + 3 * 7 * 2


def test_a_child_drops_the_handle_it_has_inherited(tmp_path: Path) -> None:
    count_writes(tmp_path / "store")
    source = program("""
        db = open_db(timeout=60)
        for i in range(20):
            db.write_queue_message(f"parent-{i}", "text")
        db.write_message("parent", "text")
        assert db.read_message("parent") == "text"

        def work(use_first):
            global db
            if use_first:
                assert db.read_message("parent") == "text"
            del db
            gc.collect()
            other = open_db()
            assert other.write_message("child", "text")
            del other
            gc.collect()

        for number in range(10):
            gather(child(work, number % 2, leave=(os._exit, sys.exit)[number // 5]))
        # The child has neither closed the parent's file nor dropped its locks.
        assert db.write_message("parent", "again")
        assert db.read_message("child") == "text"
        db.stop()
    """)
    run(tmp_path, source).quiet()
    expected = Counter({f"parent-{i}": 1 for i in range(20)})
    assert writes(tmp_path / "store") == expected + Counter({"parent": 2, "child": 10})


def test_a_child_of_a_parent_that_waits_for_a_locked_file(tmp_path: Path) -> None:
    # The parent's threads are all stuck: leading a commit, in line behind it, blocked by the full queue.
    source = program("""
        import sqlite3
        db = open_db(timeout=0, max_pending=2)
        db.write_message("before", "text")
        number = os.fork()
        if not number:
            sqlite = sqlite3.connect("store", isolation_level=None)
            sqlite.execute("BEGIN EXCLUSIVE")
            open("locked", "w").close()
            while not os.path.exists("release"):
                time.sleep(0.01)
            sqlite.execute("ROLLBACK")
            os._exit(0)
        while not os.path.exists("locked"):
            time.sleep(0.01)
        jobs = [lambda i=i: db.write_message(f"direct-{i}", "text") for i in range(3)]
        jobs += [lambda i=i: db.write_queue_message(f"queued-{i}", "text") for i in range(6)]
        threads = [threading.Thread(target=job) for job in jobs]
        [thread.start() for thread in threads]
        time.sleep(0.3)

        def work(number):
            assert db.read_message("before") == "text"
            open("release", "w").close()
            assert db.write_message(f"child-{number}", "text")
            db.write_queue_message(f"child-queued-{number}", "text")
            db.flush()

        gather(*[child(work, i) for i in range(3)], number)
        [thread.join() for thread in threads]
        db.stop()
    """)
    run(tmp_path, source).quiet()
    names = {"before", *(f"direct-{i}" for i in range(3)), *(f"queued-{i}" for i in range(6))}
    names |= {f"{kind}-{i}" for kind in ("child", "child-queued") for i in range(3)}
    assert set(records(tmp_path / "store")) == names


def test_a_child_uses_the_file_that_the_parent_opened_whatever_its_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    source = program("""
        db = open_db()
        db.write_message("parent", "text")
        os.chdir("elsewhere")  # as a daemon would

        def work():
            assert db.read_message("parent") == "text"
            assert db.write_message("child", "text")

        gather(child(work))
        assert db.read_message("child") == "text"
        assert os.listdir(".") == []
        db.stop()
    """)
    run(tmp_path, source).quiet()
    assert set(records(tmp_path / "store")) == {"parent", "child"}


def test_a_receipt_of_the_parent_hangs_in_no_child(tmp_path: Path) -> None:
    source = program("""
        db = open_db(timeout=60)
        receipt = db.write_queue_message("parent", "text", receipt=True)

        def work():
            assert receipt.done() is False
            try:
                assert receipt.wait(0.1) is False
                receipt.wait(0.1)
            except RuntimeError as error:
                assert "fork" in str(error)

        gather(child(work))
        db.flush()
        assert receipt.wait() is True
    """)
    run(tmp_path, source).quiet()


@pytest.mark.parametrize("debug", [False, True])
def test_the_log_lines_of_the_parent_are_not_written_twice(tmp_path: Path, debug: bool) -> None:
    source = program("""
        logging.basicConfig(filename="log", format="%(process)d %(message)s", level=logging.DEBUG)
        debug = sys.argv[1] == "True"
        db = DB({"debug": debug, "local": {"filepath": "store"}, "queue_batch": {"timeout": 0}})
        for i in range(50):
            db.write_queue_message(f"parent-{i}", "text")

        def work():
            db.write_queue_message("child", "text")
            db.flush()

        gather(child(work, leave=sys.exit))
        db.stop()
    """)
    run(tmp_path, source, str(debug)).quiet()
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    expected = [
        f"{what}{key} -> text"
        for key in ["child", *(f"parent-{i}" for i in range(50))]
        for what in ("Message queued [local]: ", "Write successful to local backend: ")
    ]
    assert sorted(line for line in lines if " -> " in line) == (sorted(expected) if debug else [])


def test_on_error_works_in_the_child(tmp_path: Path) -> None:
    count_writes(tmp_path / "store")
    source = program("""
        import sqlite3
        from TetherDB import DeliveryError
        logging.getLogger("TetherDB").addHandler(logging.NullHandler())
        sqlite = sqlite3.connect("store", isolation_level=None)
        sqlite.execute("CREATE TRIGGER refuse BEFORE INSERT ON Dict WHEN CAST(new.key AS TEXT) = 'bad'"
                       " BEGIN SELECT RAISE(ABORT, 'refused'); END")
        sqlite.close()
        seen = []
        db = DB({"local": {"filepath": "store"}, "queue_batch": {"timeout": 0}},
                on_error=lambda *failed: seen.append((os.getpid(), failed[0])))

        def fail():
            db.write_queue_message("bad", "text")
            try:
                db.flush()
            except DeliveryError as error:
                assert len(error.failed) == 1
            deadline = time.monotonic() + 20
            while not seen and time.monotonic() < deadline:
                time.sleep(0.01)
            assert seen == [(os.getpid(), "bad")], seen
            assert len(db.failed_messages()) == 1

        fail()
        def work():
            assert db.failed_messages() == []
            seen.clear()
            fail()
        gather(child(work, leave=sys.exit))
        assert len(seen) == 1
    """)
    run(tmp_path, source).quiet()


def test_a_parent_that_closes_the_file_takes_nothing_from_its_child(tmp_path: Path) -> None:
    source = program("""
        db = open_db()
        db.write_message("parent", "text")
        db.read_message("parent")
        to_child, from_parent = os.pipe()
        to_parent, from_child = os.pipe()

        def work():
            db.write_message("child", "first")
            os.write(from_child, b"x")
            os.read(to_child, 1)
            for i in range(100):
                db.write_message(f"child-{i}", "text")

        number = child(work)
        os.read(to_parent, 1)
        # The parent is not the last one on the file: it must not carry the log away.
        db.stop()
        os.write(from_parent, b"x")
        gather(number)
    """)
    run(tmp_path, source).quiet()
    assert set(records(tmp_path / "store")) == {"parent", "child", *(f"child-{i}" for i in range(100))}


def test_fork_while_threads_open_and_drop_handles(tmp_path: Path) -> None:
    source = program("""
        done, failures = threading.Event(), []

        def make(number):
            turn = 0
            try:
                while not done.is_set():
                    turn += 1
                    db = open_db(timeout=0.01)
                    if turn % 3 == 0:
                        db.write_queue_message(f"queued-{number}", {"turn": turn})
                    if turn % 5 == 0:
                        db.read_message(f"queued-{number}")
                    if turn % 7 == 0:
                        db.stop()
                    del db
            except BaseException as error:
                failures.append(repr(error))

        def work(number):
            assert open_db().write_message(f"child-{number}", "text")

        threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
        [thread.start() for thread in threads]
        for number in range(40):
            gather(child(work, number, leave=(os._exit, sys.exit)[number % 2]))
        done.set()
        [thread.join() for thread in threads]
        assert not failures, failures
    """)
    run(tmp_path, source).quiet()
    found = records(tmp_path / "store")
    assert {key for key in found if key.startswith("child")} == {f"child-{number}" for number in range(40)}


def test_a_child_forked_during_the_first_verb_of_all_can_use_the_handle(tmp_path: Path) -> None:
    source = """
        import faulthandler, threading
        from TetherDB import DB
        sys.setswitchinterval(1e-6)
        db = DB({"local": {"filepath": "store"}})
        threading.Thread(target=db.stats, daemon=True).start()
        pid = os.fork()
        if not pid:
            faulthandler.dump_traceback_later(20, exit=True)
            db.write_message("key", "value")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        os._exit(0)
    """
    for _ in range(15):
        run(tmp_path, source).quiet()
    assert records(tmp_path / "store") == {"key": "value"}
