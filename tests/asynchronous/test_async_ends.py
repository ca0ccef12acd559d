"""How programs with an event loop end, and what their children do; each in a process of its own."""

from __future__ import annotations

import signal
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from process.scripts import Program, records, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and signals")

# Nothing leaves the queue by itself.
OPEN = """
import asyncio
from TetherDB import *
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)

def open_db(**queue):
    local = {"filepath": "store", "synchronous": "off", "busy_timeout": 60}
    return AsyncDB({"local": local, "queue_batch": {"size": 100000, "timeout": 3600, **queue}})

async def queue(db, count, name="queued"):
    queued = (db.write_queue_message(f"{name}{n:03}", "v") for n in range(count))
    assert await asyncio.gather(*queued) == [True] * count

LOCK = (
    "import sqlite3, sys; c = sqlite3.connect('store', isolation_level=None); c.execute('BEGIN EXCLUSIVE');"
    "print('locked', flush=True); sys.stdin.readline(); c.execute('ROLLBACK')"
)

async def lock():
    # Another process has the file locked, until it reads a line, or its input ends.
    pipe = asyncio.subprocess.PIPE
    locker = await asyncio.create_subprocess_exec(sys.executable, "-c", LOCK, stdin=pipe, stdout=pipe)
    await locker.stdout.readline()
    return locker

"""


def test_a_loop_that_ends_by_an_exception_loses_nothing(tmp_path: Path) -> None:
    source = """
    async def main(db):
        await queue(db, 100)
        raise LookupError("mine")

    asyncio.run(main(open_db()))
    """
    run(tmp_path, OPEN + strip(source)).last_words("LookupError: mine")
    assert len(records(tmp_path / "store", "queued")) == 100


def test_a_block_that_ends_by_sys_exit_delivers(tmp_path: Path) -> None:
    source = """
    async def main():
        async with open_db() as db:
            await queue(db, 100)
            sys.exit(3)

    asyncio.run(main())
    """
    assert run(tmp_path, OPEN + strip(source)).quiet(3) == ""
    assert len(records(tmp_path / "store", "queued")) == 100


def test_a_loop_of_a_daemon_thread_at_the_end_of_the_program(tmp_path: Path) -> None:
    source = """
    db = open_db()
    ready = threading.Event()

    async def main():
        await queue(db, 100)
        ready.set()
        while True:
            await asyncio.gather(*(db.write_message(f"direct{n}", "v") for n in range(10)))

    threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
    ready.wait()
    print("leaving")
    """
    assert run(tmp_path, OPEN + strip(source)).quiet() == "leaving\n"
    assert len(records(tmp_path / "store", "queued")) == 100


def test_calls_under_way_when_the_program_ends_in_the_middle_of_a_loop(tmp_path: Path) -> None:
    source = """
    db = open_db()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(queue(db, 100))
    tasks = [loop.create_task(db.write_message(f"direct{n}", "v")) for n in range(100)]
    tasks += [loop.create_task(db.flush()), loop.create_task(db.stop())]
    loop.run_until_complete(asyncio.sleep(0))
    for task in tasks:
        task._log_destroy_pending = False
    print("leaving")
    """
    assert run(tmp_path, OPEN + strip(source)).quiet() == "leaving\n"
    assert len(records(tmp_path / "store", "queued")) == 100


def test_ctrl_c_in_a_call_that_waits(tmp_path: Path) -> None:
    source = """
    async def main(db):
        await db.write_message("k", "old")
        await queue(db, 50)
        locker = await lock()
        writing = asyncio.create_task(db.write_message("k", "new"))
        await asyncio.sleep(0.05)
        print("waiting", flush=True)
        try:
            await writing
        finally:
            locker.stdin.close()
            await locker.wait()

    try:
        asyncio.run(main(open_db()))
    except KeyboardInterrupt:
        print("interrupted")
    """
    with Program(tmp_path, OPEN + strip(source)) as program:
        program.expect("waiting")
        program.send(signal.SIGINT)
        assert program.finish().quiet() == "waiting\ninterrupted\n"
    found = records(tmp_path / "store")
    assert len(found) == 51
    # It was cancelled before it had the file.
    assert found["k"] == "old"


def test_what_a_journal_has_accepted_survives_kill_9(tmp_path: Path) -> None:
    source = """
    async def main(db):
        await queue(db, 200)
        print("accepted", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main(open_db(journal="journal")))
    """
    assert run(tmp_path, OPEN + strip(source)).code == -signal.SIGKILL
    again = """
    async def main():
        async with open_db(journal="journal") as db:
            await db.flush()
            print(len((await db.list_keys(1000))["keys"]))

    asyncio.run(main())
    """
    result = run(tmp_path, OPEN + strip(again))
    assert (result.code, result.out) == (0, "200\n"), result
    assert result.err.startswith("WARNING 200 queued message(s) found in the journal")


