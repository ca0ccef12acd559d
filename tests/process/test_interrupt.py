"""Ctrl-C ends every waiting call soon, and the handle is as good as before."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .scripts import DBM_TABLE, Program, locked, prepare, records

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The contract says 0.2 s; the rest is for a machine that does something else as well.
SOON = 1.0

# Its arguments are three pieces of code: before the call, the call that waits, and after the file was
# released. Ctrl-C comes into the call, twice.
PROGRAM = """
    from TetherDB import DB, DeliveryError, QueueFull
    before, call, after = (compile(code, "<argument>", "exec") for code in sys.argv[1:])
    local = {"filepath": "store", "busy_timeout": 100}
    queue = {"timeout": 0.01, "max_pending": 3}
    exec(before)
    for _ in range(2):
        print("ready", flush=True)
        try:
            exec(call)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
        else:
            print("returned", flush=True)
    sys.stdin.readline()
    exec(after)
    db.stop()
    print("works", flush=True)
"""
OPEN = "db = DB({'local': local, 'queue_batch': queue})\n"


class Case(NamedTuple):
    """One call that waits while another process has the file locked."""

    name: str
    call: str
    before: str = ""
    after: str = ""
    # What is in the file at the end, besides old -> "value" and new -> "value".
    left: Mapping[str, str] = MappingProxyType({})


QUEUED = "for i in range(3): db.write_queue_message(f'queued-{i}', 'value')\n"
DELIVERED = {f"queued-{i}": "value" for i in range(3)}

WRITING = [
    Case("flush", "db.flush()", QUEUED, "db.flush()", DELIVERED),
    Case("flush-with-timeout", "db.flush(timeout=100)", QUEUED, "db.flush(timeout=100)", DELIVERED),
    Case("stop", "db.stop()", QUEUED, "db.stop()", DELIVERED),
    Case("stop-with-timeout", "db.stop(timeout=100)", QUEUED, "", DELIVERED),
    Case("with", "with db: pass", QUEUED, "", DELIVERED),
    Case("write_message", "db.write_message('never', 'value')"),
    Case("update_message", "db.update_message('old', 'changed')"),
    Case("delete_message", "db.delete_message('old')"),
    Case("write_messages", "db.write_messages({f'never-{i}': 'value' for i in range(100)})"),
    Case("delete_messages", "db.delete_messages(['old', 'other'])"),
    Case("full-queue", "db.write_queue_message('never', 'value')", QUEUED, "", DELIVERED),
    Case("full-queue-by-flag", "db.write_message('never', 'value', queue=True)", QUEUED, "", DELIVERED),
    Case(
        "tether",
        "work()",
        "@db.tether(key='never')\ndef work(): return {'value': 'text'}\n",
    ),
    Case(
        "tether-full-queue",
        "work()",
        QUEUED + "@db.tether(wait=False, key='never')\ndef work(): return {'value': 'text'}\n",
        left=DELIVERED,
    ),
    Case(
        "receipt",
        "receipt.wait()",
        "receipt = db.write_queue_message('queued-0', 'value', receipt=True)\n",
        "assert receipt.wait(100) is True",
        {"queued-0": "value"},
    ),
    Case(
        "receipt-with-timeout",
        "receipt.wait(timeout=100)",
        "receipt = db.write_queue_message('queued-0', 'value', receipt=True)\n",
        "assert receipt.wait() is True",
        {"queued-0": "value"},
    ),
    Case(
        "direct-behind-queued",
        "db.write_message('queued-0', 'never')",
        QUEUED,
        "db.flush()",
        DELIVERED,
    ),
    Case("delete-behind-queued", "db.delete_message('queued-0')", QUEUED, "db.flush()", DELIVERED),
    Case(
        "bulk-behind-queued",
        "db.write_messages({f'never-{i}': 'value' for i in range(5)} | {'queued-0': 'never'})",
        QUEUED,
        "db.flush()",
        DELIVERED,
    ),
    Case(
        "behind-another-thread",
        "db.write_message('never', 'value')",
        "thread = threading.Thread(target=db.write_message, args=('other', 'value'))\n"
        "thread.start()\ntime.sleep(0.2)\n",
        "thread.join()\n",
        {"other": "value"},
    ),
    Case(
        "before-another-thread",
        "db.write_message('never', 'value')",
        "def later():\n    time.sleep(0.1)\n    db.write_message('other', 'value')\n"
        "thread = threading.Thread(target=later)\nthread.start()\n",
        "thread.join()\n",
        {"other": "value"},
    ),
]

READING = [
    Case("read_message", "db.read_message('old')"),
    Case("read_messages", "db.read_messages(['old', 'other'])"),
    Case("list_messages", "db.list_messages()"),
    Case("list_keys", "db.list_keys()"),
    Case("iter_messages", "list(db.iter_messages())"),
    Case("ping", "db.ping()"),
    Case("update_message", "db.update_message('old', 'changed')"),
    Case("delete_message", "db.delete_message('old')"),
    Case("write_message", "db.write_message('never', 'value')"),
]


def interrupt(program: Program, pause: float = 0.3) -> None:
    """Ctrl-C once it has got into its call, which must end soon."""
    program.expect("ready")
    time.sleep(pause)
    sent = time.monotonic()
    program.send(signal.SIGINT)
    ended = float(program.expect("interrupted"))
    assert ended - sent < SOON


@pytest.mark.parametrize("case", WRITING, ids=[case.name for case in WRITING])
def test_interrupts_what_waits_for_a_writer(tmp_path: Path, case: Case) -> None:
    store = tmp_path / "store"
    prepare(store, {"old": "value"})
    after = case.after + "\nassert db.write_message('new', 'value')\nassert db.read_message('old') == 'value'"
    with (
        locked(store) as release,
        Program(tmp_path, PROGRAM, OPEN + case.before, case.call, after) as program,
    ):
        interrupt(program)
        interrupt(program)
        release()
        program.tell()
        program.expect("works")
        program.finish().quiet()
    # What was interrupted before it began has not happened and does not happen later.
    assert records(store) == {"old": "value", "new": "value", **case.left}


@pytest.mark.parametrize("case", READING, ids=[case.name for case in READING])
def test_interrupts_what_waits_for_an_exclusive_lock(tmp_path: Path, case: Case) -> None:
    store = tmp_path / "store"
    with closing(sqlite3.connect(store)) as sqlite:
        sqlite.execute(DBM_TABLE)
        sqlite.execute("INSERT INTO Dict VALUES (?, ?)", (b"old", b"value"))
        sqlite.commit()
    after = case.after + "\nassert db.write_message('new', 'value')\nassert db.read_message('old') == 'value'"
    with (
        locked(store, against_readers=True) as release,
        Program(tmp_path, PROGRAM, OPEN + case.before, case.call, after) as program,
    ):
        interrupt(program)
        interrupt(program)
        release()
        program.tell()
        program.expect("works")
        program.finish().quiet()
    assert records(store) == {"old": "value", "new": "value"}


HUGE = 1_000_000


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of a million records."""
    folder = tmp_path_factory.mktemp("huge")
    prepare(folder / "store")
    with closing(sqlite3.connect(folder / "store", isolation_level=None)) as sqlite:
        sqlite.execute("PRAGMA synchronous = off")
        sqlite.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
            " INSERT INTO Dict SELECT CAST(printf('%07d', i) AS BLOB), CAST('value' AS BLOB) FROM n",
            (HUGE,),
        )
    return folder


