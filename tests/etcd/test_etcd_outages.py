"""Servers that are down, silent, slow, or restarted: each call ends in time, and the handle recovers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from fault_proxy import FaultProxy
from servers.process import free_ports
from TetherDB import BackendError, OperationTimeout, Unavailable

from .support import (
    NAME,
    PATIENCE,
    TIMEOUT,
    VERBS,
    every_verb,
    failure,
    freeze,
    helps,
    in_threads,
    within,
    works,
    works_soon,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.etcd import EtcdServer
    from TetherDB import DB


@pytest.fixture
def db(proxy: FaultProxy, connect: Callable[..., DB]) -> DB:
    """A handle on the shared etcd, behind the proxy."""
    return connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT)


def all_fail(dbs: dict[str, DB], kind: type[BackendError], *, names: str) -> None:
    """Every verb, each on its own handle, all at the same time."""
    in_threads(*(lambda name=name: failure(VERBS[name], dbs[name], kind, names=names) for name in VERBS))


@pytest.fixture
def dbs(proxy: FaultProxy, connect: Callable[..., DB]) -> dict[str, DB]:
    """A handle for each verb."""
    return {name: connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT) for name in VERBS}


@every_verb
def test_a_server_that_is_down_is_told_at_once(
    connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    [port] = free_ports(1)
    db = connect({"host": "127.0.0.1", "port": port}, timeout=PATIENCE)
    # Nobody waits for the timeout: who is refused knows.
    error = failure(verb, db, Unavailable, names=f"127.0.0.1:{port}", timeout=0.5)
    assert error.retryable
    assert "refused" in str(error)


def test_a_host_that_nobody_knows_is_told(connect: Callable[..., DB]) -> None:
    db = connect({"host": "nobody.invalid"}, timeout=TIMEOUT)
    with within(), pytest.raises((Unavailable, OperationTimeout)) as caught:
        works(db)
    helps(caught.value, type(caught.value), names="nobody.invalid:2379")


@pytest.mark.parametrize("swallow", [False, True])
def test_every_verb_ends_in_a_black_hole(proxy: FaultProxy, dbs: dict[str, DB], swallow: bool) -> None:
    proxy.black_hole(swallow=swallow)
    all_fail(dbs, OperationTimeout, names=proxy.address)
    proxy.pass_through()
    for db in dbs.values():
        works(db)


@pytest.mark.parametrize("kind", ["etcd_auth_simple", "etcd_tls", "etcd_mutual_tls", "etcd_auth_tls"])
def test_handshake_and_login_end_in_a_black_hole(
    request: pytest.FixtureRequest, connect: Callable[..., DB], kind: str
) -> None:
    server: EtcdServer = request.getfixturevalue(kind)
    with FaultProxy("127.0.0.1", server.port) as proxy:
        db = connect(server.section() | {"port": proxy.port}, timeout=TIMEOUT)
        proxy.black_hole()
        failure(works, db, OperationTimeout, names=proxy.address)
        proxy.pass_through()
        works(db)
        proxy.half_open(new=False)
        failure(works, db, OperationTimeout, names=proxy.address)
        # It begins, and is cut off.
        proxy.drop_all()
        proxy.pass_through()
        proxy.reset_answers(after=200)
        failure(works, db, Unavailable, names=proxy.address)
        proxy.pass_through()
        works(db)


@pytest.mark.parametrize("way", ["freeze", "half-open", "half-open-for-good"])
def test_every_verb_ends_on_a_connection_that_died_in_silence(
    proxy: FaultProxy, dbs: dict[str, DB], way: str
) -> None:
    for db in dbs.values():
        works(db)
    if way == "freeze":
        proxy.freeze()
        proxy.black_hole()
    else:
        proxy.half_open(new=way == "half-open")
    all_fail(dbs, OperationTimeout, names=proxy.address)
    if way == "half-open":
        # Only the old connections are dead; the second call is made on a new one.
        for db in dbs.values():
            works(db)
    proxy.pass_through()
    for db in dbs.values():
        works(db)


def test_every_verb_ends_when_the_server_is_stopped_by_a_signal(
    own_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    dbs = {name: connect(own_etcd.section(), timeout=TIMEOUT) for name in VERBS}
    for name, db in dbs.items():
        # Some are connected, others are not.
        if len(name) % 2:
            works(db)
    freeze(own_etcd)
    all_fail(dbs, OperationTimeout, names=f"127.0.0.1:{own_etcd.port}")
    own_etcd.resume()
    for db in dbs.values():
        works(db)


@every_verb
def test_every_verb_goes_on_after_a_connection_was_lost(
    proxy: FaultProxy, db: DB, verb: Callable[[DB], object]
) -> None:
    for reset in (False, True):
        works(db)
        proxy.drop_all(reset=reset)
        failed: Unavailable | None = None
        with within():
            try:
                verb(db)
            except Unavailable as error:
                failed = error
        # Of a delete that was under way nobody knows.
        assert failed is None or "It may have been done" in str(failed)


def test_a_server_that_resets_every_connection_is_unavailable(proxy: FaultProxy, dbs: dict[str, DB]) -> None:
    proxy.reset_new()
    all_fail(dbs, Unavailable, names=proxy.address)
    proxy.pass_through()
    for db in dbs.values():
        works(db)


def test_a_server_that_resets_every_answer_is_unavailable(proxy: FaultProxy, dbs: dict[str, DB]) -> None:
    for db in dbs.values():
        works(db)
    proxy.reset_answers()
    all_fail(dbs, Unavailable, names=proxy.address)
    proxy.pass_through()
    for db in dbs.values():
        works(db)


def test_a_slow_server_is_waited_for(proxy: FaultProxy, connect: Callable[..., DB]) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=PATIENCE)
    proxy.delay(to_server=0.2, to_client=0.2)
    works(db)
    assert db.ping(NAME) >= 0.4
    slow = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT)
    proxy.delay(to_server=TIMEOUT, to_client=TIMEOUT)
    failure(works, slow, OperationTimeout, names=proxy.address)
    proxy.pass_through()
    works(slow)


def test_refused_then_silent_then_well(proxy: FaultProxy, db: DB) -> None:
    works(db)
    proxy.refuse()
    proxy.drop_all()
    failure(works, db, Unavailable, names=proxy.address)
    proxy.black_hole()
    failure(works, db, OperationTimeout, names=proxy.address)
    proxy.reset_new()
    failure(works, db, Unavailable, names=proxy.address)
    proxy.pass_through()
    works(db)
    assert db.ping(NAME) < TIMEOUT


def test_a_handle_that_was_opened_while_the_server_was_down_works_later(
    own_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    own_etcd.kill()
    db = connect(own_etcd.section(), timeout=TIMEOUT)
    failure(works, db, Unavailable, names=str(own_etcd.port))
    receipt = db.write_queue_message("queued", "value", backend=NAME, receipt=True)
    assert receipt.wait(0.5) is False
    own_etcd.launch()
    own_etcd.wait_until_ready()
    works(db)
    assert receipt.wait(PATIENCE) is True
    assert db.read_message("queued", backend=NAME) == "value"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_restarts_during_writes(own_etcd: EtcdServer, connect: Callable[..., DB], end: str) -> None:
    db = connect(own_etcd.section(), timeout=TIMEOUT)
    done = threading.Event()
    errors: list[BackendError] = []

    def write(number: int) -> str:
        """Counts up; gives the last number that was acknowledged."""
        at, acknowledged = 0, "0"
        while not done.is_set():
            at += 1
            with within():
                try:
                    db.write_message(f"key-{number}", str(at), backend=NAME)
                    acknowledged = str(at)
                except (Unavailable, OperationTimeout) as error:
                    errors.append(error)
                    # A write that failed may have been done: the next one says which it is.
                    at += 1000
        return acknowledged

    def restart() -> None:
        try:
            for _ in range(2):
                time.sleep(0.3)
                if end == "stop":
                    own_etcd.stop()
                else:
                    own_etcd.kill()
                time.sleep(0.3)
                own_etcd.launch()
                own_etcd.wait_until_ready()
            works_soon(db)
            time.sleep(0.3)
        finally:
            done.set()

    _, *acknowledged = in_threads(restart, *(lambda number=number: write(number) for number in range(4)))
    for error in errors:
        helps(error, type(error), names=f"127.0.0.1:{own_etcd.port}")
    works(db)
    for number, last in enumerate(acknowledged):
        stored = db.read_message(f"key-{number}", backend=NAME)
        # The last write of a thread may have failed, and have been done.
        assert isinstance(stored, str)
        assert int(stored) >= int(last) > 0


def test_many_threads_share_one_handle(clean_etcd: EtcdServer, connect: Callable[..., DB]) -> None:
    db = connect(clean_etcd.section())

    def work(number: int) -> None:
        mine = f"thread-{number}"
        for at in range(10):
            key = f"key-{at}"
            assert db.write_message(key, {"at": at}, bucket=mine, backend=NAME)
            assert db.read_message(key, bucket=mine, backend=NAME) == {"at": at}
            assert db.update_message(key, "changed", bucket=mine, backend=NAME)
            db.write_queue_message(f"queued-{at}", "value", bucket=mine, backend=NAME)
            assert db.delete_message(key, bucket=mine, backend=NAME)

    in_threads(*(lambda number=number: work(number) for number in range(40)))
    db.flush(timeout=PATIENCE)
    assert sum(1 for _ in db.iter_messages(backend=NAME)) == 400


def test_many_threads_wait_for_one_black_hole(proxy: FaultProxy, db: DB) -> None:
    works(db)
    proxy.half_open(new=False)
    in_threads(*([lambda: failure(works, db, OperationTimeout, names=proxy.address)] * 30))
    proxy.drop_all()
    proxy.pass_through()
    in_threads(*([lambda: works(db)] * 30))


@pytest.mark.parametrize("way", ["freeze", "black-hole"])
def test_a_write_that_was_given_up_does_not_undo_a_later_one(proxy: FaultProxy, db: DB, way: str) -> None:
    """The connection freezes with a request in it, the next write takes another one, and the first thaws."""
    for round_number in range(5):
        assert db.write_message("key", "zero", backend=NAME)
        if way == "freeze":
            proxy.freeze()
        else:
            proxy.delay(to_server=TIMEOUT + 1)
        with pytest.raises(OperationTimeout):
            db.write_message("key", f"first {round_number}", backend=NAME)
        proxy.delay()
        assert db.write_message("key", f"second {round_number}", backend=NAME)
        proxy.thaw()
        time.sleep(0.2 if way == "freeze" else 1.2)
        assert db.read_message("key", backend=NAME) == f"second {round_number}"
        if way != "freeze":
            break


def test_a_write_that_a_stopped_server_was_sent_does_not_undo_a_later_one(
    own_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    """The server is stopped with the first write on its way; the second one waits on another connection."""
    db = connect(own_etcd.section(), timeout=0.5)
    for round_number in range(10):
        db.write_message("key", "zero", backend=NAME)
        freeze(own_etcd)
        with pytest.raises(OperationTimeout):
            db.write_message("key", f"first {round_number}", backend=NAME)
        resuming = threading.Timer(0.05, own_etcd.resume)
        resuming.start()
        db.write_message("key", f"second {round_number}", backend=NAME)
        resuming.join()
        time.sleep(0.1)
        assert db.read_message("key", backend=NAME) == f"second {round_number}"
