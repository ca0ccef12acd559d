"""Ctrl-C in a call with a value of a hundred megabytes."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from .scripts import Program, prepare, records

if TYPE_CHECKING:
    from pathlib import Path

# The contract says 0.2 s; the rest is for a machine that does something else as well. The write itself takes
# longer than that, since a trigger of the file counts this far.
SOON = 1.5
SLOWLY = 40_000_000

PROGRAM = """
    from TetherDB import DB
    call = compile(sys.argv[1], "<argument>", "exec")
    large = "x" * 100_000_000
    db = DB({"local": {"filepath": "store", "synchronous": "off", "busy_timeout": 100}})
    print("ready", flush=True)
    try:
        exec(call)
    except KeyboardInterrupt:
        print("interrupted", time.monotonic(), flush=True)
    else:
        print("returned", flush=True)
    # One signal is one interrupt: nothing of it is left to come out later.
    assert db.write_message("new", "value")
    # All of the write stands, or nothing.
    whole = {"large": large, "small": "value"} if "small" in sys.argv[1] else {"large": large}
    assert db.read_messages(["large", "small"]) in ({"large": "old"}, whole)
    db.delete_messages(["large", "small"])
    db.stop()
"""


@pytest.mark.parametrize(
    "call",
    [
        "db.write_message('large', large)",
        "db.update_message('large', large)",
        "db.write_messages({'large': large, 'small': 'value'})",
    ],
    ids=["write", "update", "write-many"],
)
def test_interrupts_a_write_of_a_large_value(tmp_path: Path, call: str) -> None:
    store = tmp_path / "store"
    prepare(store, {"large": "old"})
    with closing(sqlite3.connect(store, isolation_level=None)) as sqlite:
        sqlite.execute(
            "CREATE VIEW Slow AS WITH RECURSIVE n(i) AS"
            f" (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {SLOWLY}) SELECT count(*) AS i FROM n"
        )
        for change in ("INSERT", "UPDATE"):
            sqlite.execute(
                f"CREATE TRIGGER slow_{change} AFTER {change} ON Dict WHEN length(new.value) > 1000"
                " BEGIN SELECT i FROM Slow; END"
            )
    with Program(tmp_path, PROGRAM, call) as program:
        program.expect("ready")
        time.sleep(0.5)
        sent = time.monotonic()
        program.send(signal.SIGINT)
        assert float(program.expect("interrupted")) - sent < SOON
        program.finish().quiet()
    assert records(store) == {"new": "value"}