@pytest.mark.parametrize(
    "call",
    [
        f"db.read_messages(f'{{i:07}}' for i in range({HUGE}))",
        "db.read_messages(keys)",
        f"db.list_messages(page_size={HUGE})",
        f"db.list_keys(page_size={HUGE})",
        f"for _ in db.iter_messages(page_size={HUGE}): pass",
        "for _ in db.iter_messages(): pass",
    ],
)
def test_interrupts_a_huge_read(huge: Path, call: str) -> None:
    before = OPEN + f"keys = [f'{{i:07}}' for i in range({HUGE})]\n"
    # Over and over, so that Ctrl-C comes into the call however fast it is.
    call = "while True:\n    " + call
    with Program(huge, PROGRAM, before, call, "assert db.read_message('0000000') == 'value'") as program:
        interrupt(program, 0.1)
        interrupt(program, 0.7)
        program.tell()
        program.expect("works")
        program.finish().quiet()


@pytest.mark.parametrize("pauses", [(0.1, 0.7), (0.4, 1.6)])
@pytest.mark.parametrize(
    "call",
    [
        f"db.write_messages((f'{{i:07}}', 'value') for i in range({HUGE}))",
        "db.write_messages(items); db.delete_messages(items)",
    ],
)
def test_interrupts_a_huge_write_and_all_or_nothing_of_it_stays(
    tmp_path: Path, call: str, pauses: tuple[float, float]
) -> None:
    store = tmp_path / "store"
    prepare(store, {"old": "value"})
    before = OPEN + f"items = {{f'{{i:07}}': 'value' for i in range({HUGE})}}\n"
    call = "while True: " + call
    with Program(tmp_path, PROGRAM, before, call, "assert db.write_message('new', 'value')") as program:
        for pause in pauses:
            interrupt(program, pause)
        program.tell()
        program.expect("works")
        program.finish().quiet()
    found = records(store)
    assert found.pop("old") == found.pop("new") == "value"
    assert len(found) in (0, HUGE)


