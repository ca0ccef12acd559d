"""The end of the program, wherever it comes: nothing accepted is lost, nothing hangs, nothing is said."""

from __future__ import annotations

import sys
import textwrap
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .scripts import Program, locked, prepare, records, run

if TYPE_CHECKING:
    from pathlib import Path

# The queue sends nothing by itself before the end: batches never fill.
OPEN = """
from TetherDB import DB
db = DB({"local": {"filepath": "store", "busy_timeout": 60}, "queue_batch": {"size": 10000, "timeout": 600}})

def queue(count=200, name="queued"):
    for i in range(count):
        assert db.write_queue_message(f"{name}-{i}", {"i": i}) is True

"""


class Case(NamedTuple):
    """A program that leaves with something queued."""

    name: str
    body: str
    code: int = 0
    queued: int = 200
    # What else is in the file.
    others: tuple[str, ...] = ()


CASES = [
    Case("end", "queue()"),
    Case("sys-exit", "queue(); sys.exit()"),
    Case("sys-exit-code", "queue(); sys.exit(7)", 7),
    Case("system-exit-in-with", "with db:\n    queue()\n    sys.exit(3)", 3),
    Case("after-stop", "queue(100); db.stop(); queue()"),
    Case("stopped-already", "queue(); db.stop()"),
    Case("flushed-already", "queue(); db.flush()"),
    Case("never-used", "pass", queued=0),
    Case("only-started", "db.start()", queued=0),
    Case("sys-exit-in-a-thread", "threading.Thread(target=lambda: (queue(), sys.exit(5))).start()"),
    Case(
        "queued-in-a-thread-that-ends-last",
        "threading.Thread(target=lambda: (time.sleep(0.3), queue())).start()",
    ),
    Case("deleted", "queue(); del db; gc.collect()"),
    Case("in-a-cycle", "queue(); cycle = [db]; cycle.append(cycle); del cycle, db"),
    Case("in-a-cycle-of-main", "queue(); db_cycle = {'db': db}; db_cycle['self'] = db_cycle"),
    Case(
        "held-by-a-module", "import builtins; builtins.kept = db; del db; db = builtins.kept; queue(); del db"
    ),
    Case("held-by-a-frame", "def hold(db):\n    yield queue()\nholder = hold(db); next(holder)"),
    Case(
        "several-handles",
        """
config = {"local": {"filepath": "store", "busy_timeout": 60}, "queue_batch": {"timeout": 600}}
handles = [DB(config) for _ in range(5)]
for n, handle in enumerate(handles):
    handle.write_queue_message(f"other-{n}", "text")
queue()
""",
        others=tuple(f"other-{n}" for n in range(5)),
    ),
    Case(
        "receipts",
        """
receipts = [db.write_queue_message(f"other-{n}", "text", receipt=True) for n in range(5)]
queue()
threading.Thread(target=receipts[0].wait, daemon=True).start()
""",
        others=tuple(f"other-{n}" for n in range(5)),
    ),
    Case(
        "in-an-event-loop",
        """
import asyncio
async def main():
    queue()
    sys.exit(4)
asyncio.run(main())
""",
        4,
    ),
    Case(
        "awaiting-in-an-event-loop",
        """
import asyncio
async def wait():
    await db.write_queue_message("other-0", "text", receipt=True)
async def main():
    task = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    queue()
asyncio.run(main())
""",
        others=("other-0",),
    ),
    Case(
        "in-a-pool",
        """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(4)
for n in range(20):
    pool.submit(time.sleep, 0.01)
    pool.submit(db.write_queue_message, f"other-{n}", "text")
queue()
""",
        others=tuple(f"other-{n}" for n in range(20)),
    ),
    Case(
        "finalizer-at-the-end",
        """
class Late:
    def __del__(self, db=db):
        db.write_message("other-0", "text")
queue()
late = Late()
""",
        others=("other-0",),
    ),
    Case(
        "finalizer-that-queues-at-the-end",
        """
class Late:
    def __del__(self, db=db):
        db.write_queue_message("other-0", "text")
queue()
late = Late()
""",
        others=("other-0",),
    ),
    Case(
        "tether",
        """
@db.tether(wait=False)
def work():
    return {"key": "other-0", "value": "text"}
queue()
assert work()
""",
        others=("other-0",),
    ),
    Case("closed-stderr", "queue(); sys.stderr.close()"),
    Case("no-stderr", "queue(); sys.stderr = sys.stdout = None"),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_exit_delivers_what_is_queued(tmp_path: Path, case: Case) -> None:
    prepare(tmp_path / "store")
    assert run(tmp_path, OPEN + case.body).quiet(case.code) == ""
    assert set(records(tmp_path / "store")) == {*(f"queued-{i}" for i in range(case.queued)), *case.others}


def test_exit_closes_the_file(tmp_path: Path) -> None:
    run(tmp_path, OPEN + "queue(); db.write_message('direct', 'text'); db.list_keys()").quiet()
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_exit_with_a_queue_that_is_full_and_busy(tmp_path: Path, size: int) -> None:
    source = """
        from TetherDB import DB
        queue = {"size": int(sys.argv[1]), "max_pending": 2000}
        db = DB({"local": {"filepath": "store"}, "queue_batch": queue})
        for i in range(10_000):
            db.write_queue_message(f"queued-{i}", {"i": i})
    """
    run(tmp_path, source, str(size)).quiet()
    assert len(records(tmp_path / "store")) == 10_000


def test_exit_after_an_uncaught_exception(tmp_path: Path) -> None:
    run(tmp_path, OPEN + "queue()\nraise RuntimeError('of the program')").last_words(
        "RuntimeError: of the program"
    )
    assert len(records(tmp_path / "store")) == 200


def test_exit_after_an_uncaught_exception_in_a_with_block(tmp_path: Path) -> None:
    body = "with db:\n    queue()\n    raise RuntimeError('of the program')"
    run(tmp_path, OPEN + body).last_words("RuntimeError: of the program")
    assert len(records(tmp_path / "store")) == 200


def test_exit_after_an_uncaught_exception_in_a_thread(tmp_path: Path) -> None:
    body = """
def fail():
    queue()
    raise RuntimeError("of the thread")
threading.Thread(target=fail).start()
"""
    result = run(tmp_path, OPEN + body)
    assert result.code == 0
    assert result.err.startswith("Exception in thread ")
    assert result.err.endswith("RuntimeError: of the thread\n")
    assert result.err.count("Traceback") == 1
    assert len(records(tmp_path / "store")) == 200


def test_exit_without_ceremony_keeps_what_was_flushed(tmp_path: Path) -> None:
    body = "queue(); db.flush(); db.write_message('direct', 'text'); queue(50, 'lost'); os._exit(3)"
    assert run(tmp_path, OPEN + body).quiet(3) == ""
    assert set(records(tmp_path / "store")) == {"direct", *(f"queued-{i}" for i in range(200))}


@pytest.mark.parametrize("seconds", [0.05, 0.4])
@pytest.mark.parametrize("number", range(3))
def test_exit_while_daemon_threads_use_every_verb(tmp_path: Path, seconds: float, number: int) -> None:
    # They are stopped in the middle of it. What a call has returned for, and the thread still noted, is kept.
    source = """
        from TetherDB import DB
        db = DB({"local": {"filepath": "store", "synchronous": "off", "busy_timeout": 60},
                 "queue_batch": {"size": 7, "timeout": 0.01, "max_pending": 30}})
        noted = os.open("noted", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def note(key):
            os.write(noted, f"{key}\\n".encode())

        def hammer(number):
            turn = 0
            while True:
                turn += 1
                name = f"{number}-{turn}"
                if number % 4 == 0:
                    db.write_message(f"direct-{name}", {"turn": turn}) and note(f"direct-{name}")
                elif number % 4 == 1:
                    db.write_queue_message(f"queued-{name}", {"turn": turn}) and note(f"queued-{name}")
                elif number % 4 == 2:
                    db.read_message("key")
                    db.read_messages(["key", "other"])
                    db.list_messages()
                    list(db.iter_messages())[:5]
                    db.stats()
                else:
                    db.write_messages({f"bulk-{name}-{i}": "text" for i in range(3)})
                    note(f"bulk-{name}-2")
                    db.update_message(f"bulk-{name}-0", "changed")
                    db.delete_message(f"bulk-{name}-1")
                    if turn % 10 == 0:
                        db.flush()

        for number in range(10):
            threading.Thread(target=hammer, args=(number,), daemon=True).start()
        time.sleep(float(sys.argv[1]))
        sys.exit(int(sys.argv[2]))
    """
    assert run(tmp_path, source, str(seconds), str(number)).quiet(number) == ""
    noted = (tmp_path / "noted").read_text().splitlines()
    assert set(noted) <= set(records(tmp_path / "store"))


@pytest.mark.parametrize(
    "verb", ["db.flush()", "db.write_message('key', 'text')", "db.stop()", "receipt.wait()"]
)
def test_exit_while_daemon_threads_wait_for_a_locked_file(tmp_path: Path, verb: str) -> None:
    store = tmp_path / "store"
    source = """
        from TetherDB import DB, TetherDBError
        db = DB({"local": {"filepath": "store", "busy_timeout": 100},
                 "queue_batch": {"timeout": 0, "max_pending": 5, "exit_timeout": 0.5}})
        logging.basicConfig(filename="log")
        receipt = db.write_queue_message("queued", "text", receipt=True)

        def work(source):
            try:
                exec(source)
            except TetherDBError:  # what cannot be delivered is said to whoever waits for it
                pass

        for i in range(4):
            for source in (sys.argv[1], f"db.write_queue_message('queued-{i}', 'text')",
                           f"db.write_queue_message('full-{i}', 'text')"):
                threading.Thread(target=work, args=(source,), daemon=True).start()
        time.sleep(0.3)
    """
    with locked(store):
        begun = time.monotonic()
        assert run(tmp_path, source, verb).quiet() == ""
        assert time.monotonic() - begun < 20


# Where a verb runs Python code: until Python 3.13 the end kills a thread that stands in it, below our frames.
IN_PYTHON_CODE = {
    "generators": """
        db.write_messages(items())
        db.read_messages(key for key, _ in items())
        db.delete_messages(key for key, _ in items())
    """,
    "mappings": """
        db.write_messages(Mapping())
        for pair in Mapping().items():
            db.write_messages([Pair(pair)])
    """,
    "json": """
        db.write_message("key", {1: Text("text"), "nan": float("nan")})
        db.read_message("key")
    """,
    "exceptions": """
        try:
            db.read_message("key", backend="etcd")
        except ValueError:
            pass
        try:
            db.write_messages([("key", {"value": object()})])
        except TypeError:
            pass
    """,
    "logging": """
        db.write_message("key", "text")
    """,
}


@pytest.mark.parametrize("code", IN_PYTHON_CODE)
def test_exit_while_daemon_threads_are_in_python_code_that_a_verb_calls(tmp_path: Path, code: str) -> None:
    source = """
        from collections import UserDict, UserString
        from TetherDB import DB

        CODE = sys.argv[1]
        if CODE == "logging":
            class Handler(logging.Handler):
                def emit(self, record):
                    for _ in range(100):
                        self.format(record)
            logging.getLogger("TetherDB").addHandler(Handler())
        db = DB({"debug": CODE == "logging",
                 "local": {"filepath": "store", "synchronous": "off", "busy_timeout": 60}})

        def items():
            for i in range(50):
                if i % 10 == 0:
                    time.sleep(0)
                yield f"{i}", {"i": [i]}

        class Mapping(UserDict):
            def items(self):
                return items()

        class Pair:
            def __init__(self, pair): self.pair = pair
            def __iter__(self):
                for half in self.pair:
                    for _ in range(100):
                        pass
                    yield half

        class Text(str):
            pass

        def hammer():
            while True:
                exec(COMPILED)

        COMPILED = compile(sys.argv[2], "verbs", "exec")
        for _ in range(4):
            threading.Thread(target=hammer, daemon=True).start()
        time.sleep(0.2)
        for i in range(100):
            db.write_queue_message(f"queued-{i}", "text")
    """
    program = textwrap.dedent(IN_PYTHON_CODE[code])
    for round_ in range(8):
        folder = tmp_path / f"{round_}"
        folder.mkdir()
        assert run(folder, source, code, program).quiet() == ""
        assert sum(key.startswith("queued-") for key in records(folder / "store")) == 100


BEFORE_AND_AFTER = """
import atexit

def use(name):
    assert db.write_message(f"{name}-direct", {"name": name})
    assert db.write_queue_message(f"{name}-queued", {"name": name})
    receipt = db.write_queue_message(f"{name}-receipt", {"name": name}, receipt=True)
    assert db.write_messages({f"{name}-bulk": "text"}) == 1
    assert db.read_message(f"{name}-direct") == {"name": name}
    assert db.update_message(f"{name}-direct", "changed")
    assert db.delete_message(f"{name}-bulk")
    assert f"{name}-direct" in db.list_keys(page_size=100)["keys"]
    assert (f"{name}-direct", "changed") in list(db.iter_messages())
    db.flush()
    assert receipt.wait(10) is True
    assert db.read_message(f"{name}-queued") == {"name": name}
    assert db.stats()["local"]["pending"] == 0
    assert db.write_queue_message(f"{name}-late", "text")
    other = DB({"local": {"filepath": "store"}})
    assert other.write_queue_message(f"{name}-other", "text")
    db.start()
    STOP
    with open("done", "a") as file: file.write(name + "\\n")

atexit.register(use, "first")
from TetherDB import DB
atexit.register(use, "second")
db = DB({"local": {"filepath": "store"}, "queue_batch": {"timeout": 600}})
atexit.register(use, "third")
db.write_queue_message("main", "text")
"""


@pytest.mark.parametrize("stop", ["pass", "db.stop()", "db.stop(); db.write_queue_message('last', 'text')"])
def test_exit_functions_may_call_verbs(tmp_path: Path, stop: str) -> None:
    # Registered before the import, before the first handle, after it: called after us, and before us.
    assert run(tmp_path, BEFORE_AND_AFTER.replace("STOP", stop)).quiet() == ""
    assert (tmp_path / "done").read_text().split() == ["third", "second", "first"]
    found = set(records(tmp_path / "store"))
    kinds = ("direct", "queued", "receipt", "late", "other")
    expected = {f"{name}-{kind}" for name in ("first", "second", "third") for kind in kinds}
    assert found == {"main", *expected, *({"last"} if "last" in stop else ())}


LOCKED = """
from TetherDB import DB
SETUP
db = DB({"local": {"filepath": "store", "busy_timeout": BUSY},
         "queue_batch": {"timeout": 600, "exit_timeout": 0.5}})
for i in range(25):
    db.write_queue_message(f"queued-{i}", "text")
"""


@pytest.mark.parametrize("busy_timeout", ["0.05", "100"])
@pytest.mark.parametrize("delete", ["", "del db"])
def test_exit_timeout_is_logged_with_the_number(tmp_path: Path, busy_timeout: str, delete: str) -> None:
    setup = "logging.basicConfig(filename='log', format='%(levelname)s %(message)s')"
    source = LOCKED.replace("SETUP", setup).replace("BUSY", busy_timeout) + delete
    with locked(tmp_path / "store"):
        begun = time.monotonic()
        assert run(tmp_path, source).quiet() == ""
        assert time.monotonic() - begun < 20
    errors = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("ERROR ")]
    assert any("25" in line.split() for line in errors), errors
    assert records(tmp_path / "store") == {}


