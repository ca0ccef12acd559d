"""Roles that allow some keys: the others are refused, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servers.etcd import READABLE, READER, EtcdServer
from servers.etcdctl import User
from TetherDB import AuthenticationFailed, DeliveryError

from .support import NAME, PATIENCE, TIMEOUT, adds_up, failure, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from TetherDB import DB, Receipt

LIMITED = User("limited", "the-limited-password")
MINE = "mine"


@pytest.fixture
def server(etcd_auth_simple: EtcdServer) -> Iterator[EtcdServer]:
    """An etcd with a user who may read and write one bucket."""
    server = etcd_auth_simple
    server.etcdctl.clear()
    server.etcdctl.add_role("limiting", "readwrite", f"{MINE}:")
    server.etcdctl.add_user(LIMITED, "limiting")
    yield server
    server.etcdctl.delete_user(LIMITED.name)
    server.etcdctl.run("role", "delete", "limiting")


@pytest.fixture
def address(server: EtcdServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.fixture
def db(server: EtcdServer, connect: Callable[..., DB]) -> DB:
    """A handle of that user."""
    return connect(server.section(LIMITED), timeout=TIMEOUT)


@pytest.mark.parametrize("user", [LIMITED, READER], ids=lambda user: user.name)
def test_who_may_use_some_keys_can_ping(server: EtcdServer, connect: Callable[..., DB], user: User) -> None:
    assert connect(server.section(user)).ping(NAME) >= 0


def test_every_verb_works_on_the_keys_that_are_allowed(db: DB) -> None:
    assert db.write_message("key", "value", bucket=MINE, backend=NAME)
    assert db.update_message("key", "other", bucket=MINE, backend=NAME)
    assert db.read_message("key", bucket=MINE, backend=NAME) == "other"
    assert db.write_messages({"a": "1", "b": "2"}, bucket=MINE, backend=NAME) == 2
    assert db.read_messages(["a", "key"], bucket=MINE, backend=NAME) == {"a": "1", "key": "other"}
    assert db.list_keys(bucket=MINE, backend=NAME)["keys"] == ["a", "b", "key"]
    assert dict(db.iter_messages(bucket=MINE, backend=NAME)) == {"a": "1", "b": "2", "key": "other"}
    assert db.delete_messages(["a", "b"], bucket=MINE, backend=NAME) == 2
    assert db.delete_message("key", bucket=MINE, backend=NAME)


def test_every_verb_is_refused_on_others(server: EtcdServer, db: DB, address: str) -> None:
    server.etcdctl.put("key", "value")
    verbs: dict[str, Callable[[DB], object]] = {
        "write_message": lambda db: db.write_message("key", "other", backend=NAME),
        "update_message": lambda db: db.update_message("key", "other", backend=NAME),
        "delete_message": lambda db: db.delete_message("key", backend=NAME),
        "read_message": lambda db: db.read_message("key", backend=NAME),
    }
    for verb in verbs.values():
        error = failure(verb, db, AuthenticationFailed, names=address)
        assert not error.retryable
        assert '"key"' in str(error) or "'key'" in str(error), error
    others: list[Callable[[DB], object]] = [
        lambda db: db.list_messages(backend=NAME),
        lambda db: db.list_keys(bucket="other", backend=NAME),
        lambda db: list(db.iter_messages(backend=NAME)),
    ]
    for verb in others:
        failure(verb, db, AuthenticationFailed, names=address)
    assert server.etcdctl.everything() == {"key": b"value"}


@pytest.mark.parametrize("count", [2, 10, 300])
def test_a_bulk_write_with_a_refused_key_says_how_many_are_written(
    server: EtcdServer, db: DB, address: str, count: int
) -> None:
    mine = {f"{MINE}:{at:03}": f"value {at}" for at in range(count)}
    middle = list(mine)[count // 2]
    keys = [key for each in mine for key in ([each, "theirs"] if each == middle else [each])]
    error = failure(
        lambda db: db.write_messages({key: mine.get(key, "x") for key in keys}, backend=NAME),
        db,
        AuthenticationFailed,
        names=address,
    )
    written = server.etcdctl.everything()
    if count < 128:
        # One transaction, which is all or nothing; the server does not say which key it was.
        assert f"any of {count + 1} keys. None of them is written." in str(error)
        assert not written
    else:
        assert f"{len(written)} of {count + 1} keys are known to be written." in str(error)
    assert written.items() <= {key: value.encode() for key, value in mine.items()}.items()
    server.etcdctl.clear()
    failure(lambda db: db.read_messages(keys, backend=NAME), db, AuthenticationFailed, names=address)
    failure(lambda db: db.delete_messages(keys, backend=NAME), db, AuthenticationFailed, names=address)


@pytest.mark.parametrize(("count", "size"), [(9, 10), (127, 128), (500, 128)])
def test_queued_messages_beside_a_refused_one_are_delivered(
    server: EtcdServer, connect: Callable[..., DB], count: int, size: int
) -> None:
    given_up: list[str] = []

    def on_error(key: str, *_: object) -> None:
        given_up.append(key)

    db = connect(
        server.section(LIMITED),
        queue_batch={"size": size, "timeout": 0.2},
        on_error=on_error,
    )
    mine = {f"key-{at:03}": f"value {at}" for at in range(count)}
    bad = {0: "first", count // 2: "middle", count - 1: "last"}
    receipts: dict[str, Receipt] = {}
    for at, (key, value) in enumerate(mine.items()):
        if at in bad:
            receipts[bad[at]] = db.write_queue_message(bad[at], "theirs", backend=NAME, receipt=True)
        db.write_queue_message(key, value, bucket=MINE, backend=NAME)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=PATIENCE)
    assert {key for key, *_ in caught.value.failed} == set(bad.values())
    assert all(type(error) is AuthenticationFailed for *_, error in caught.value.failed)
    for receipt in receipts.values():
        assert type(receipt.exception()) is AuthenticationFailed
    stats = db.stats()[NAME]
    assert (stats["delivered"], stats["failed"]) == (count, len(bad))
    adds_up(db)
    stored = server.etcdctl.everything()
    assert stored == {f"{MINE}:{key}": value.encode() for key, value in mine.items()}
    db.stop()
    assert set(given_up) == set(bad.values())


def test_threads_are_refused_one_by_one(server: EtcdServer, db: DB) -> None:
    def write(number: int) -> list[bool]:
        told: list[bool] = []
        for at in range(20):
            bucket = MINE if (at + number) % 2 else "theirs"
            try:
                told.append(db.write_message(f"{number}-{at}", "value", bucket=bucket, backend=NAME))
            except AuthenticationFailed:
                told.append(False)
        return told

    told = in_threads(*(lambda number=number: write(number) for number in range(4)))
    assert [sum(each) for each in told] == [10] * 4
    assert len(server.etcdctl.everything()) == 40


def test_a_reader_reads_and_does_not_write(server: EtcdServer, connect: Callable[..., DB]) -> None:
    server.etcdctl.put(f"{READABLE}key", "value")
    db = connect(server.section(READER), timeout=TIMEOUT)
    bucket = READABLE.removesuffix(":")
    assert db.read_message("key", bucket=bucket, backend=NAME) == "value"
    assert db.list_messages(bucket=bucket, backend=NAME)["messages"] == ["value"]
    failure(
        lambda db: db.write_message("key", "other", bucket=bucket, backend=NAME),
        db,
        AuthenticationFailed,
        names=str(server.port),
    )
    failure(
        lambda db: db.update_message("key", "other", bucket=bucket, backend=NAME),
        db,
        AuthenticationFailed,
        names=str(server.port),
    )
    assert server.etcdctl.get(f"{READABLE}key") == b"value"
