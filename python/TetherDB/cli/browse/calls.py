"""The verbs of the engine beside the interface: in threads that nobody waits for.

asyncio's own threads would be waited for at the end: a server that does not answer would hold up quitting.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Calls under way at once for one backend: those that hang must not become more and more threads.
MOST = 4


class Calls:
    """Runs functions in threads, a few at a time for each name."""

    def __init__(self) -> None:
        """One of these serves one event loop."""
        self._rooms: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST))

    async def run(self, name: str, function: Callable[_P, _R], *args: _P.args, **given: _P.kwargs) -> _R:
        """What the function gives or raises. A caller that is cancelled leaves it to its own end."""
        room = self._rooms[name]
        await room.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_R] = loop.create_future()

        def tell(result: _R | None, error: BaseException | None) -> None:
            room.release()
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type]  # pyright: ignore

        def work() -> None:
            result: _R | None = None
            failed: BaseException | None = None
            try:
                result = function(*args, **given)
            except BaseException as error:
                failed = error
            try:
                loop.call_soon_threadsafe(tell, result, failed)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return

        threading.Thread(target=work, name=f"tetherdb-browse-{name}", daemon=True).start()
        return await outcome