def test_exit_timeout_is_said_on_stderr_where_nobody_has_set_up_logging(tmp_path: Path) -> None:
    with locked(tmp_path / "store"):
        result = run(tmp_path, LOCKED.replace("SETUP", "").replace("BUSY", "100"))
    assert result.code == 0
    assert "25" in result.err.split()
    assert "Traceback" not in result.err
    assert len(result.err.splitlines()) <= 30


def test_exit_waits_for_a_file_that_is_released_in_time(tmp_path: Path) -> None:
    store = tmp_path / "store"
    source = OPEN + "queue()\nprint('leaving', flush=True)"
    with locked(store) as release, Program(tmp_path, source) as program:
        program.expect("leaving")
        time.sleep(1.0)
        release()
        program.finish().quiet()
    assert len(records(store)) == 200


def test_exit_with_messages_that_are_given_up(tmp_path: Path) -> None:
    # The folder does not come back: given up, logged and handed to on_error, and the program ends.
    source = """
        from TetherDB import DB
        logging.basicConfig(filename="log", format="%(levelname)s %(message)s")
        def on_error(*failed):
            with open("failed", "a") as file: file.write(failed[0] + "\\n")
        queue = {"timeout": 600, "exit_timeout": 0.5}
        db = DB({"local": {"filepath": "missing/store"}, "queue_batch": queue}, on_error=on_error)
        for i in range(5):
            db.write_queue_message(f"queued-{i}", "text")
    """
    assert run(tmp_path, source).quiet() == ""
    assert sorted((tmp_path / "failed").read_text().split()) == [f"queued-{i}" for i in range(5)]
    assert "ERROR" in (tmp_path / "log").read_text()


