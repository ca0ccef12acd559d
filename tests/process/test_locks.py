"""User code may run wherever Python runs it, and use the handle there: nothing waits for itself."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from .scripts import Program, locked, prepare, records, run

if TYPE_CHECKING:
    from pathlib import Path


def refuse(path: Path, pattern: str) -> None:
    """Makes the file such that it refuses keys like `pattern` for good."""
    prepare(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON Dict WHEN CAST(new.key AS TEXT) LIKE '{pattern}'"
            " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )


def test_logging_handlers_may_call_any_verb(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB

        class Handler(logging.Handler):
            def emit(self, record):
                if "log-" in record.getMessage() or "db" not in globals():
                    return
                db.read_message("key")
                db.write_message("log-direct", {"line": record.getMessage()})
                db.write_queue_message("log-queued", {"line": record.getMessage()})
                db.list_keys()
                db.stats()

        logging.getLogger("TetherDB").addHandler(Handler())
        db = DB({"debug": True, "local": {"filepath": "store", "synchronous": "off"},
                 "queue_batch": {"size": 3, "timeout": 0.01}})
        failures = []

        def work(number):
            try:
                for turn in range(25):
                    db.write_message(f"{number}-{turn}-direct", "text")
                    db.write_queue_message(f"{number}-{turn}-queued", "text")
                    db.read_message(f"{number}-{turn}-direct")
                    if turn % 10 == 0:
                        db.flush()
            except BaseException as error:
                failures.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not failures, failures
        db.stop()
    """
    run(tmp_path, source).quiet()
    found = records(tmp_path / "store")
    names = {f"{n}-{turn}-{kind}" for n in range(6) for turn in range(25) for kind in ("direct", "queued")}
    assert set(found) == names | {"log-direct", "log-queued"}


