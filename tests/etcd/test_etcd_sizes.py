"""Many and large messages: divided into requests that the server takes, and refused where none can be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from servers.etcd import EtcdServer
from TetherDB import DeliveryError, LimitExceeded

from .support import NAME, PATIENCE, adds_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from TetherDB import DB

REQUEST = 3 << 19
"""What etcd takes in one request unless told otherwise: 1.5 MiB."""
FEW_OPERATIONS = 16
FEW_BYTES = 64 << 10


class NarrowEtcd(EtcdServer):
    """Takes fewer operations and bytes than the default."""

    def command(self) -> list[str]:
        return [
            *super().command(),
            f"--max-txn-ops={FEW_OPERATIONS}",
            f"--max-request-bytes={FEW_BYTES}",
        ]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with NarrowEtcd(tmp_path_factory.mktemp("narrow"), name="narrow-etcd") as server:
        yield server


@pytest.fixture
def db(clean_etcd: EtcdServer, connect: Callable[..., DB]) -> DB:
    """A handle on the shared etcd, with batches as large as it takes."""
    return connect(clean_etcd.section(), queue_batch={"size": 128})


def values(count: int, size: int) -> dict[str, str]:
    """Messages, each of another text."""
    return {f"key-{at:05}": f"{at:05}".ljust(size, "x") for at in range(count)}


def stored(db: DB) -> dict[str, object]:
    return dict(db.iter_messages(backend=NAME))


@pytest.mark.parametrize("count", [1, 127, 128, 129, 1000])
def test_many_keys_are_several_requests(db: DB, count: int) -> None:
    items = values(count, 10)
    assert db.write_messages(items, backend=NAME) == count
    assert stored(db) == items
    assert db.read_messages([*items, "missing"], backend=NAME) == items
    assert db.delete_messages([*items, "missing"], backend=NAME) == count
    assert stored(db) == {}


@pytest.mark.parametrize(("count", "size"), [(100, 100_000), (40, 40_000), (3, 1_000_000)])
def test_many_bytes_are_several_requests(db: DB, count: int, size: int) -> None:
    items = values(count, size)
    assert db.write_messages(items, backend=NAME) == count
    # An answer is beyond the 4 MiB that clients take by default.
    assert db.read_messages(items, backend=NAME) == items
    assert stored(db) == items
    assert db.delete_messages(items, backend=NAME) == count


@pytest.mark.parametrize(("count", "size"), [(100, 100_000), (3, 1_500_000), (1000, 100)])
def test_a_queued_batch_is_divided_by_bytes(db: DB, count: int, size: int) -> None:
    items = values(count, size)
    for key, value in items.items():
        db.write_queue_message(key, value, backend=NAME)
    db.flush(timeout=PATIENCE)
    stats = db.stats()[NAME]
    assert (stats["delivered"], stats["failed"], stats["retried"]) == (count, 0, 0)
    adds_up(db)
    assert stored(db) == items


def test_the_largest_message_is_taken_and_the_next_refused(db: DB) -> None:
    def refused(size: int) -> bool:
        try:
            db.write_message("k", "x" * size, backend=NAME)
        except LimitExceeded:
            return True
        return False

    low, high = REQUEST - (64 << 10), REQUEST
    assert not refused(low)
    assert refused(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if refused(middle) else (middle, high)
    writes: list[Callable[[int], object]] = [
        lambda size: db.write_message("k", "x" * size, backend=NAME),
        lambda size: db.write_messages({"k": "x" * size, "other": "value"}, backend=NAME),
        lambda size: db.update_message("k", "x" * size, backend=NAME),
        lambda size: db.write_queue_message("k", "x" * size, backend=NAME),
    ]
    for write in writes:
        assert write(low)
        db.flush(timeout=PATIENCE)
        assert db.read_message("k", backend=NAME) == "x" * low
        with pytest.raises(LimitExceeded) as caught:
            write(high)
        assert "'k'" in str(caught.value)
        assert "1.5 MiB" in str(caught.value)
        db.write_message("k", "small", backend=NAME)
    stats = db.stats()[NAME]
    assert (stats["accepted"], stats["failed"]) == (1, 0)


def test_a_message_beyond_the_limit_sends_nothing_of_its_bulk(db: DB) -> None:
    with pytest.raises(LimitExceeded):
        db.write_messages({"a": "1", "b": "x" * REQUEST, "c": "3"}, backend=NAME)
    assert stored(db) == {}


def test_keys_may_be_large(db: DB) -> None:
    key = "k" * 100_000
    assert db.write_message(key, "value", backend=NAME)
    assert db.read_message(key, backend=NAME) == "value"
    assert db.list_keys(backend=NAME)["keys"] == [key]
    with pytest.raises(LimitExceeded):
        db.write_message("k" * REQUEST, "value", backend=NAME)
    for verb in (db.read_message, db.delete_message):
        # A key that nobody can write is not there, or is refused; it does not break the connection.
        with contextlib.suppress(LimitExceeded):
            assert not verb("k" * 2 * REQUEST, backend=NAME)


def test_many_large_keys_are_several_requests(db: DB) -> None:
    keys = [f"{at:03}".ljust(60_000, "k") for at in range(100)]
    assert db.write_messages(dict.fromkeys(keys, "value"), backend=NAME) == 100
    assert db.read_messages(keys, backend=NAME) == dict.fromkeys(keys, "value")
    assert db.delete_messages(keys, backend=NAME) == 100


@pytest.mark.parametrize(("count", "size"), [(500, 10), (100, 4000), (7, 60_000)])
def test_a_server_that_takes_less_gets_smaller_requests(
    narrow: EtcdServer, connect: Callable[..., DB], count: int, size: int
) -> None:
    narrow.etcdctl.clear()
    db = connect(narrow.section(), queue_batch={"size": 128})
    items = values(count, size)
    for key, value in items.items():
        db.write_queue_message(key, value, backend=NAME)
    db.flush(timeout=PATIENCE)
    stats = db.stats()[NAME]
    assert (stats["delivered"], stats["failed"]) == (count, 0)
    assert stored(db) == items
    again = {key: f"again {value}" for key, value in items.items()}
    assert db.write_messages(again, backend=NAME) == count
    assert stored(db) == again


def test_a_server_that_takes_less_reads_and_deletes_in_smaller_requests(
    narrow: EtcdServer, connect: Callable[..., DB]
) -> None:
    narrow.etcdctl.clear()
    db = connect(narrow.section())
    items = values(200, 10)
    db.write_messages(items, backend=NAME)
    assert db.read_messages(items, backend=NAME) == items
    assert db.delete_messages(items, backend=NAME) == len(items)


def test_what_a_server_refuses_for_its_size_does_not_hold_back_its_neighbours(
    narrow: EtcdServer, connect: Callable[..., DB]
) -> None:
    narrow.etcdctl.clear()
    db = connect(narrow.section(), queue_batch={"size": 128})
    items = values(100, 100)
    for at, (key, value) in enumerate(items.items()):
        if at % 40 == 7:
            db.write_queue_message(f"large-{at}", "x" * 100_000, backend=NAME)
        db.write_queue_message(key, value, backend=NAME)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=PATIENCE)
    assert sorted(key for key, *_ in caught.value.failed) == ["large-47", "large-7", "large-87"]
    assert {type(error) for *_, error in caught.value.failed} == {LimitExceeded}
    assert stored(db) == items
    adds_up(db)
    with pytest.raises(LimitExceeded, match="max-request-bytes"):
        db.write_message("large", "x" * 100_000, backend=NAME)
    # The bulk verb divides as well, and names the one that is too large.
    with pytest.raises(LimitExceeded, match="'large'"):
        db.write_messages({**items, "large": "x" * 100_000}, backend=NAME)


def test_values_of_every_length_around_a_request_travel_in_one_batch(
    clean_etcd: EtcdServer, connect: Callable[..., DB], tmp_path: Path
) -> None:
    db = connect(clean_etcd.section(), queue_batch={"size": 128})
    half = (REQUEST - (16 << 10)) // 2
    items = {f"{step:+}-{at}": "x" * (half + step) for step in (-20, -10, -5, -1, 0, 1, 5) for at in range(2)}
    assert db.write_messages(items, backend=NAME) == len(items)
    assert stored(db) == items
