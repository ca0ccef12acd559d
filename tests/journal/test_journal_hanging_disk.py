"""A disk that hangs: `flush` and `stop` keep their time all the same.

strace makes each sync of a real program take seconds.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from process.scripts import PRELUDE

from .support import OPEN

if TYPE_CHECKING:
    from pathlib import Path

# Longer than a call may take here, by far.
HANGS = 4

BODY = """
    import threading, time
    db = open_db(journal_sync="interval", timeout=0)
    db.write_message("before", "v")

    def timed(verb):
        begun = time.monotonic()
        try:
            verb(timeout=0.5)
        except FlushTimeout:
            pass
        took = time.monotonic() - begun
        assert took < 3, f"{verb.__name__} took {took:.1f} s"

    for number in range(5):
        db.write_queue_message(f"{number}", "v")
    timed(db.flush)
    timed(db.stop)
    print("done", flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("hanging", ["journal", "store-wal"])
def test_flush_and_stop_keep_their_time(tmp_path: Path, hanging: str) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace here")
    # Not the first of the store, which its first direct write makes.
    first = 1 if hanging == "journal" else 2
    fault = f"fsync,fdatasync:delay_enter={HANGS * 1_000_000}:when={first}+"
    command = [strace, "-f", "-qq", "-o", "trace", "-P", f"{tmp_path / hanging}"]
    command += ["-e", "trace=fsync,fdatasync", "-e", f"inject={fault}"]
    source = PRELUDE + OPEN.replace('"synchronous": "off"', '"synchronous": "full"') + textwrap.dedent(BODY)
    done = subprocess.run(
        [*command, sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    if "ptrace" in done.stderr.lower():
        pytest.skip("this user may trace nothing")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "(DELAYED)" in (tmp_path / "trace").read_text()
