"""An iterator in a signal handler that interrupts the same iterator."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from .scripts import DBM_TABLE, Program, locked

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signal_handler_is_refused_the_iterator_that_it_interrupts(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with closing(sqlite3.connect(store)) as sqlite:
        sqlite.execute(DBM_TABLE)
        sqlite.executemany("INSERT INTO Dict VALUES (?, ?)", [(b"%d" % n, b"value") for n in range(5)])
        sqlite.commit()
    source = """
        from TetherDB import DB

        def ring(*_):
            try:
                print("got", next(messages), flush=True)
            except ValueError as error:
                print("refused", error, flush=True)

        signal.signal(signal.SIGUSR1, ring)
        messages = DB({"local": {"filepath": "store", "busy_timeout": 100}}).iter_messages(page_size=2)
        print("ready", flush=True)
        print(*(key for key, value in messages), flush=True)
    """
    with locked(store, against_readers=True) as release, Program(tmp_path, source) as program:
        program.expect("ready")
        time.sleep(0.3)
        program.send(signal.SIGUSR1)
        assert "in use" in program.expect("refused")
        release()
        assert program.line() == "0 1 2 3 4"
        program.finish().quiet()
