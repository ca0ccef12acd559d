"""The keys of a place, a page at a time: however many there are, few are in memory.

What is known of a page that was let go is where it begins and how many rows it has, so it can be read again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from TetherDB.cli.browse.places import Place
from TetherDB.types import KeysPage

# The verb: page size, marker, bucket, backend.
ListPage: TypeAlias = Callable[[int, str | None, str, str], KeysPage]

PAGE = 200
# A search looks at more keys in a request, since few of them are shown.
SEARCHED_AT_ONCE = 2000
# Rows that stay in memory.
KEPT = 10_000


@dataclass(frozen=True)
class Step:
    """Where a request begins. First come keys that begin with what is searched, then others that have it."""

    after: str | None
    others: bool


@dataclass
class Page:
    """What one request found."""

    step: Step
    keys: list[str] | None
    count: int
    looked: int
    next: Step | None


class Listing:
    """The keys of one place that a search finds. `fetch` may run in any thread; all else has one."""

    def __init__(self, place: Place, query: str = "") -> None:
        """query: what keys are to have in them, as they are shown; "" for all."""
        self.place, self.query = place, query
        self._pages: list[Page] = []
        # The first row of each page.
        self._starts: list[int] = []
        self.rows = 0
        self.looked = 0
        # A request of it failed: nothing more is asked.
        self.failed = False
        self._next: Step | None = self._first()

    def _first(self) -> Step:
        if self.query and self.place.is_ordered and self.place.bucket != "":
            return Step(before(self.query), others=False)
        return Step(None, others=True)

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at."""
        return self._next is None

    @property
    def loaded(self) -> int:
        """Rows in memory."""
        return sum(len(page.keys) for page in self._pages if page.keys is not None)

    def key(self, row: int) -> str | None:
        """The stored key in a row; None where it has to be read first."""
        if not 0 <= row < self.rows:
            return None
        at = bisect_right(self._starts, row) - 1
        keys = self._pages[at].keys
        return None if keys is None else keys[row - self._starts[at]]

    def wanted(self, first: int, last: int) -> Step | None:
        """What to fetch so that these rows can be shown; None if nothing."""
        for at in range(max(0, bisect_right(self._starts, first) - 1), len(self._pages)):
            if self._starts[at] > last:
                break
            page = self._pages[at]
            if page.keys is None and page.count:
                return page.step
        return self._next if last >= self.rows else None

    def fetch(self, list_page: ListPage, step: Step) -> Page:
        """One request. Changes nothing here."""
        place = self.place
        size = SEARCHED_AT_ONCE if self.query or place.bucket == "" else PAGE
        # DynamoDB would look through the table for a full page of a bucket, and could not be stopped.
        bucket = place.bucket or "" if place.is_ordered else ""
        if not place.is_ordered and place.bucket:
            size = SEARCHED_AT_ONCE
        found = list_page(size, step.after, bucket, place.backend)
        keys, marker = found["keys"], found["next_marker"]
        looked = len(keys)
        following = None if marker is None else Step(marker, step.others)
        if not step.others:
            # In key order: behind what is searched, and behind all that begins with it.
            over = any(key > self.query and not key.startswith(self.query) for key in keys)
            keys = [key for key in keys if key.startswith(self.query)]
            looked = len(keys)
            if over or following is None:
                following = Step(None, others=True)
        if bucket:
            keys = [f"{bucket}:{key}" for key in keys]
        if step.others:
            first_part = self._first() != Step(None, others=True)
            keys = [key for key in keys if place.holds(key) and self._matches(key, first_part)]
        return Page(step, keys, len(keys), looked if step.others else 0, following)

    def _matches(self, key: str, first_part: bool) -> bool:
        if not self.query:
            return True
        shown = self.place.shown(key)
        if first_part and shown.startswith(self.query):
            # Found before.
            return False
        return self.query.casefold() in shown.casefold()

    def take(self, page: Page, first: int, last: int) -> None:
        """Adds what was fetched, and lets go of what is far from the rows that are shown."""
        known = next((at for at, old in enumerate(self._pages) if old.step == page.step), None)
        if known is not None:
            # The store has changed where it reaches not as far as before: what is behind is read anew.
            same = page.next == self._pages[known].next and page.count == self._pages[known].count
            if same:
                self._pages[known] = page
            else:
                self._cut(known)
                self._append(page)
        elif page.step == self._next:
            self._append(page)
        self._let_go(first, last)

    def forget_from(self, row: int) -> None:
        """What is at and behind a row has changed, and is read again."""
        if self._pages:
            self._cut(max(0, bisect_right(self._starts, row) - 1))

    def _append(self, page: Page) -> None:
        self._starts.append(self.rows)
        self._pages.append(page)
        self.rows += page.count
        self.looked += page.looked
        self._next = page.next

    def _cut(self, at: int) -> None:
        self._next = self._pages[at].step
        del self._pages[at:], self._starts[at:]
        self.rows = sum(page.count for page in self._pages)
        self.looked = sum(page.looked for page in self._pages)

    def _let_go(self, first: int, last: int) -> None:
        surplus = self.loaded - KEPT
        if surplus <= 0:
            return
        middle = (first + last) // 2

        def distance(at: int) -> int:
            return abs(self._starts[at] + self._pages[at].count // 2 - middle)

        for at in sorted(range(len(self._pages)), key=distance, reverse=True):
            page = self._pages[at]
            shown = self._starts[at] <= last and self._starts[at] + page.count > first
            if page.keys and not shown:
                surplus -= len(page.keys)
                page.keys = None
            if surplus <= 0:
                return


def before(text: str) -> str | None:
    """A marker before all that begins with the text, and behind nearly all that comes earlier."""
    head, last = text[:-1], ord(text[-1])
    if last == 0:
        return head or None
    # There are no characters between.
    earlier = 0xD7FF if last == 0xE000 else last - 1
    return head + chr(earlier) + chr(0x10FFFF)
