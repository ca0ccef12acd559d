"""Ctrl-C in a call with a value of a hundred megabytes."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from .scripts import Program, records

if TYPE_CHECKING:
    from pathlib import Path

# The contract says 0.2 s; the rest is for a machine that does something else as well.
SOON = 1.0
SIZE = 100_000_000

PROGRAM = """
    from TetherDB import DB
    call = compile(sys.argv[1], "<argument>", "exec")
    large = "x" * int(sys.argv[2])
    db = DB({"local": {"filepath": "store", "synchronous": "off"}})
    for _ in range(2):
        print("ready", flush=True)
        try:
            # Over and over, so that Ctrl-C comes into the call however fast it is.
            while True:
                exec(call)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
    # One signal is one interrupt: nothing of it is left to come out later.
    assert db.write_message("new", "value")
    assert (db.read_message("large") or large) == large
    db.delete_message("large")
    db.stop()
"""


@pytest.mark.parametrize(
    "call",
    ["db.write_message('large', large)", "db.write_messages({'large': large, 'small': 'value'})"],
    ids=["one", "many"],
)
def test_interrupts_a_write_of_a_large_value(tmp_path: Path, call: str) -> None:
    with Program(tmp_path, PROGRAM, call, str(SIZE)) as program:
        for pause in (0.05, 0.3):
            program.expect("ready")
            time.sleep(pause)
            sent = time.monotonic()
            program.send(signal.SIGINT)
            assert float(program.expect("interrupted")) - sent < SOON
        program.finish().quiet()
    found = records(tmp_path / "store")
    found.pop("small", None)
    assert found == {"new": "value"}
