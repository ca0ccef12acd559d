"""The end of a program, forks, Ctrl-C, and threads beside a verb that waits."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from process.scripts import Program, run
from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend
    from .place import Place

    Trouble = Callable[[], AbstractContextManager[None]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")

# The contract says 0.2 s; the rest is for a machine that does something else as well.
SOON = 1.0
OPEN = """
from TetherDB import DB
on = sys.argv[1]

def open_db(**more):
    return DB({**json.loads(sys.argv[2]), **more})
"""


@pytest.fixture
def arguments(backend: Backend, place: Place, path: Path) -> Callable[[], list[str]]:
    """What a program needs to open a handle on the place."""
    return lambda: [backend.name, json.dumps({"local": {"filepath": str(path)}, **place.config})]


@pytest.mark.parametrize(
    ("end", "code"),
    [("", 0), ("del db", 0), ("sys.exit(3)", 3), ("db.start()", 0)],
    ids=["ends", "forgets it", "exits", "started"],
)
def test_the_end_of_a_program_delivers_what_is_queued_without_a_word(
    end: str, code: int, arguments: Callable[[], list[str]], place: Place, tmp_path: Path
) -> None:
    program = """
db = open_db(queue_batch={"timeout": 3600, "size": 7})
for number in range(25):
    db.write_queue_message(f"{number:02}", "v", backend=on)
"""
    run(tmp_path, OPEN + program + end, *arguments()).quiet(code)
    assert place.everything() == {f"{number:02}": "v" for number in range(25)}


def test_an_uncaught_exception_delivers_what_is_queued(
    arguments: Callable[[], list[str]], place: Place, tmp_path: Path
) -> None:
    program = """
with open_db(queue_batch={"timeout": 3600}) as db:
    db.write_queue_message("k", "v", backend=on)
    raise KeyError("mine")
"""
    run(tmp_path, OPEN + program, *arguments()).last_words("KeyError: 'mine'")
    assert place.everything() == {"k": "v"}


def test_what_the_end_of_a_program_cannot_deliver_is_logged_with_its_number(
    outage: Trouble, arguments: Callable[[], list[str]], place: Place, tmp_path: Path
) -> None:
    program = """
db = open_db(queue_batch={"timeout": 0.01, "exit_timeout": 0.5})
for number in range(7):
    db.write_queue_message(f"{number}", "v", backend=on)
print("queued", flush=True)
"""
    with outage():
        begun = time.monotonic()
        code, _, said = run(tmp_path, OPEN + program, *arguments())
        assert time.monotonic() - begun < 10
    assert code == 0
    # Where nobody has set up logging, errors go to stderr all the same.
    assert "7 " in said, said
    assert place.everything() == {}


FORK = """
def child(work):
    number = os.fork()
    if number:
        return number
    # A child that hangs is not left behind.
    signal.alarm(10)
    code = 9
    try:
        work()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)

def gather(number):
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    assert code == 0, code
"""


def test_after_fork_the_handle_of_the_child_works_and_that_of_the_parent_goes_on(
    arguments: Callable[[], list[str]], place: Place, tmp_path: Path
) -> None:
    program = """
db = open_db(queue_batch={"timeout": 0.02})
assert db.write_message("parent", {"from": "parent"}, backend=on)
assert db.write_queue_message("parent-queued", "text", backend=on)
db.flush()

def work():
    assert db.read_message("parent", backend=on) == {"from": "parent"}
    assert db.write_message("child", "new", backend=on)
    assert db.update_message("child", "changed", backend=on)
    assert db.write_queue_message("child-queued", "text", backend=on)
    db.flush()
    assert db.write_messages({"child-a": "a", "child-b": "b"}, backend=on) == 2
    found = db.read_messages(["child-a", "parent"], backend=on)
    assert found == {"child-a": "a", "parent": {"from": "parent"}}
    assert db.delete_message("child-a", backend=on)
    assert len(db.list_keys(backend=on)["keys"]) == 5
    assert len(dict(db.iter_messages(backend=on))) == 5
    assert db.ping(on) >= 0
    assert db.write_queue_message("child-receipt", "text", backend=on, receipt=True).wait(30) is True

gather(child(work))
assert db.read_message("child", backend=on) == "changed"
assert db.write_queue_message("parent", "again", backend=on)
db.stop()
"""
    run(tmp_path, OPEN + FORK + program, *arguments()).quiet()
    assert place.everything() == {
        "parent": "again",
        "parent-queued": "text",
        "child": "changed",
        "child-queued": "text",
        "child-b": "b",
        "child-receipt": "text",
    }


def test_what_the_parent_had_queued_is_delivered_by_the_parent_alone(
    history: Callable[[str], list[str | None]], arguments: Callable[[], list[str]], tmp_path: Path
) -> None:
    program = """
db = open_db(queue_batch={"timeout": 3600})
for number in range(5):
    db.write_queue_message("parent", str(number), backend=on)

def work():
    assert db.stats()[on]["pending"] == 0
    db.write_queue_message("child", "v", backend=on)
    db.stop()

gather(child(work))
assert db.read_message("child", backend=on) == "v"
assert db.read_message("parent", backend=on) is None
db.stop()
"""
    run(tmp_path, OPEN + FORK + program, *arguments()).quiet()
    assert history("parent") == ["0", "1", "2", "3", "4"]
    assert history("child") == ["v"]


def test_children_that_are_forked_while_the_parent_is_busy_work_too(
    arguments: Callable[[], list[str]], place: Place, tmp_path: Path
) -> None:
    program = """
db = open_db(queue_batch={"timeout": 0.01})
done = threading.Event()

