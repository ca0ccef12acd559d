"""No forked child has its parent's journal open: its copy would keep the lock beyond the parent's end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from .support import DEAD, every_sync, run_whole

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# Threads queue all the time, and children look at what they have open.
PROGRAM = """
    def journals():
        names = []
        for number in os.listdir("/proc/self/fd"):
            try:
                names.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                pass
        return [name for name in names if "journal" in os.path.basename(name)]

    sync, forks, size, parked = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    logging.disable()
    queue = {"timeout": 0, "size": 100, "max_pending_bytes": 8 << 20, "exit_timeout": 0}
    db = open_db(etcd=parked, journal_sync=sync, **queue)
    if parked:
        # One that stays: the file is never empty, so it is rewritten.
        db.write_queue_message("parked", "v", backend="etcd")
    assert journals()
    done, kept = threading.Event(), 0

    def hammer(number):
        turn = 0
        while not done.is_set():
            turn += 1
            db.write_queue_message(f"{number}-{turn % 100}", "v" * size)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
    [thread.start() for thread in threads]
    for _ in range(forks):
        time.sleep(0.002)
        number = os.fork()
        if not number:
            os._exit(len(journals()))
        kept += os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    done.set()
    [thread.join() for thread in threads]
    print(kept)
"""


@every_sync
def test_a_child_has_no_journal_open_while_threads_queue(tmp_path: Path, sync: str) -> None:
    assert run_whole(tmp_path, PROGRAM, sync, "100", "20", "null").quiet() == "0\n"


def test_a_child_has_no_journal_open_while_it_is_rewritten(tmp_path: Path) -> None:
    told = run_whole(tmp_path, PROGRAM, "never", "80", "100000", json.dumps(DEAD)).quiet()
    assert told == "0\n"
