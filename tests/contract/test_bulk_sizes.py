"""Bulk verbs on more than one request carries, and on what a backend refuses."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, LimitExceeded

from .backends import Backend, only
from .place import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .place import Place

# Around what the requests of some backend take.
COUNTS = [25, 26, 100, 101, 128, 129, 1000]


@pytest.mark.parametrize("count", COUNTS)
def test_bulk_verbs_take_more_keys_than_one_request_carries(count: int, db: DB, backend: Backend) -> None:
    items = {f"{number:05}": f"value {number}" for number in range(count)}
    assert db.write_messages(items, backend=backend.name) == count
    assert dict(db.iter_messages(backend=backend.name)) == items
    found = db.read_messages(reversed(items), backend=backend.name)
    assert found == items
    assert list(found) == list(reversed(items))
    assert db.read_messages(["missing", *items, "none"], backend=backend.name) == items
    assert db.delete_messages([*items, "missing"], backend=backend.name) == count
    assert db.list_keys(backend=backend.name)["keys"] == []


@pytest.mark.usefixtures("the_real_one")
def test_bulk_verbs_take_more_bytes_than_one_request_carries(db: DB, backend: Backend) -> None:
    size = min(backend.room, 1_000_000) - 100
    # Beyond 16 MB, the largest answer of all.
    items = {f"{number:02}": f"{number % 10}" * size for number in range(17_000_000 // size + 1)}
    assert db.write_messages(items, backend=backend.name) == len(items)
    assert db.read_messages(items, backend=backend.name) == items
    assert dict(db.iter_messages(backend=backend.name)) == items
    assert db.delete_messages(items, backend=backend.name) == len(items)


@pytest.mark.parametrize("verb", ["read_messages", "delete_messages"])
def test_keys_given_twice_count_once_wherever_they_stand(verb: str, db: DB, backend: Backend) -> None:
    items = {f"{number:04}": "v" for number in range(200)}
    db.write_messages(items, backend=backend.name)
    found = getattr(db, verb)([*items, *items], backend=backend.name)
    assert found == (items if verb == "read_messages" else 200)


def test_pairs_given_twice_count_once_wherever_they_stand(db: DB, backend: Backend) -> None:
    pairs = [(f"{number % 200:04}", str(number)) for number in range(600)]
    assert db.write_messages(pairs, backend=backend.name) == 200
    assert dict(db.iter_messages(backend=backend.name)) == dict(pairs)


def known_to_be_written(error: BaseException) -> int:
    """What the error of a bulk write says."""
    found = re.search(r"(\d+) of \d+ keys are known to be written", str(error))
    return int(found[1]) if found else 0


# What is refused for its size goes again in smaller requests, where there are requests.
@only(lambda backend: backend.atomic_keys > 1000)
@pytest.mark.usefixtures("refuse_large")
def test_where_a_bulk_write_is_atomic_none_is_written_when_one_is_refused(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()
    with pytest.raises(place.refusal, match=place.refusal_says) as caught:
        db.write_messages({"a": "v", "bad": LARGE, "c": "v"}, backend=backend.name)
    assert place.everything() == {}
    assert known_to_be_written(caught.value) == 0
    assert db.write_messages({"a": "v", "c": "v"}, backend=backend.name) == 2


@pytest.mark.usefixtures("refuse_large")
def test_where_one_of_a_bulk_write_is_refused_the_error_names_it_and_says_how_many_are_written(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()
    items = {f"{number:03}": LARGE if number == 150 else "v" for number in range(300)}
    with pytest.raises(place.refusal, match=place.refusal_says) as caught:
        db.write_messages(items, backend=backend.name)
    assert "'150'" in str(caught.value)
    there = place.everything()
    assert "150" not in there
    assert len(there) == known_to_be_written(caught.value)


@only(lambda backend: backend.largest_item is not None)
def test_where_one_of_a_bulk_write_exceeds_a_limit_none_is_written(db: DB, backend: Backend) -> None:
    items = {f"{number:03}": "v" for number in range(300)}
    items["150"] = "x" * backend.room
    with pytest.raises(LimitExceeded, match="'150'"):
        db.write_messages(items, backend=backend.name)
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_bulk_write_that_gets_no_answer_raises_and_leaves_none_half_written(
    open_db: Callable[..., DB],
    backend: Backend,
    place: Place,
    outage: Callable[[], AbstractContextManager[None]],
) -> None:
    db = open_db()
    db.write_message("before", "v", backend=backend.name)
    items = {f"{number:03}": "v" for number in range(300)}
    with outage(), pytest.raises(TimeoutError):
        db.write_messages(items, backend=backend.name)
    assert place.everything() == {"before": "v"}
    assert db.write_messages(items, backend=backend.name) == 300


@only(lambda backend: backend.atomic_keys > 1 and backend.pages_of_one_moment)
@pytest.mark.parametrize("many", ["keys", "bytes"])
def test_what_is_atomic_changes_at_one_moment(
    many: str, open_db: Callable[..., DB], backend: Backend
) -> None:
    writer, reader, on = open_db(), open_db(), backend.name
    if many == "keys":
        keys = [f"{number:03}" for number in range(min(backend.atomic_keys, 200))]
        size, turns = 1, 60
    else:
        keys = ["000", "001", "002"]
        size, turns = min(backend.atomic_bytes, 1_500_000) // len(keys) - len("000"), 10
    writer.write_messages({key: "0".rjust(size) for key in keys}, backend=on)
    done = threading.Event()

    def write() -> None:
        try:
            for turn in range(1, turns):
                writer.write_messages({key: str(turn % 10).rjust(size) for key in keys}, backend=on)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen: list[int] = []
    while not done.is_set():
        seen.append(len(set(reader.list_messages(1000, backend=on)["messages"])))
    thread.join()
    assert set(seen) == {1}
