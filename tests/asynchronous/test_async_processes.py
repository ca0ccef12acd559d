"""Forks within a running loop, the end of the program, and Ctrl-C; each in a process of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

FORK = """
import asyncio, os, sys
from TetherDB import DB, AsyncDB

async def child(db):
    await db.write_message("child", "direct")
    await db.write_queue_message("child queued", "v")
    await db.stop()

async def main(db):
    await db.write_message("first", "v")
    under_way = [asyncio.ensure_future(db.write_message(f"{n:03}", "v")) for n in range(200)]
    await db.write_queue_message("parent queued", "v")
    await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        # What runs here is still the parent's coroutine, but no loop is running in this process.
        code = 1
        try:
            asyncio.run(child(db))
            code = 0
        finally:
            os._exit(code)
    assert await asyncio.gather(*under_way) == [True] * 200
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    await db.write_message("parent", "afterwards")
    await db.stop()

asyncio.run(main(AsyncDB({"local": {"filepath": "f"}, "queue_batch": {"timeout": 60}})))
with DB({"local": {"filepath": "f"}}) as db:
    keys = db.list_keys(1000)["keys"]
expected = [f"{n:03}" for n in range(200)]
assert keys == [*expected, "child", "child queued", "first", "parent", "parent queued"], keys
print("done")
"""

AWAIT_IN_CHILD = """
import asyncio, os
from TetherDB import AsyncDB

async def main(db):
    await db.write_message("k", "v")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            await db.write_message("k", "v")
        except RuntimeError as error:
            code = 0 if "forked child" in str(error) else 2
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    print(os.waitstatus_to_exitcode(status))

asyncio.run(main(AsyncDB({"local": {"filepath": "f"}})))
"""

END = """
import asyncio
from TetherDB import DB, AsyncDB

async def main():
    db = AsyncDB({"local": {"filepath": "f"}, "queue_batch": {"timeout": 60}})
    for n in range(500):
        await db.write_queue_message(f"{n:03}", "v")
    for n in range(50):
        asyncio.ensure_future(db.write_message(f"direct {n}", "v"))
    await asyncio.sleep(0)

asyncio.run(main())
print("loop closed")
"""

LOOK = """
from TetherDB import DB
with DB({"local": {"filepath": "f"}}) as db:
    keys = db.list_keys(1000)["keys"]
print(len([key for key in keys if not key.startswith("direct")]))
"""

INTERRUPT = """
import asyncio, os, signal, threading, time
from TetherDB import DB, AsyncDB

async def main():
    db = AsyncDB({"local": {"filepath": "f"}})
    await db.write_message("k", "v")
    await db.write_queue_message("queued", "v")
    loop = asyncio.get_running_loop()
    loop.call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
    while True:
        await db.write_message("k", "v")

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""

LAZY = """
import sys
import TetherDB
assert "asyncio" not in sys.modules, "asyncio was imported"
assert "AsyncDB" in dir(TetherDB)
from TetherDB import AsyncDB
assert "asyncio" in sys.modules
assert TetherDB.AsyncDB is AsyncDB
try:
    TetherDB.Nothing
except AttributeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_within_a_running_loop_loses_nothing(run_python: Run) -> None:
    done = run_python(FORK)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_that_awaits_in_its_parents_loop_is_told_so(run_python: Run) -> None:
    done = run_python(AWAIT_IN_CHILD)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_the_end_of_the_program_delivers_what_is_queued(run_python: Run) -> None:
    done = run_python(END)
    assert (done.returncode, done.stdout, done.stderr) == (0, "loop closed\n", "")
    assert run_python(LOOK).stdout == "500\n"


def test_ctrl_c_ends_a_loop_that_writes_and_what_is_queued_is_delivered(run_python: Run) -> None:
    done = run_python(INTERRUPT)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert run_python(LOOK).stdout == "2\n"


def test_asyncio_is_imported_with_the_first_use_of_the_name(run_python: Run) -> None:
    done = run_python(LAZY)
    assert (done.returncode, done.stdout) == (0, "module 'TetherDB' has no attribute 'Nothing'\n"), (
        done.stderr
    )