def busy(number):
    turn = 0
    while not done.is_set():
        turn += 1
        db.write_message(f"busy {number}", str(turn), backend=on)
        db.write_queue_message(f"queued {number}", str(turn), backend=on)
        db.read_message(f"queued {number}", backend=on)

def work(number):
    assert db.write_message(f"child {number}", "v", backend=on)
    assert db.write_queue_message(f"child-queued {number}", "v", backend=on)
    db.flush(20)
    assert db.read_message(f"child {number}", backend=on) == "v"

db.ping(on)
threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for number in range(8):
    gather(child(lambda: work(number)))
done.set()
for thread in threads:
    thread.join()
db.stop()
"""
    run(tmp_path, OPEN + FORK + program, *arguments()).quiet()
    found = place.everything()
    assert sum(key.startswith("child ") for key in found) == 8
    assert sum(key.startswith("child-queued ") for key in found) == 8


def test_a_child_that_is_forked_while_another_thread_makes_the_first_call_of_all_works(
    arguments: Callable[[], list[str]], place: Place, tmp_path: Path
) -> None:
    program = """
db = open_db()

def first(number):
    thread = threading.Thread(target=db.write_message, args=(f"parent {number}", "v", "", on))
    thread.start()
    # One of them meets what takes a fraction of a millisecond, another what takes a few.
    time.sleep(number * number / 10_000)
    gather(child(lambda: db.write_message(f"child {number}", "v", "", on)))
    thread.join()

# Each of them is a process in which nothing has been called yet.
for number in range(16):
    gather(child(lambda: first(number)))
"""
    run(tmp_path, OPEN + FORK + program, *arguments(), timeout=20).quiet()
    found = place.everything()
    assert sum(key.startswith("parent ") for key in found) == 16
    assert sum(key.startswith("child ") for key in found) == 16


CALLS = {
    "read_message": "db.read_message('old', backend=on)",
    "read_messages": "db.read_messages(['old', 'other'], backend=on)",
    "list_messages": "db.list_messages(backend=on)",
    "list_keys": "db.list_keys(backend=on)",
    "iter_messages": "list(db.iter_messages(backend=on))",
    "ping": "db.ping(on)",
    "write_message": "db.write_message('a', 'v', backend=on)",
    "update_message": "db.update_message('b', 'v', backend=on)",
    "delete_message": "db.delete_message('c', backend=on)",
    "write_messages": "db.write_messages({f'd{i}': 'v' for i in range(100)}, backend=on)",
    "delete_messages": "db.delete_messages([f'e{i}' for i in range(100)], backend=on)",
    "tether": "db.tether(backend=on)(lambda: {'value': 'v'})()",
    "flush": "db.flush()",
    "flush-timeout": "db.flush(timeout=100)",
    "receipt": "receipt.wait()",
    "receipt-timeout": "receipt.wait(100)",
    "direct-behind-queued": "db.write_message('queued', 'v', backend=on)",
    "full-queue": "db.write_queue_message('f', 'v', backend=on)",
    "stop": "db.stop()",
    "stop-timeout": "db.stop(timeout=100)",
}


def test_ctrl_c_ends_any_waiting_call(
    stall: Trouble, arguments: Callable[[], list[str]], backend: Backend, place: Place, tmp_path: Path
) -> None:
    program = """
db = open_db(queue_batch={"timeout": 0.01, "max_pending": 1})
print("open", flush=True)
sys.stdin.readline()
receipt = db.write_queue_message("queued", "v", backend=on, receipt=True)
for name, call in json.loads(sys.argv[3]).items():
    code = compile(call, "<call>", "eval")
    try:
        print("begins", name, flush=True)
        eval(code)
    except KeyboardInterrupt:
        print("interrupted", time.monotonic(), flush=True)
    else:
        print("returned", flush=True)
sys.stdin.readline()
assert receipt.wait(60) is True
assert db.write_message("works", "v", backend=on) is True
db.stop()
"""
    late: dict[str, float] = {}
    with Program(tmp_path, OPEN + program, *arguments(), json.dumps(CALLS)) as running:
        running.expect("open")
        with stall():
            running.tell()
            for name in CALLS:
                assert running.expect("begins") == name
                time.sleep(0.05)
                sent = time.monotonic()
                running.send(signal.SIGINT)
                late[name] = float(running.expect("interrupted")) - sent
        running.tell()
        running.finish().quiet()
    assert max(late.values()) < SOON, late
    found = place.everything()
    assert found["works"] == "v"
    assert found["queued"] == "v"
    written = sum(key.startswith("d") for key in found)
    # What was interrupted was done as a whole, or not at all.
    assert written in (0, 100) or backend.atomic_keys < 100


def test_other_threads_go_on_while_a_verb_waits(
    stall: Trouble, open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    # On a place where nobody has written yet, so that a reader of a file waits too.
    place.put("k", "v")
    db, on = open_db(), backend.name
    verbs: list[Callable[[], Any]] = [
        lambda: db.read_message("k", backend=on),
        lambda: db.read_messages(["k"], backend=on),
        lambda: db.list_keys(backend=on),
        lambda: db.ping(on),
        lambda: next(db.iter_messages(backend=on)),
        lambda: db.write_message("a", "v", backend=on),
        lambda: db.update_message("b", "v", backend=on),
        lambda: db.delete_message("c", backend=on),
        lambda: db.write_messages({"d": "v"}, backend=on),
        lambda: db.delete_messages(["e"], backend=on),
        lambda: db.flush(),
    ]
    with stall():
        receipt = db.write_queue_message("f", "v", backend=on, receipt=True)
        threads = [threading.Thread(target=verb) for verb in [*verbs, receipt.wait]]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        # Who kept the interpreter to themselves would keep it from here.
        for _ in range(50):
            time.sleep(0.002)
        assert time.monotonic() - begun < 10
        assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
