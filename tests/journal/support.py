"""What the tests of this folder have in common: programs that own a journal, and how these end."""

from __future__ import annotations

import contextlib
import os
import signal
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from process.scripts import Program, Result, run

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from servers.etcd import EtcdServer
    from TetherDB import DB

HOUR = 3600
# Bytes of a journal with nothing in it.
EMPTY = 64
# Ctrl-C ends a call within 0.2 s; the rest is for a machine that does something else as well.
SOON = 1.0
# For what happens by itself, on such a machine.
PATIENCE = 30.0
# Nobody listens there.
DEAD: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "timeout": 1}
# Asks again often.
EAGER: dict[str, Any] = {"retry": {"initial": 0.02, "max": 0.1}}

every_sync = pytest.mark.parametrize("sync", ["always", "interval", "never"])

# Nothing leaves the queue of `open_db()` by itself: no batch fills, and none is old enough.
OPEN = """
from TetherDB import *
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)

def open_db(etcd=None, busy_timeout=60, **queue):
    config = {
        "local": {"filepath": "store", "synchronous": "off", "busy_timeout": busy_timeout},
        "queue_batch": {"journal": "journal", "size": 100000, "timeout": 3600, **queue},
    }
    return DB({**config, "etcd": etcd} if etcd else config)

"""


def source(body: str) -> str:
    """The source of a program, which may call `open_db`."""
    return OPEN + textwrap.dedent(body)


@contextlib.contextmanager
def program(folder: Path, body: str, *arguments: str) -> Generator[Program]:
    """A program that is talked to."""
    with Program(folder, source(body), *arguments) as started:
        yield started


def run_whole(folder: Path, body: str, *arguments: str) -> Result:
    """Runs a program to its end."""
    return run(folder, source(body), *arguments)


def kill(started: Program) -> Result:
    """`kill -9`, and the end of it."""
    started.send(signal.SIGKILL)
    result = started.finish()
    assert result.code == -signal.SIGKILL, result
    return result


def die(started: Program, number: int) -> None:
    """`kill -9` of the process with this number; its output does not end while a child of it lives."""
    started.send(signal.SIGKILL)
    ended = os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert ended.si_status == signal.SIGKILL


def run_killed(folder: Path, body: str, *arguments: str) -> Result:
    """Runs a program that kills itself at its end."""
    result = run_whole(folder, textwrap.dedent(body) + "\nos.kill(os.getpid(), signal.SIGKILL)\n", *arguments)
    assert result.code == -signal.SIGKILL, result
    return result


def adds_up(db: DB) -> None:
    """The accounts of every queue add up."""
    for stats in db.stats().values():
        parts = stats["delivered"] + stats["failed"] + stats["replaced"] + stats["pending"]
        assert stats["accepted"] == parts, stats
        assert 0 <= stats["in_flight"] <= stats["pending"], stats


class Revisions:
    """What becomes of the keys of an etcd, from now on."""

    def __init__(self, server: EtcdServer) -> None:
        self.server = server
        self.begun = self._now()

    def _now(self) -> int:
        number: int = self.server.etcdctl.run_json("get", "nothing")["header"]["revision"]
        return number

    def texts(self, key: str) -> list[str]:
        """The values that a key has had; the same value twice in a row counts once."""
        seen: list[str] = []
        for revision in range(self.begun + 1, self._now() + 1):
            found = self.server.etcdctl.run("get", "--print-value-only", f"--rev={revision}", "--", key)
            text = found.decode().rstrip("\n")
            if text and seen[-1:] != [text]:
                seen.append(text)
        return seen