def test_forked_children_of_multiprocessing_with_loops_of_their_own(tmp_path: Path) -> None:
    source = """
    import multiprocessing

    def child(db, name):
        async def main():
            await queue(db, 20, name)
            await db.write_message(f"{name}direct", "v")
            # A child of multiprocessing leaves through os._exit.
            await db.flush()

        asyncio.run(main())

    async def main(db):
        await queue(db, 20, "parent")
        under_way = [asyncio.create_task(db.write_message(f"direct{n:03}", "v")) for n in range(50)]
        await asyncio.sleep(0)
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=child, args=(db, f"child{n}-")) for n in range(3)]
        for one in children:
            one.start()
        assert await asyncio.gather(*under_way) == [True] * 50
        for one in children:
            await asyncio.to_thread(one.join)
        print([one.exitcode for one in children], (await db.stats())["local"]["accepted"])
        await db.stop()

    asyncio.run(main(open_db()))
    """
    assert run(tmp_path, OPEN + strip(source)).quiet() == "[0, 0, 0] 20\n"
    found = records(tmp_path / "store")
    assert len([key for key in found if key.startswith("parent")]) == 20
    assert len([key for key in found if key.startswith("child")]) == 3 * 21
    assert len([key for key in found if key.startswith("direct")]) == 50


def test_spawned_children_open_their_own(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        strip("""
        import asyncio, multiprocessing
        from TetherDB import AsyncDB

        def child(name):
            async def main():
                async with AsyncDB({"local": {"filepath": "store"}}) as db:
                    await db.write_queue_message(name, "v")
            asyncio.run(main())

        if __name__ == "__main__":
            spawn = multiprocessing.get_context("spawn")
            children = [spawn.Process(target=child, args=(f"child{n}",)) for n in range(2)]
            for one in children:
                one.start()
            for one in children:
                one.join()
            print([one.exitcode for one in children])
            db = AsyncDB({"local": {"filepath": "store"}})
            try:
                spawn.Process(target=print, args=(db,)).start()
            except TypeError as error:
                print("TypeError", "AsyncDB" in str(error) or "DB" in str(error))
        """)
    )
    assert run(tmp_path, program).quiet() == "[0, 0]\nTypeError True\n"
    assert records(tmp_path / "store") == {"child0": "v", "child1": "v"}


def test_a_forked_child_must_not_queue_into_its_parents_journal(tmp_path: Path) -> None:
    source = """
    async def child(db):
        try:
            await db.write_queue_message("child", "v")
        except TetherDBError as error:
            print(type(error).__name__, "path of its own" in str(error), flush=True)
        assert await db.write_message("direct", "v") is True

    async def main(db):
        await queue(db, 20)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio.run(child(db))
                code = 0
            finally:
                os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        print(os.waitstatus_to_exitcode(status))
        await db.stop()

    asyncio.run(main(open_db(journal="journal")))
    """
    said = run(tmp_path, OPEN + strip(source)).quiet().splitlines()
    assert said[0].endswith(" True"), said
    assert said[1:] == ["0"]
    assert len(records(tmp_path / "store", "queued")) == 20


def test_a_fork_while_calls_wait_for_a_lock_and_for_room(tmp_path: Path) -> None:
    source = """
    async def child(db):
        await db.write_message("child", "v")
        await db.stop()

    async def main(db):
        await db.write_message("k", "v")
        locker = await lock()
        direct = [asyncio.create_task(db.write_message(f"direct{n}", "v")) for n in range(10)]
        queued = [asyncio.create_task(db.write_queue_message(f"queued{n}", "v")) for n in range(10)]
        flush = asyncio.create_task(db.flush())
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in direct)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio.run(child(db))
                code = 0
            finally:
                os._exit(code)
        # The child has its input open, too.
        locker.stdin.write(b"\\n")
        assert await asyncio.gather(*direct, *queued) == [True] * 20
        await flush
        await locker.wait()
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        print(os.waitstatus_to_exitcode(status))
        await db.stop()

    asyncio.run(main(open_db(max_pending=3, timeout=0.02)))
    """
    assert run(tmp_path, OPEN + strip(source)).quiet() == "0\n"
    found = records(tmp_path / "store")
    assert len(found) == 22


def strip(source: str) -> str:
    """Inline source, from the first column on."""

    return textwrap.dedent(source)