@pytest.mark.parametrize("verb", ["db.write_message('never', 'value')", "db.flush()", "receipt.wait()"])
def test_what_another_signal_handler_raises_comes_out_of_the_call(tmp_path: Path, verb: str) -> None:
    store = tmp_path / "store"
    source = """
        from TetherDB import DB
        class Alarm(Exception): pass
        def ring(*_): raise Alarm
        signal.signal(signal.SIGALRM, ring)
        db = DB({"local": {"filepath": "store", "busy_timeout": 100}})
        receipt = db.write_queue_message("queued", "value", receipt=True)
        begun = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            exec(sys.argv[1])
        except Alarm:
            assert time.monotonic() - begun < 1.3
            print("rung", flush=True)
        sys.stdin.readline()
    """
    with locked(store) as release, Program(tmp_path, source, verb) as program:
        program.expect("rung")
        release()
        program.tell()
        program.finish().quiet()
    assert records(store) == {"queued": "value"}


def test_a_handler_that_raises_nothing_leaves_the_call_waiting(tmp_path: Path) -> None:
    store = tmp_path / "store"
    source = """
        from TetherDB import DB
        signal.signal(signal.SIGUSR1, lambda *_: print("rung", flush=True))
        db = DB({"local": {"filepath": "store", "busy_timeout": 100}})
        print("ready", flush=True)
        assert db.write_message("key", "value") is True
    """
    with locked(store) as release, Program(tmp_path, source) as program:
        program.expect("ready")
        for _ in range(3):
            time.sleep(0.1)
            program.send(signal.SIGUSR1)
            program.expect("rung")
        release()
        program.finish().quiet()
    assert records(store) == {"key": "value"}


def test_ctrl_c_that_nobody_catches_ends_the_program_and_delivers(tmp_path: Path) -> None:
    store = tmp_path / "store"
    source = """
        from TetherDB import DB
        db = DB({"local": {"filepath": "store", "busy_timeout": 100}, "queue_batch": {"exit_timeout": 60}})
        for i in range(20):
            db.write_queue_message(f"queued-{i}", "value")
        print("ready", flush=True)
        db.flush()
    """
    with locked(store) as release, Program(tmp_path, source) as program:
        program.expect("ready")
        time.sleep(0.3)
        program.send(signal.SIGINT)
        time.sleep(0.3)
        release()
        # As Python has it: the process ends by the signal.
        program.finish().last_words("KeyboardInterrupt", -signal.SIGINT)
    assert records(store) == {f"queued-{i}": "value" for i in range(20)}