DEBUG = """
from TetherDB import DB
SETUP
db = DB({"debug": True})
db.write_queue_message("key3", {"name": "Charlie"})
END
"""
LINES = [
    "Local backend initialized at: localdb",
    "Background worker started.",
    'Message queued [local]: key3 -> {"name": "Charlie"}',
    'Write successful to local backend: key3 -> {"name": "Charlie"}',
    "Background worker stopped.",
    "Database resources released and closed.",
]


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "db.stop()", "with db: pass"])
def test_exit_with_debug_says_every_line_to_the_end(tmp_path: Path, end: str) -> None:
    result = run(tmp_path, DEBUG.replace("SETUP", "").replace("END", end))
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines() == [f"DEBUG: {line}" for line in LINES]


def test_exit_with_debug_and_a_handler_of_the_program(tmp_path: Path) -> None:
    setup = "logging.basicConfig(filename='log', format='%(message)s', level=logging.DEBUG)"
    assert run(tmp_path, DEBUG.replace("SETUP", setup).replace("END", "")).quiet() == ""
    assert (tmp_path / "log").read_text().splitlines() == LINES


def test_exit_with_debug_while_daemon_threads_write(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        logging.basicConfig(filename="log", format="%(message)s", level=logging.DEBUG)
        local = {"filepath": "store", "synchronous": "off"}
        db = DB({"debug": True, "local": local, "queue_batch": {"max_pending": 20}})
        def hammer(number):
            turn = 0
            while True:
                turn += 1
                (db.write_message, db.write_queue_message)[number % 2](f"{number}-{turn}", "text")
        for number in range(8):
            threading.Thread(target=hammer, args=(number,), daemon=True).start()
        time.sleep(0.3)
    """
    for round_ in range(5):
        folder = tmp_path / f"{round_}"
        folder.mkdir()
        assert run(folder, source).quiet() == ""
        text = (folder / "log").read_text()
        assert "Database resources released and closed." in text
        assert "Traceback" not in text


def test_exit_with_a_logging_handler_that_fails_or_hangs_a_while(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        logging.raiseExceptions = False
        class Handler(logging.Handler):
            def emit(self, record):
                time.sleep(0.01)
                if "key" in record.getMessage():
                    raise RuntimeError("from the handler")
            def handle(self, record):
                try:
                    return super().handle(record)
                except RuntimeError:
                    return False
        logging.getLogger("TetherDB").addHandler(Handler())
        db = DB({"debug": True, "local": {"filepath": "store"}})
        for i in range(20):
            db.write_queue_message(f"key-{i}", "text")
    """
    assert run(tmp_path, source).quiet() == ""
    assert len(records(tmp_path / "store")) == 20


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_exit_by_a_signal_handler(tmp_path: Path) -> None:
    source = OPEN + (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "queue()\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(50)\n"
    )
    assert run(tmp_path, source).quiet(9) == ""
    assert len(records(tmp_path / "store")) == 200


@pytest.mark.parametrize("verb", ["write_message", "write_queue_message"])
def test_the_first_verb_of_all_is_called_by_a_hook_of_the_end(tmp_path: Path, verb: str) -> None:
    source = f"""
        import atexit
        from TetherDB import DB
        db = DB({{"local": {{"filepath": "store"}}}})
        atexit.register(lambda: db.{verb}("key", "value"))
    """
    run(tmp_path, source).quiet()
    assert records(tmp_path / "store") == {"key": "value"}