def test_a_logging_handler_may_flush(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        inside = []

        class Handler(logging.Handler):
            def emit(self, record):
                if not inside and "Write successful" in record.getMessage():
                    inside.append(1)
                    db.flush()
                    inside.pop()

        logging.getLogger("TetherDB").addHandler(Handler())
        db = DB({"debug": True, "local": {"filepath": "store", "synchronous": "off"}})
        for turn in range(20):
            db.write_queue_message(f"queued-{turn}", "text")
            db.write_message(f"direct-{turn}", "text")
        db.flush()
        db.stop()
    """
    run(tmp_path, source).quiet()
    assert len(records(tmp_path / "store")) == 40


def test_on_error_may_call_verbs(tmp_path: Path) -> None:
    refuse(tmp_path / "store", "bad%")
    source = """
        from TetherDB import DB, DeliveryError
        logging.getLogger("TetherDB").addHandler(logging.NullHandler())
        seen = []

        def on_error(key, value, backend, error):
            assert db.read_message("good") == "text"
            assert db.write_message(f"noted-{key}", value)
            assert db.write_queue_message(f"queued-{key}", value)
            assert db.stats()["local"]["failed"] > 0
            assert any(kept[0] == key for kept in db.failed_messages())
            seen.append((key, value, backend))

        db = DB({"local": {"filepath": "store", "synchronous": "off"}, "queue_batch": {"timeout": 0.01}},
                on_error=on_error)
        db.write_message("good", "text")
        for i in range(10):
            db.write_queue_message(f"bad-{i}", {"i": i})
            db.write_queue_message(f"good-{i}", {"i": i})
        try:
            db.flush()
        except DeliveryError as error:
            handed_back = [failed[:3] for failed in error.failed]
        deadline = time.monotonic() + 30
        while len(seen) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        expected = [(f"bad-{i}", {"i": i}, "local") for i in range(10)]
        assert sorted(seen) == sorted(handed_back) == expected, seen
        db.stop()
    """
    run(tmp_path, source).quiet()
    names = {"good"} | {f"{kind}-{i}" for kind in ("good", "noted-bad", "queued-bad") for i in range(10)}
    assert set(records(tmp_path / "store")) == names


@pytest.mark.parametrize("verb", ["db.flush(timeout=20)", "db.stop(timeout=20)", "db.retry_failed()"])
def test_on_error_may_even_flush_and_stop(tmp_path: Path, verb: str) -> None:
    refuse(tmp_path / "store", "bad%")
    source = """
        from TetherDB import DB, DeliveryError
        logging.getLogger("TetherDB").addHandler(logging.NullHandler())
        seen = []

        def on_error(key, value, backend, error):
            seen.append(key)
            if len(seen) == 1:
                try:
                    exec(sys.argv[1])
                except DeliveryError:
                    pass

        db = DB({"local": {"filepath": "store", "synchronous": "off"}, "queue_batch": {"timeout": 0.01}},
                on_error=on_error)
        db.write_queue_message("bad", "text")
        db.write_queue_message("good", "text")
        try:
            db.flush()
        except DeliveryError:
            pass
        deadline = time.monotonic() + 30
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
        assert seen
        assert db.write_message("after", "text")
        try:
            db.stop()
        except DeliveryError:
            pass
    """
    run(tmp_path, source, verb).quiet()
    assert set(records(tmp_path / "store")) == {"good", "after"}


def test_a_failing_on_error_harms_nothing(tmp_path: Path) -> None:
    refuse(tmp_path / "store", "bad%")
    source = """
        from TetherDB import DB, DeliveryError
        logging.getLogger("TetherDB").addHandler(logging.NullHandler())

        def on_error(key, value, backend, error):
            raise SystemExit("from on_error") if key == "bad-0" else RuntimeError("from on_error")

        db = DB({"local": {"filepath": "store", "synchronous": "off"}, "queue_batch": {"timeout": 0.01}},
                on_error=on_error)
        for i in range(5):
            db.write_queue_message(f"bad-{i}", "text")
            db.write_queue_message(f"good-{i}", "text")
        try:
            db.flush()
        except DeliveryError as error:
            assert len(error.failed) == 5
    """
    run(tmp_path, source).quiet()
    assert set(records(tmp_path / "store")) == {f"good-{i}" for i in range(5)}


def test_handles_dropped_in_a_garbage_collection_deliver(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        gc.set_threshold(50, 2, 2)
        def on_error(*_): raise AssertionError

        class Holder:
            pass

        def work(number):
            for turn in range(25):
                holder = Holder()
                holder.self = holder  # only the garbage collector finds it
                holder.db = DB({"local": {"filepath": "store", "synchronous": "off", "busy_timeout": 60},
                                "queue_batch": {"timeout": (0.0, 0.05, 60)[turn % 3]}}, on_error=on_error)
                holder.db.write_message(f"{number}-{turn}-direct", {"turn": turn})
                holder.db.write_queue_message(f"{number}-{turn}-queued", {"turn": turn})
                del holder
                [{"garbage": [i]} for i in range(100)]
                if turn % 10 == 0:
                    gc.collect()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        gc.collect()
    """
    run(tmp_path, source).quiet()
    found = records(tmp_path / "store")
    names = {f"{n}-{turn}-{kind}" for n in range(4) for turn in range(25) for kind in ("direct", "queued")}
    assert set(found) == names


def test_a_dropped_handle_delivers_in_the_background(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        db = DB({"local": {"filepath": "store"}, "queue_batch": {"timeout": 60, "size": 1000}})
        for i in range(100):
            db.write_queue_message(f"{i}", "text")
        begun = time.monotonic()
        del db
        gc.collect()
        other = DB({"local": {"filepath": "store"}})
        while len(other.list_keys(page_size=1000)["keys"]) < 100:
            assert time.monotonic() - begun < 30
            time.sleep(0.01)
    """
    run(tmp_path, source).quiet()
    assert len(records(tmp_path / "store")) == 100


def test_finalizers_that_run_inside_a_verb_may_call_verbs(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        gc.set_threshold(1, 1, 1)  # a collection at nearly every allocation
        local = {"filepath": "store", "synchronous": "off"}
        db = DB({"local": local, "queue_batch": {"timeout": 0.01, "size": 3}})
        busy, count = threading.local(), [0]

        class Garbage:
            def __init__(self):
                self.self = self
            def __del__(self):
                if getattr(busy, "inside", False):
                    return
                busy.inside = True
                try:
                    count[0] += 1
                    db.write_queue_message("from-finalizer", {"count": count[0]})
                    db.write_message("from-finalizer-direct", {"count": [count[0]]})
                    db.read_message("from-finalizer-direct")
                    db.stats()
                finally:
                    busy.inside = False

        def work(number):
            for turn in range(40):
                Garbage()
                value = {"nested": [{"turn": turn}] * 3}
                db.write_message(f"{number}-{turn}", value)
                Garbage()
                db.write_queue_message(f"{number}-{turn}-queued", value)
                Garbage()
                assert db.read_message(f"{number}-{turn}") == value
                db.write_messages({f"{number}-bulk-{i}": {"i": [i]} for i in range(5)})
                db.list_messages(page_size=5)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        gc.set_threshold(0)
        assert count[0] > 100
        db.stop()
    """
    run(tmp_path, source).quiet()
    found = records(tmp_path / "store")
    assert len(found) == 3 * 85 + 2


def test_iterables_given_to_bulk_verbs_may_call_verbs(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        db = DB({"local": {"filepath": "store", "synchronous": "off"}})

        def items():
            for i in range(50):
                db.write_message(f"inner-{i}", "text")
                db.write_queue_message(f"inner-queued-{i}", "text")
                db.read_message("inner-0")
                if i == 25:
                    db.flush()
                yield f"outer-{i}", {"i": i}

        assert db.write_messages(items()) == 50
        assert len(db.read_messages(key for key, _ in db.iter_messages())) >= 100
        outer = (key for key, _ in db.iter_messages(page_size=7) if key.startswith("outer"))
        assert db.delete_messages(outer) == 50
        for key, value in db.iter_messages(page_size=3):
            db.delete_message(key)
        db.flush()
        db.delete_messages([key for key, _ in db.iter_messages()])
        assert db.list_keys()["keys"] == []
        db.stop()
    """
    run(tmp_path, source).quiet()


HANDLERS = {
    "write": "db.write_message('from-handler', 'text')",
    "queue": "db.write_queue_message('from-handler', 'text')",
    "read": "db.read_message('key'); db.list_keys(); db.stats()",
    "flush": "db.flush(timeout=5)",
    "stop": "db.stop(timeout=5)",
}
CALLS = {
    "write": "db.write_message('key', 'text')",
    "bulk": "db.write_messages({'key': 'text', 'other': 'text'})",
    "full-queue": "db.write_queue_message('key', 'text')",
    "flush": "db.flush()",
    "direct-behind-queued": "db.write_message('queued-0', 'text')",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_signal_handler_may_call_verbs_while_one_waits(tmp_path: Path, call: str, handler: str) -> None:
    # A handler runs inside the call that waits, in the same thread. What it asks for may be refused, by
    # an exception of ours; what returned has happened; and nothing hangs once the file is free.
    store = tmp_path / "store"
    prepare(store)
    source = """
        from TetherDB import DB, TetherDBError
        call, handler = sys.argv[1:]
        outcome = []

        def ring(*_):
            print("rung", flush=True)
            attempt(handler)
            print("done", flush=True)

        def attempt(code):
            try:
                exec(code)
                outcome.append("returned")
            except TetherDBError as error:
                outcome.append(type(error).__name__)

        logging.getLogger("TetherDB").addHandler(logging.NullHandler())
        signal.signal(signal.SIGUSR1, ring)
        queue = {"max_pending": 2, "timeout": 0}
        db = DB({"local": {"filepath": "store", "busy_timeout": 3}, "queue_batch": queue})
        for i in range(2):
            db.write_queue_message(f"queued-{i}", "text")
        print("ready", flush=True)
        attempt(call)
        try:
            db.stop()
        except TetherDBError:
            pass
        print(json.dumps(outcome))
    """
    with (
        locked(store) as release,
        Program(tmp_path, source, CALLS[call], HANDLERS[handler]) as program,
    ):
        program.expect("ready")
        time.sleep(0.2)
        program.send(signal.SIGUSR1)
        program.expect("rung")
        time.sleep(0.5)
        release()
        program.expect("done", timeout=20)
        program.finish(timeout=20).quiet()
    assert "queued-1" in records(store) or handler == "stop"


@pytest.mark.parametrize(
    "handler",
    [
        "db.write_queue_message('key', 'handler'); db.flush()",
        "db.write_queue_message('key', 'handler'); db.stop()",
        "db.write_queue_message('key', 'handler', receipt=True).wait()",
        "db.write_message('key', 'handler')",
        "db.write_messages({'key': 'handler', 'other': 'handler'})",
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        "db.write_message('key', 'call')",
        "db.update_message('key', 'call')",
        "db.write_messages({'other': 'call', 'key': 'call'})",
        "db.delete_message('other'); db.write_message('key', 'call')",
    ],
)
def test_a_signal_handler_may_use_the_key_of_the_call_below_it(
    tmp_path: Path, call: str, handler: str
) -> None:
    # The call below the handler has its turn on the key, and gives it up while handlers run: else they
    # would wait for each other. It begins anew behind them.
    store = tmp_path / "store"
    prepare(store, {"key": "old", "other": "old"})
    source = """
        from TetherDB import DB
        call, handler = sys.argv[1:]

        def ring(*_):
            print("rung", flush=True)
            exec(handler)
            print("done", flush=True)

        signal.signal(signal.SIGUSR1, ring)
        db = DB({"local": {"filepath": "store", "busy_timeout": 60}, "queue_batch": {"timeout": 0}})
        print("ready", flush=True)
        exec(call)
        assert db.read_message("key") == "call"
        db.stop()
    """
    with locked(store) as release, Program(tmp_path, source, call, handler) as program:
        program.expect("ready")
        time.sleep(0.3)
        program.send(signal.SIGUSR1)
        program.expect("rung")
        time.sleep(0.3)
        release()
        program.expect("done", timeout=20)
        program.finish(timeout=20).quiet()
    assert records(store)["key"] == "call"
