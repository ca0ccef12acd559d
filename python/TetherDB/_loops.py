"""The post of each event loop: where the outcomes of its calls arrive."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

from TetherDB._tetherdb import Post

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Generator

    from TetherDB import Receipt

# The loop holds its post, which it watches: both go together, and a closed loop lets go of it.
_posts: weakref.WeakKeyDictionary[AbstractEventLoop, weakref.ref[Post]] = weakref.WeakKeyDictionary()


def running() -> AbstractEventLoop:
    """The event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "This needs a running event loop of asyncio, or of what works like it (uvloop), and there is "
            "none in this thread. Await it in a coroutine that asyncio.run() runs; a forked child or a "
            "thread runs a loop of its own. Under trio use DB in a thread (trio.to_thread.run_sync)."
        ) from None


def post_of_running() -> tuple[Post, asyncio.Future[Any]]:
    """The post of the running loop, and a new future of it."""
    loop = running()
    return post_of(loop), loop.create_future()


def wait_for(receipt: Receipt) -> Generator[Any, None, bool]:
    """Wait in a coroutine until the message of a receipt has ended."""
    post, future = post_of_running()
    number = post.expect(receipt, future)
    try:
        ended: bool = yield from future
    except BaseException:
        # Cancelled, or thrown away with its task: a receipt may have long to go.
        post.cancel(number)
        raise
    return ended


def post_of(loop: AbstractEventLoop) -> Post:
    """The post of a loop, opened when it is first asked for."""
    known = _posts.get(loop)
    post = known() if known is not None else None
    if post is None or not post.is_ours():
        post = _open(loop)
        _posts[loop] = weakref.ref(post)
    return post


def _open(loop: AbstractEventLoop) -> Post:
    try:
        post = Post()
        loop.add_reader(post.fileno(), post.deliver)
    except (NotImplementedError, TypeError):
        # A loop that watches no pipes, as asyncio's own on Windows: it is called from a thread, and holds its
        # post itself.
        post = Post.notified(loop)
        loop.__dict__["_tetherdb_post"] = post
    return post
