"""Lists: in pages at one revision, of any size, of this bucket alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from TetherDB import BackendError

from .support import NAME, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.etcd import EtcdServer
    from TetherDB import DB


@pytest.fixture
def db(clean_etcd: EtcdServer, connect: Callable[..., DB]) -> DB:
    return connect(clean_etcd.section())


def pages(db: DB, size: int, bucket: str = "") -> list[list[str]]:
    """The keys of all pages."""
    found: list[list[str]] = []
    marker = None
    while True:
        page = db.list_keys(page_size=size, start_after=marker, bucket=bucket, backend=NAME)
        found.append(page["keys"])
        marker = page["next_marker"]
        if marker is None:
            return found


def test_five_thousand_keys_are_listed_in_pages(db: DB) -> None:
    keys = [f"key-{at:05}" for at in range(5000)]
    db.write_messages(dict.fromkeys(keys, "value"), bucket="many", backend=NAME)
    db.write_messages({"before": "x", "many": "x", "many;": "x", "zzz": "x"}, backend=NAME)
    for size in (700, 1000, 2500, 5000, 9999):
        found = pages(db, size, "many")
        assert [key for page in found for key in page] == keys
        assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
        assert len(found) == -(-5000 // size)
    assert len(list(db.iter_messages(backend=NAME))) == 5004
    assert list(db.iter_messages(bucket="many", backend=NAME, page_size=333)) == [(k, "value") for k in keys]


def test_a_page_is_of_one_moment(db: DB, clean_etcd: EtcdServer, connect: Callable[..., DB]) -> None:
    """Some keys always have the same number, and so they have on a page that takes several requests."""
    # Large enough for a page of all of them to be fetched in parts.
    text = "x" * 10_000
    # As many as one transaction takes, half of them before all the others and half behind.
    ends = [f"{side}-{at:05}" for side in "az" for at in range(64)]
    db.write_messages({f"m-{at:05}": text for at in range(3000)}, backend=NAME)
    other = connect(clean_etcd.section(), queue_batch={"size": 128})
    other.write_messages(dict.fromkeys(ends, "0"), backend=NAME)
    stopped = threading.Event()

    def write() -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            assert other.write_messages(dict.fromkeys(ends, str(number)), backend=NAME) == len(ends)

    def read() -> None:
        try:
            seen: set[str] = set()
            for _ in range(5):
                page = db.list_messages(page_size=5000, backend=NAME)
                assert page["next_marker"] is None
                numbers = {message for message in page["messages"] if message != text}
                assert len(numbers) == 1, sorted(numbers)
                assert len(page["messages"]) == 3000 + len(ends)
                seen |= numbers
            assert len(seen) > 1
        finally:
            stopped.set()

    in_threads(write, read)


def test_paging_goes_on_while_keys_come_and_go(
    db: DB, connect: Callable[..., DB], clean_etcd: EtcdServer
) -> None:
    staying = [f"key-{at:05}" for at in range(0, 2000, 2)]
    db.write_messages(dict.fromkeys(staying, "value"), backend=NAME)
    other = connect(clean_etcd.section())
    stopped = threading.Event()

    def write() -> None:
        coming = [f"key-{at:05}" for at in range(1, 2000, 2)]
        while not stopped.is_set():
            other.write_messages(dict.fromkeys(coming, "value"), backend=NAME)
            other.delete_messages(coming, backend=NAME)

    def read() -> None:
        try:
            for size in (50, 300, 1000):
                found = [key for page in pages(db, size) for key in page]
                assert found == sorted(set(found))
                assert set(staying) <= set(found)
        finally:
            stopped.set()

    in_threads(write, read)


def test_a_page_may_be_larger_than_an_answer_that_clients_take_by_default(db: DB) -> None:
    items = {f"key-{at:03}": f"{at:03}".ljust(100_000, "x") for at in range(200)}
    db.write_messages(items, backend=NAME)
    page = db.list_messages(page_size=200, backend=NAME)
    assert page == {"messages": list(items.values()), "next_marker": None}
    assert dict(db.iter_messages(backend=NAME)) == items
    assert db.list_keys(page_size=200, backend=NAME)["keys"] == list(items)
    assert db.read_messages(items, backend=NAME) == items


def test_the_first_page_asked_for_may_be_of_large_values(db: DB) -> None:
    items = {f"key-{at:03}": f"{at:03}".ljust(1_000_000, "x") for at in range(30)}
    db.write_messages(items, backend=NAME)
    assert dict(db.iter_messages(backend=NAME)) == items
    assert db.list_messages(page_size=3, backend=NAME)["next_marker"] == "key-002"


def test_an_unreadable_record_does_not_hide_those_before_it(db: DB, clean_etcd: EtcdServer) -> None:
    db.write_messages({f"key-{at:03}": "value" for at in range(600)}, backend=NAME)
    clean_etcd.etcdctl.put("key-300", b"\xff\xfe")
    entries = db.iter_messages(backend=NAME)
    assert [key for key, _ in (next(entries) for _ in range(300))] == [f"key-{at:03}" for at in range(300)]
    with pytest.raises(BackendError, match="key-300"):
        next(entries)
