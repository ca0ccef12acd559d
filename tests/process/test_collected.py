"""A handle in a cycle of references is collected, with its files and threads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from .scripts import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# Its argument defines `make(number)`: something that holds a DB, whose `on_error` holds it in turn.
PROGRAM = """
    import weakref
    from TetherDB import DB, DeliveryError

    logging.getLogger("TetherDB").addHandler(logging.NullHandler())

    def config(number):
        return {"local": {"filepath": f"store-{number}", "synchronous": "off"}, "queue_batch": {"timeout": 0}}

    exec(sys.argv[1])

    def use(number):
        holder = make(number)
        holder.db.write_queue_message("queued", "text")
        holder.db.write_message("direct", "text")
        assert holder.db.read_message("direct") == "text"
        holder.db.flush()
        references.append(weakref.ref(holder))

    def count():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    references = []
    use(0)
    gc.collect()
    gc.disable()
    before = count()
    for number in range(1, 31):
        use(number)
    # That it shows at all.
    assert count()[0] >= before[0] + 30, (before, count())
    gc.collect()
    assert [reference() for reference in references] == [None] * 31
    deadline = time.monotonic() + 30
    while any(now > then for now, then in zip(count(), before)):
        assert time.monotonic() < deadline, f"from {before} to {count()} files and threads"
        time.sleep(0.01)
    for number in range(31):
        db = DB(config(number))
        assert db.list_keys()["keys"] == ["direct", "queued"]
        db.stop()
"""
METHOD = """
class App:
    def __init__(self, number):
        self.db = DB(config(number), on_error=self.failed)
    def failed(self, *message):
        pass
make = App
"""
CLOSURE = """
class Holder:
    pass
def make(number):
    holder = Holder()
    holder.db = DB(config(number), on_error=lambda *message: holder.db.retry_failed())
    return holder
"""
TETHERED = """
class App:
    def __init__(self, number):
        self.db = DB(config(number), on_error=self.failed)
        self.work = self.db.tether(key="direct")(self.produce)
        assert self.work()
    def produce(self):
        return {"value": "text"}
    def failed(self, *message):
        pass
make = App
"""
RECEIPT = """
class App:
    def __init__(self, number):
        self.db = DB(config(number), on_error=self.failed)
        self.receipt = self.db.write_queue_message("queued", "text", receipt=True)
    def failed(self, *message):
        pass
make = App
"""
ITERATOR = """
class App:
    def __init__(self, number):
        self.db = DB(config(number), on_error=self.failed)
        self.db.write_message("direct", "text")
        self.messages = self.db.iter_messages(page_size=1)
        next(self.messages)
    def failed(self, *message):
        pass
make = App
"""


@pytest.mark.parametrize(
    "make",
    [METHOD, CLOSURE, TETHERED, RECEIPT, ITERATOR],
    ids=["method", "closure", "tethered", "receipt", "iterator"],
)
def test_what_on_error_holds_may_hold_the_handle(tmp_path: Path, make: str) -> None:
    run(tmp_path, PROGRAM, make).quiet()


def test_on_error_of_a_live_handle_outlives_a_collection(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB, DeliveryError

        class App:
            def __init__(self):
                config = {"logging": "none", "local": {"filepath": "missing/store"},
                          "queue_batch": {"timeout": 0, "retry": {"give_up_after": 0}}}
                self.db = DB(config, on_error=self.failed)
                self.heard = threading.Event()
            def failed(self, *message):
                self.heard.set()

        app = App()
        for _ in range(3):
            gc.collect()
        app.db.write_queue_message("key", "text")
        assert app.heard.wait(30)
    """
    run(tmp_path, source).quiet()
