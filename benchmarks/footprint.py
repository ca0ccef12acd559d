"""What is measured besides speed: memory, the time of an import, the size of the wheel."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import peers_queues
from contest import Contender, Target, Workload, expect, ours
from records import PAYLOAD, items
from tasks import MEMORY, tether

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Task

MB = 1_000_000
MIB = 1 << 20

HOLD_LOCK = """
import sqlite3, sys
cx = sqlite3.connect(sys.argv[1], isolation_level=None)
cx.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def full_queue(task: Task) -> None:
    """Fills the queue while another process has the file locked, so that nothing leaves it."""
    work = items(task.count)
    peer = tether(task.folder, busy_timeout=0.2, logging="none")  # it would warn of the lock
    command = [sys.executable, "-c", HOLD_LOCK, str(task.folder / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with task.timed():
            for message_key, value in work:
                peer.enqueue(message_key, value)
            # Until the worker has taken all over and a full request has failed: the queue holds most then.
            deadline = time.monotonic() + 20
            while peer.db.stats()["local"]["retried"] < min(task.count, 10_000):
                expect(time.monotonic() < deadline, "no request of the worker failed")
                time.sleep(0.05)
        pending = peer.db.stats()["local"]["pending"]
        expect(pending == task.count, f"{pending} of {task.count} messages are in the queue")
        holder.communicate()
    peer.close()
    task.value = task.peak_bytes / (task.count * PAYLOAD)
    task.note = peer.note


def full_plain_queue(task: Task) -> None:
    work = items(task.count)
    peer = peers_queues.PlainQueue(task.folder)
    with task.timed():
        for message_key, value in work:
            peer.enqueue(message_key, value)
    task.value = task.peak_bytes / (task.count * PAYLOAD)
    task.note = peer.note


# What Python has loaded by itself is loaded in a bare interpreter, so a fresh one does the work.
BARE = """
import sys
from time import perf_counter, process_time
def in_use():
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    except OSError:
        return 0
before, begun, cpu = in_use(), perf_counter(), process_time()
{work}
print(perf_counter() - begun, process_time() - cpu, in_use() - before)
"""
REST = """
from TetherDB import DB
db = DB({"local": {"filepath": sys.argv[1]}})
db.write_message("key", {"name": "Alice"})
db.write_queue_message("key", {"name": "Bob"})
db.flush()
db.read_message("key")
"""


def in_bare_python(work: str | Callable[[Task], str], *, memory: bool = False) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        program = BARE.replace("{work}", work if isinstance(work, str) else work(task))
        command = [sys.executable, "-c", program, str(task.folder / "store")]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        task.seconds, task.cpu_seconds, task.peak_bytes = map(float, answer.split())
        task.value = task.peak_bytes / MIB if memory else task.seconds

    return run


def size_of_the_wheel(task: Task) -> None:
    assert task.wheel is not None
    task.cpu_seconds = task.peak_bytes = None
    task.value = task.wheel.stat().st_size / MB


def contenders() -> Iterator[Workload]:
    yield Workload(
        "full-queue",
        "memory of a full queue, in its payload",
        100_000,
        100_000,
        [
            ours(MEMORY, full_queue),
            Contender(peers_queues.PLAIN, MEMORY, full_plain_queue),
        ],
        [Target(3)],
        "x payload",
        groups=("queue", "footprint"),
    )
    yield Workload(
        "import",
        "import",
        1,
        1,
        [
            ours("", in_bare_python("import TetherDB")),
            Contender("import sqlite3, json", "", in_bare_python("import sqlite3, json")),
            Contender("import lmdb, json", "", in_bare_python("import lmdb, json")),
            Contender("import rocksdict, json", "", in_bare_python("import rocksdict, json")),
            Contender("import diskcache, json", "", in_bare_python("import diskcache, json")),
        ],
        [Target(0.015)],
        "seconds",
        groups=("footprint",),
    )
    yield Workload(
        "rest",
        "memory at rest, over bare Python",
        1,
        1,
        [ours("", in_bare_python(REST, memory=True))],
        [Target(12)],
        "MiB",
        groups=("footprint",),
    )
    yield Workload(
        "wheel",
        "size of the wheel",
        1,
        1,
        [ours("", size_of_the_wheel)],
        [Target(8)],
        "MB",
        groups=("footprint",),
        repetitions=1,
    )
