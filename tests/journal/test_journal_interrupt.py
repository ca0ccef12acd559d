"""Ctrl-C in the middle of a call leaves a handle and a journal that work."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from .support import DEAD, SOON, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    History = Callable[[str], list[str | None]]
    Locked = Callable[[], AbstractContextManager[None]]

# Ctrl-C comes into a call that waits for a locked file.
INTERRUPTED = """
    logging.disable()
    sys.stdin.readline()
    db = open_db(etcd=json.loads(sys.argv[2]), busy_timeout=0, retry={"initial": 0.01, "max": 0.05})
    for number in range(3):
        db.write_queue_message("k", f"{number}")
        db.write_queue_message("k", f"{number}", backend="etcd")
    for _ in range(2):
        print("ready", flush=True)
        try:
            exec(sys.argv[1])
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
        db.write_queue_message("k", "more")
    account = db.stats()["local"]
    assert account["pending"] == account["accepted"] == 5, account
    print("done", flush=True)
    sys.stdin.readline()
    db.write_message("k", "direct")
    print("read", db.read_message("k"), flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize(
    "call", ["db.stop()", "db.stop(timeout=100)", "db.flush()", "db.write_message('k', 'no')"]
)
def test_ctrl_c_in_the_middle_leaves_a_handle_that_works(
    tmp_path: Path, path: Path, history: History, locked: Locked, call: str
) -> None:
    assert path.exists()
    with program(tmp_path, INTERRUPTED, call, json.dumps(DEAD)) as started:
        with locked():
            started.tell()
            for _ in range(2):
                started.expect("ready")
                time.sleep(0.2)
                sent = time.monotonic()
                started.send(signal.SIGINT)
                assert float(started.expect("interrupted")) - sent < 0.2 + SOON
            started.expect("done")
        started.tell()
        assert started.expect("read") == "direct"
        started.finish().quiet()
    assert history("k") == ["0", "1", "2", "more", "more", "direct"]
