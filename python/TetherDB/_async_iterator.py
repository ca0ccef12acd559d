"""What ``AsyncDB.iter_messages`` gives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

    from TetherDB._calls import Calls
    from TetherDB._tetherdb import Slices

# As with the calls: records of a page need no waiting.
_TURNS = 100


class MessageIterator:
    """A lazy iterator of (key, value) pairs: pages are fetched as they are needed.

    ``aclose`` ends it, as ``contextlib.aclosing`` does. Nothing is open that would have to be closed.
    """

    def __init__(self, calls: Calls, bucket: str, backend: str, page_size: int) -> None:
        self._calls = calls
        self._bucket = bucket
        self._backend = backend
        self._page_size = page_size
        self._page: Slices | None = None
        self._exhausted = False
        self._busy = False
        self._without_turn = 0
        # A page failed for good: so many records come one at a time, so that all before the one at fault
        # come out.
        self._careful = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, str | dict[str, Any]]:
        self._check_idle()
        self._busy = True
        try:
            entry = await self._next()
        except Exception as error:
            entry = self._calls.verbs.settle("iter_messages", self._backend, error, None)
            self._exhausted = True
        finally:
            self._busy = False
        if entry is None:
            raise StopAsyncIteration
        return entry

    async def aclose(self) -> None:
        """End the iteration: it gives no more records."""
        self._check_idle()
        self._page = None
        self._exhausted = True

    def _check_idle(self) -> None:
        if self._busy:
            raise ValueError("this iterator is in use by another task. Give each its own iter_messages().")

    async def _next(self) -> tuple[str, str | dict[str, Any]] | None:
        self._without_turn += 1
        if self._without_turn >= _TURNS:
            self._without_turn = 0
            await asyncio.sleep(0)
        while True:
            entry = self._page.pop() if self._page is not None else None
            if entry is not None or self._exhausted:
                return entry
            page = await self._fetch(self._page.next_marker if self._page is not None else None)
            self._page = page
            self._exhausted = page.next_marker is None

    async def _fetch(self, after: str | None) -> Slices:
        if self._careful > 0:
            page = await self._fetch_page(after, 1)
            self._careful -= 1
            return page
        try:
            return await self._fetch_page(after, self._page_size)
        except Exception as error:
            if not self._calls.verbs.is_for_good(error):
                raise
        self._careful = self._page_size
        return await self._fetch_page(after, 1)

    async def _fetch_page(self, after: str | None, size: int) -> Slices:
        begin = self._calls.verbs.page
        page: Slices = await self._calls.wait(begin, "records", size, after, self._bucket, self._backend)
        return page


class NoMessages(MessageIterator):
    """What a failing ``iter_messages`` gives where errors are only logged."""

    def __init__(self) -> None:
        self._busy = False

    async def __anext__(self) -> Any:
        raise StopAsyncIteration
