"""A logging handler that stores records: Python holds the handler's lock while it uses the handle."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from .scripts import Program, prepare, records

if TYPE_CHECKING:
    from pathlib import Path

# Thread "app" logs a line of its own. While its handler is at work, and holds its lock, another thread logs
# a line of TetherDB's and waits for that lock. Then the handler uses the handle.
HANDLER = """
    from TetherDB import DB, DeliveryError
    call, other = sys.argv[1:]
    inside, waiting = threading.Event(), threading.Event()

    class Storing(logging.Handler):
        def emit(self, record):
            if record.name == "app":
                inside.set()
                assert waiting.wait(30)
                # From the filter to the lock is not far.
                time.sleep(0.2)
                try:
                    exec(call)
                except DeliveryError:
                    pass

    def is_coming(record):
        if threading.current_thread() is not app:
            waiting.set()
        return True

    def log():
        logging.getLogger("app").info("a line of the program")

    logging.getLogger().addHandler(Storing())
    logging.getLogger().setLevel(logging.INFO)
    db = DB({"debug": other == "verb", "errors": "log", "local": {"filepath": "store"},
             "queue_batch": {"timeout": 0}})
    app = threading.Thread(target=log, daemon=True)
    logging.getLogger("TetherDB").addFilter(is_coming)
    app.start()
    assert inside.wait(30)
    if other == "verb":
        db.write_message("from-verb", "text")
    else:
        # Its ERROR line is logged in the background.
        db.write_queue_message("bad", "text")
    app.join()
    print("done", flush=True)
    assert db.write_message("afterwards", "text")
"""
# Two threads that meet in the handler at random moments.
TWO_THREADS = """
    from TetherDB import DB
    debug = sys.argv[1] == "debug"

    class Storing(logging.Handler):
        count = 0

        def emit(self, record):
            if not record.name.startswith("TetherDB"):
                db.write_message(f"log-{self.count:02}", record.getMessage())
                self.count += 1
                if not debug:
                    db.flush()

    logging.getLogger().addHandler(Storing())
    logging.getLogger().setLevel(logging.INFO)
    db = DB({"debug": debug, "local": {"filepath": "store", "synchronous": "off"}})
    ended = threading.Event()

    def verbs():
        while not ended.is_set():
            db.write_message("verb", "text")

    thread = threading.Thread(target=verbs, daemon=True)
    thread.start()
    for number in range(30):
        logging.getLogger("app").info("line %d", number)
    ended.set()
    thread.join()
    print("done", flush=True)
"""


@pytest.mark.parametrize("other", ["verb", "notifier"])
@pytest.mark.parametrize(
    "call",
    [
        "db.write_message('from-handler', 'text')",
        "db.write_queue_message('from-handler', 'text')",
        "db.read_message('from-handler')",
        # A line of its own, of a verb that failed.
        "db.write_message('', 'text')",
        "db.flush()",
        "db.stop()",
    ],
)
def test_a_handler_does_not_wait_for_whoever_waits_for_its_lock(
    tmp_path: Path, call: str, other: str
) -> None:
    store = tmp_path / "store"
    prepare(store)
    with closing(sqlite3.connect(store, isolation_level=None)) as sqlite:
        sqlite.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON Dict WHEN CAST(new.key AS TEXT) = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with Program(tmp_path, HANDLER, call, other) as program:
        program.expect("done", timeout=20)
        program.finish().quiet()
    found = records(store)
    assert found.pop("afterwards") == "text"
    assert ("from-verb" in found) is (other == "verb")
    assert ("from-handler" in found) is (call.startswith("db.write") and "from-handler" in call)


@pytest.mark.parametrize("level", ["debug", "info"])
def test_threads_that_log_and_threads_that_write_both_go_on(tmp_path: Path, level: str) -> None:
    with Program(tmp_path, TWO_THREADS, level) as program:
        program.expect("done")
        program.finish().quiet()
    found = records(tmp_path / "store")
    assert found.pop("verb") == "text"
    assert found == {f"log-{number:02}": f"line {number}" for number in range(30)}
