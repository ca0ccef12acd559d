"""Which event loops a handle works in: one after the other, several at once, of any kind, and closed ones."""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from at_once import in_threads
from TetherDB import AsyncDB

from .support import HOUR, adds_up, begun, bounded, eventually, run, turns, works

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Locked = Callable[[], AbstractContextManager[None]]


class WatchesNoPipes(asyncio.SelectorEventLoop):
    """As the loop that asyncio has on Windows."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        raise NotImplementedError


def run_in(loop: asyncio.AbstractEventLoop, main: Any) -> Any:
    """Runs in that loop, and leaves it open."""
    return loop.run_until_complete(bounded(main))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.SelectorEventLoop()
    yield loop
    loop.close()


@pytest.fixture
def pipeless() -> Iterator[WatchesNoPipes]:
    loop = WatchesNoPipes()
    yield loop
    loop.close()


def test_one_handle_serves_one_loop_after_the_other(db: AsyncDB) -> None:
    for number in range(5):
        assert run(db.write_message("k", str(number))) is True
        assert run(db.read_message("k")) == str(number)
    for _ in range(3):
        run(works(db, "other"))


def test_a_handle_may_be_entered_in_each_loop(db: AsyncDB) -> None:
    async def enter(number: int) -> None:
        async with db as entered:
            assert entered is db
            await db.write_queue_message(str(number), "v")

    for number in range(3):
        run(enter(number))
    assert run(db.list_keys()) == {"keys": ["0", "1", "2"], "next_marker": None}


def test_what_one_loop_queued_another_flushes(open_async: Callable[..., AsyncDB]) -> None:
    db = open_async(queue_batch={"timeout": HOUR, "size": 1000})
    assert run(db.write_queue_message("k", "v")) is True
    run(db.flush())
    assert run(db.read_message("k")) == "v"


def test_loops_in_several_threads_share_a_handle(db: AsyncDB) -> None:
    count = 200

    async def work(who: int) -> list[bool]:
        async def one(number: int) -> bool:
            key = f"{who}-{number}"
            assert await db.write_message(key, {"n": number}) is True
            assert await db.write_queue_message("shared", key) is True
            return await db.read_message(key) == {"n": number}

        return await asyncio.gather(*map(one, range(count)))

    found = in_threads(*(lambda who=who: run(work(who)) for who in range(4)))
    assert found == [[True] * count] * 4

    async def check() -> None:
        await db.flush()
        assert (await db.stats())["local"]["accepted"] == 4 * count
        await adds_up(db)

    run(check())


def test_a_call_of_one_loop_waits_while_another_loop_goes_on(
    open_async: Callable[..., AsyncDB], locked: Locked
) -> None:
    db = open_async(local={"busy_timeout": 60})
    run(db.write_message("k", "old"))
    with locked():
        waiting = threading.Thread(target=run, args=(db.write_message("k", "new"),))
        waiting.start()
        assert run(db.read_message("k")) == "old"
        assert waiting.is_alive()
    waiting.join()
    assert run(db.read_message("k")) == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="there every loop is of this kind")
def test_a_loop_that_watches_no_pipes(pipeless: WatchesNoPipes, db: AsyncDB) -> None:
    run_in(pipeless, works(db, "k"))

    async def many() -> list[bool]:
        return await asyncio.gather(*(db.write_message(str(number), "v") for number in range(2000)))

    assert run_in(pipeless, many()) == [True] * 2000
    # Beside an ordinary one.
    run(works(db, "k"))
    run_in(pipeless, works(db, "k"))


def test_a_loop_that_watches_no_pipes_is_left_with_calls_under_way(
    open_async: Callable[..., AsyncDB], locked: Locked
) -> None:
    db = open_async(local={"busy_timeout": 60})
    run(db.write_message("k", "old"))
    loop = WatchesNoPipes()
    with locked():
        run_in(loop, begun(db.write_message("k", "new")))
        abandon(loop)
        watched = weakref.ref(loop)
        del loop
    run(eventually_gone(watched))
    run(works(db, "k"))


@pytest.mark.parametrize("selector", ["SelectSelector", "PollSelector", "EpollSelector"])
def test_every_selector(selector: str, db: AsyncDB) -> None:
    if not hasattr(selectors, selector):
        pytest.skip("not on this system")
    loop = asyncio.SelectorEventLoop(getattr(selectors, selector)())
    run_in(loop, works(db, "k"))
    loop.close()


def test_a_loop_in_debug_mode_has_nothing_to_complain_of(db: AsyncDB) -> None:
    # It watches that calls come from its own thread.
    asyncio.run(bounded(works(db, "k")), debug=True)


def test_eager_tasks(db: AsyncDB) -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("since Python 3.12")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        assert await asyncio.gather(*(db.write_message(str(n), "v") for n in range(500))) == [True] * 500
        await works(db, "k")

    run(main())


def test_a_closed_loop_is_no_obstacle_to_the_next(loop: asyncio.AbstractEventLoop, db: AsyncDB) -> None:
    run_in(loop, works(db, "k"))
    loop.close()
    call = db.write_message("k", "v")
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_until_complete(call)
    call.close()
    assert run(db.read_message("k")) is None
    run(works(db, "k"))


def test_without_a_running_loop_the_error_says_what_to_do(db: AsyncDB) -> None:
    call = db.read_message("k")
    with pytest.raises(RuntimeError, match=r"needs a running event loop of asyncio.*asyncio\.run\(\)"):
        call.send(None)
    write = db.write_message("k", "v")
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        write.send(None)
    assert run(db.read_message("k")) is None


def abandon(loop: asyncio.AbstractEventLoop) -> None:
    """Closes it, and forgets the tasks in it."""
    for task in asyncio.all_tasks(loop):
        # Or it would complain that it was destroyed while pending.
        setattr(task, "_log_destroy_pending", False)  # noqa: B010 - it is private
    loop.close()


async def eventually_gone(watched: weakref.ref[Any]) -> None:
    def is_gone() -> bool:
        gc.collect()
        return watched() is None

    await eventually(is_gone)


def test_a_loop_closed_with_calls_under_way_is_not_kept_and_what_had_begun_is_done(
    open_async: Callable[..., AsyncDB], locked: Locked
) -> None:
    db = open_async(local={"busy_timeout": 60})
    run(db.write_message("k", "old"))
    loop = asyncio.SelectorEventLoop()
    with locked():
        run_in(loop, begun(db.write_message("k", "new")))
        run_in(loop, begun(db.write_queue_message("queued", "v")))
        abandon(loop)
        watched = weakref.ref(loop)
        del loop
        run(eventually_gone(watched))
    run(db.flush())
    # Nobody has cancelled the write: its loop has only gone.
    assert run(db.read_message("k")) in ("old", "new")
    assert run(db.read_message("queued")) == "v"
    run(works(db, "k"))


def test_loops_leave_nothing_behind(db: AsyncDB) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    run(works(db, "k"))
    opened = len(list(Path("/proc/self/fd").iterdir()))
    loops: list[weakref.ref[Any]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await works(db, "k")

    for _ in range(50):
        run(main())
    gc.collect()
    assert [loop for loop in loops if loop() is not None] == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= opened


def begin_and_abandon(db: AsyncDB) -> None:
    loop = asyncio.SelectorEventLoop()
    run_in(loop, begun(db.write_message("k", "new")))
    abandon(loop)


def test_loops_that_are_closed_with_calls_under_way_leave_nothing_behind(
    open_async: Callable[..., AsyncDB], locked: Locked
) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    db = open_async(local={"busy_timeout": 60})
    run(db.write_message("k", "old"))
    opened = len(list(Path("/proc/self/fd").iterdir()))
    with locked():
        for _ in range(20):
            begin_and_abandon(db)
    gc.collect()
    run(works(db, "k"))
    assert len(list(Path("/proc/self/fd").iterdir())) <= opened + 2


def test_a_handle_that_is_collected_while_calls_are_under_way(path: Path, locked: Locked) -> None:
    async def main() -> list[Any]:
        db = AsyncDB({"local": {"filepath": str(path), "busy_timeout": 60, "synchronous": "off"}})
        assert await db.write_message("k", "old") is True
        with locked():
            calls = [await begun(db.write_message("k", "new"))]
            calls.append(await begun(db.write_queue_message("queued", "v")))
            watched = weakref.ref(db)
            del db
            gc.collect()
            await turns()
            # A call keeps what it needs.
            assert not calls[0].done()
        done = await asyncio.gather(*calls)
        del calls
        await eventually_gone(watched)
        return done

    assert run(main()) == [True, True]

    async def look() -> Any:
        async with AsyncDB({"local": {"filepath": str(path)}}) as db:
            while await db.read_message("queued") is None:
                await asyncio.sleep(0.01)
            return await db.read_messages(["k", "queued"])

    assert run(look()) == {"k": "new", "queued": "v"}


def test_a_call_in_a_task_nobody_keeps(db: AsyncDB) -> None:
    # asyncio holds tasks weakly: the call under way is what holds this one.
    async def main() -> None:
        arrived = asyncio.Event()

        async def write() -> None:
            await db.write_message("k", "v")
            arrived.set()

        asyncio.ensure_future(write())  # noqa: RUF006 - that nobody keeps it is what this is about
        await asyncio.sleep(0)
        gc.collect()
        await arrived.wait()

    run(main())
    assert run(db.read_message("k")) == "v"
