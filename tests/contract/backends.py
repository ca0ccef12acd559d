"""The backends that the contract is tested on: one row for each, with all in which they differ."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from .place_dynamodb import DynamodbPlace
from .place_etcd import EtcdPlace
from .place_local import LocalPlace

if TYPE_CHECKING:
    from collections.abc import Callable

    from .place import Place

MIB = 1 << 20
NOT_UTF8 = {"no text": b"\xff\x00\xfe", "half a letter": "é".encode()[:1], "a surrogate": b"\xed\xa0\x80"}


@dataclass(frozen=True)
class Backend:
    """One backend, and in what it differs from others. No test asks for its name to decide what to expect."""

    name: str
    """As verbs call it."""
    place: Callable[[pytest.FixtureRequest], Place]
    """Makes the empty place that one test has to itself."""
    ordered_lists: bool
    """Lists come in key order, and go on behind any key; else a marker is one that a page has given."""
    exact_last_page: bool
    """The last page carries no marker; else one that is full may carry one that leads to an empty page."""
    pages_of_one_moment: bool
    """A page shows the records as they were at one moment."""
    atomic_keys: int
    """Most keys that a bulk verb writes or deletes together: all or none."""
    atomic_bytes: int
    """Most bytes of such keys with their texts."""
    longest_key: int | None
    """Bytes of the longest stored key; `None`: nothing but the size of the whole matters."""
    largest_item: int | None
    """Bytes of the longest stored key with its text; `None`: as large as memory allows."""
    over_network: bool
    """There is a server, which may be down."""
    foreign_keys: bool
    """Another program may store keys that are not UTF-8."""
    unreadable: dict[str, Any]
    """What else it may store that is no text: what it is called, and what `Place.put_unreadable` takes."""
    unreadable_says: str
    """A word of the error that reading such a record raises."""

    @property
    def room(self) -> int:
        """Bytes of the largest key with its text that the suite tries."""
        return self.largest_item or 100 * MIB


BACKENDS = [
    Backend(
        name="local",
        place=LocalPlace.of_test,
        ordered_lists=True,
        exact_last_page=True,
        pages_of_one_moment=True,
        atomic_keys=sys.maxsize,
        atomic_bytes=sys.maxsize,
        longest_key=None,
        largest_item=None,
        over_network=False,
        foreign_keys=True,
        unreadable=NOT_UTF8,
        unreadable_says="not UTF-8",
    ),
    Backend(
        name="etcd",
        place=EtcdPlace.of_test,
        ordered_lists=True,
        exact_last_page=True,
        pages_of_one_moment=True,
        # What its transactions take.
        atomic_keys=128,
        atomic_bytes=3 * MIB // 2 - (16 << 10),
        longest_key=None,
        # Of the 1.5 MiB of a request, some are for its framing.
        largest_item=3 * MIB // 2 - (16 << 10),
        over_network=True,
        foreign_keys=True,
        unreadable=NOT_UTF8,
        unreadable_says="not UTF-8",
    ),
    Backend(
        name="dynamodb",
        place=DynamodbPlace.of_test,
        ordered_lists=False,
        exact_last_page=False,
        pages_of_one_moment=False,
        atomic_keys=1,
        atomic_bytes=400 << 10,
        longest_key=2048,
        # The names of the attributes count.
        largest_item=(400 << 10) - len("key") - len("value"),
        over_network=True,
        foreign_keys=False,
        unreadable={
            "a number": {"N": "1"},
            "bytes": {"B": b"v"},
            "a map": {"M": {"a": {"S": "v"}}},
            "a list": {"L": [{"S": "v"}]},
            "a set": {"SS": ["v"]},
            "a truth": {"BOOL": True},
            "nothing": {"NULL": True},
            "no attribute": None,
        },
        unreadable_says="no string attribute",
    ),
]


def only(condition: Callable[[Backend], bool]) -> pytest.MarkDecorator:
    """The backends that a statement is about, of which there is at least one."""
    rows = [backend for backend in BACKENDS if condition(backend)]
    assert rows
    return pytest.mark.parametrize("backend", rows, ids=[row.name for row in rows], indirect=True)


over_network = only(lambda backend: backend.over_network)
