"""Lists and iteration: pages of the service that are empty, large, or end where nobody expects it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from TetherDB import BackendError

from .support import NAME, TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynamodb_stub import DynamoDBStub
    from servers.dynamodb import DynamoDb
    from TetherDB import DB

# Enough of these in between that a page of the service, which is 1 MB, holds nothing else.
FOREIGN = {f"foreign:{number:02}": "x" * 200_000 for number in range(40)}
OWN = {f"k{number:02}": f"value {number}" for number in range(25)}
LARGE = {f"large{number:02}": f"{number:02}" * 100_000 for number in range(30)}


@pytest.fixture(params=["stub", "dynamodb"])
def db(request: pytest.FixtureRequest, connect: Callable[..., DB]) -> DB:
    """A handle on an empty table: of the stub, and of the real thing."""
    if request.param == "stub":
        stub: DynamoDBStub = request.getfixturevalue("stub")
        return connect(stub.endpoint, timeout=30)
    server: DynamoDb = request.getfixturevalue("dynamodb")
    table: str = request.getfixturevalue("dynamodb_table")
    return connect(server.url, table_name=table, timeout=30)


def pages(db: DB, page_size: int, bucket: str = "") -> list[list[str]]:
    """All pages of keys."""
    found: list[list[str]] = []
    marker: str | None = None
    while True:
        page = db.list_keys(page_size, marker, bucket=bucket, backend=NAME)
        found.append(page["keys"])
        marker = page["next_marker"]
        if marker is None:
            return found
        assert len(found) < 1000


@pytest.mark.parametrize("page_size", [1, 7, 25, 26, 1000])
def test_a_bucket_among_many_others(db: DB, page_size: int) -> None:
    db.write_messages(FOREIGN, backend=NAME)
    db.write_messages(OWN, bucket="own", backend=NAME)
    # Neither is in that bucket.
    db.write_messages({"own": "v", "ownother:k": "v", "Own:k": "v"}, backend=NAME)
    found = pages(db, page_size, "own")
    keys = [key for page in found for key in page]
    assert sorted(keys) == sorted(OWN)
    # Only the last page may be short, and only one that follows a full one empty.
    assert all(len(page) == page_size for page in found[:-1])
    assert len(found) <= len(OWN) // page_size + 1
    assert dict(db.iter_messages("own", backend=NAME, page_size=page_size)) == OWN


def test_a_bucket_that_is_empty_in_a_large_table(db: DB) -> None:
    db.write_messages(FOREIGN, backend=NAME)
    assert db.list_keys(bucket="own", backend=NAME) == {"keys": [], "next_marker": None}
    assert db.list_messages(bucket="own", backend=NAME) == {"messages": [], "next_marker": None}
    assert list(db.iter_messages("own", backend=NAME)) == []


@pytest.mark.parametrize("page_size", [1, 3, 30, 31, 10_000])
def test_values_that_fill_many_pages_of_the_service(db: DB, page_size: int) -> None:
    db.write_messages(LARGE, backend=NAME)
    found = pages(db, page_size)
    assert sorted(key for page in found for key in page) == sorted(LARGE)
    assert all(len(page) == page_size for page in found[:-1])
    messages = list(db.iter_messages(backend=NAME, page_size=page_size))
    assert len(messages) == len(LARGE)
    assert dict(messages) == LARGE
    if page_size >= 30:
        page = db.list_messages(page_size, backend=NAME)
        assert sorted(page["messages"]) == sorted(LARGE.values())


def test_lists_with_and_without_values_have_one_order(db: DB) -> None:
    db.write_messages(OWN, bucket="own", backend=NAME)
    keys = db.list_keys(100, bucket="own", backend=NAME)["keys"]
    messages = db.list_messages(100, bucket="own", backend=NAME)["messages"]
    assert [OWN[key] for key in keys] == messages
    assert [key for key, _ in db.iter_messages("own", backend=NAME)] == keys


def test_an_empty_table(db: DB) -> None:
    assert db.list_keys(backend=NAME) == {"keys": [], "next_marker": None}
    assert db.list_messages(backend=NAME) == {"messages": [], "next_marker": None}
    assert list(db.iter_messages(backend=NAME)) == []


@pytest.mark.parametrize("bucket", ["", "own"])
def test_the_marked_item_is_deleted_meanwhile(db: DB, bucket: str) -> None:
    db.write_messages(OWN, bucket=bucket, backend=NAME)
    seen: list[str] = []
    marker: str | None = None
    while True:
        page = db.list_keys(4, marker, bucket=bucket, backend=NAME)
        seen += page["keys"]
        marker = page["next_marker"]
        if marker is None:
            break
        assert marker == page["keys"][-1]
        assert db.delete_message(marker, bucket=bucket, backend=NAME)
    assert sorted(seen) == sorted(OWN)


def test_a_marker_that_was_never_there(db: DB) -> None:
    db.write_messages(OWN, bucket="own", backend=NAME)
    page = db.list_keys(100, "neverthere", bucket="own", backend=NAME)
    assert page["next_marker"] is None
    assert set(page["keys"]) <= set(OWN)


@pytest.mark.parametrize("page_size", [1, 7, 100, 1000])
def test_iteration_sees_every_key_once(db: DB, page_size: int) -> None:
    keys = {f"k{number}": {"number": number} for number in range(300)}
    db.write_messages(keys, bucket="own", backend=NAME)
    db.write_messages({f"x{number}": "other" for number in range(200)}, backend=NAME)
    messages = list(db.iter_messages("own", backend=NAME, page_size=page_size))
    assert len(messages) == 300
    assert dict(messages) == keys
    assert len(list(db.iter_messages(backend=NAME, page_size=page_size))) == 500


def test_what_is_written_and_deleted_during_an_iteration(db: DB) -> None:
    keys = [f"k{number:03}" for number in range(200)]
    db.write_messages(dict.fromkeys(keys, "v"), backend=NAME)
    seen: list[str] = []
    for number, (key, _) in enumerate(db.iter_messages(backend=NAME, page_size=10)):
        seen.append(key)
        assert db.delete_message(key, backend=NAME)
        if number < 100:
            db.write_message(f"new{number}", "v", backend=NAME)
    assert len(seen) == len(set(seen))
    assert set(keys) <= set(seen)


def test_items_of_other_programs(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    stub.seed(TABLE, {"key": {"S": "no value"}}, {"key": {"S": "a number"}, "value": {"N": "1"}})
    db = connect(stub.endpoint)
    for key in ("no value", "a number"):
        with pytest.raises(BackendError, match=key):
            db.read_message(key, backend=NAME)
    with pytest.raises(BackendError, match=r"no value|a number"):
        db.list_messages(backend=NAME)
    assert sorted(db.list_keys(backend=NAME)["keys"]) == ["a number", "no value"]
