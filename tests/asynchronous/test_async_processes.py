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

CHILD_IN_ITS_PARENTS_LOOP = """
import asyncio, os, sys, time
from TetherDB import AsyncDB, _loops

loop = asyncio.new_event_loop()
db = AsyncDB({"local": {"filepath": "f"}})
loop.run_until_complete(db.write_message("k", "v"))

async def begin():
    task = asyncio.ensure_future(db.read_message("k"))
    await asyncio.sleep(0)
    return task

def read_soon():
    # An answer that is there, and that no loop has taken yet.
    task = loop.run_until_complete(begin())
    time.sleep(0.3)
    assert not task.done()
    return task

async def go_round():
    before = time.process_time()
    await asyncio.sleep(1)
    return time.process_time() - before < 0.4

def readable(post):
    import select
    return bool(select.select([post.fileno()], [], [], 0)[0])

"""

PARENT_LIVES = (
    CHILD_IN_ITS_PARENTS_LOOP
    + """
waiting = read_soon()
pid = os.fork()
if pid == 0:
    code = 1
    try:
        is_calm = loop.run_until_complete(go_round())
        loop.run_until_complete(db.write_message("child", "v"))
        code = 0 if is_calm else 2
    finally:
        os._exit(code)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), loop.run_until_complete(waiting))
print(loop.run_until_complete(db.read_message("child")))
loop.run_until_complete(db.stop())
"""
)

PARENT_IS_GONE = (
    CHILD_IN_ITS_PARENTS_LOOP
    + """
waiting = read_soon()
post = _loops.post_of(loop)
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    try:
        is_calm = loop.run_until_complete(go_round())
        loop.run_until_complete(db.write_message("child", "v"))
        print(is_calm, readable(post), flush=True)
    finally:
        os._exit(0)
os._exit(0)
"""
)

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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child cannot go on with a loop")
def test_a_child_that_goes_on_with_its_parents_loop_does_not_spin(run_python: Run) -> None:
    done = run_python(PARENT_LIVES)
    assert (done.returncode, done.stdout) == (0, "0 v\nv\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child cannot go on with a loop")
def test_a_child_whose_parent_is_gone_reads_what_that_has_left(run_python: Run) -> None:
    done = run_python(PARENT_IS_GONE)
    assert (done.returncode, done.stdout) == (0, "True False\n"), done.stderr


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
