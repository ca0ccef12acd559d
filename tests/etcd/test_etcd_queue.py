"""The queue through outages: everything arrives, in order per key, and the accounts add up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from TetherDB import DeliveryError, FlushTimeout, OperationTimeout, Unavailable

from .support import NAME, PATIENCE, TIMEOUT, adds_up, freeze, in_threads, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from fault_proxy import FaultProxy
    from servers.etcd import EtcdServer
    from TetherDB import DB

EAGER = {"retry": {"initial": 0.05, "max": 0.2}}


def orders(server: EtcdServer, key: str, revisions: range) -> list[str]:
    """The values that a key has had, as far as these revisions of the store tell."""
    seen: list[str] = []
    for revision in revisions:
        found = server.etcdctl.run("get", "--print-value-only", f"--rev={revision}", "--", key)
        text = found.decode().rstrip("\n")
        if text and seen[-1:] != [text]:
            seen.append(text)
    return seen


def revision(server: EtcdServer) -> int:
    number: int = server.etcdctl.run_json("get", "nothing")["header"]["revision"]
    return number


@pytest.mark.parametrize("end", ["kill", "stop", "pause"])
def test_what_is_queued_during_an_outage_is_delivered_after_it(
    own_etcd: EtcdServer, connect: Callable[..., DB], end: str
) -> None:
    db = connect(own_etcd.section(), timeout=0.5, queue_batch={"size": 50, **EAGER})
    count, keys = 3000, 60
    out, back = threading.Event(), threading.Event()

    def write() -> None:
        for at in range(count):
            db.write_queue_message(f"key-{at % keys}", f"value {at}", backend=NAME)
            if at == count // 3:
                out.set()
            if at == 2 * count // 3:
                # The last third is written once the server is back.
                back.wait(PATIENCE)

    def interrupt() -> None:
        out.wait(PATIENCE)
        if end == "pause":
            freeze(own_etcd)
            time.sleep(1.5)
            adds_up(db)
            own_etcd.resume()
        else:
            own_etcd.kill() if end == "kill" else own_etcd.stop()
            time.sleep(0.5)
            adds_up(db)
            own_etcd.launch()
            own_etcd.wait_until_ready()
        back.set()

    def watch() -> None:
        while not back.wait(0.02):
            adds_up(db)

    in_threads(write, interrupt, watch)
    db.flush(timeout=PATIENCE)
    stats = db.stats()[NAME]
    assert stats["accepted"] == count
    assert (stats["failed"], stats["pending"], stats["in_flight"]) == (0, 0, 0)
    adds_up(db)
    # Something was refused or lost, or this shows nothing.
    assert stats["retried"] > 0
    stored = dict(db.iter_messages(backend=NAME))
    assert stored == {f"key-{(count - keys + at) % keys}": f"value {count - keys + at}" for at in range(keys)}


def test_messages_of_one_key_keep_their_order_through_an_outage(
    proxy: FaultProxy, clean_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=0.5, queue_batch={"size": 1, **EAGER})
    begun = revision(clean_etcd)
    for at in range(30):
        receipt = db.write_queue_message("key", f"{at:02}", backend=NAME, receipt=True)
        if at == 10:
            proxy.refuse()
            proxy.drop_all(reset=True)
        if at == 20:
            proxy.pass_through()
        if at % 3 == 0 and not 10 <= at < 20:
            assert receipt.wait(PATIENCE) is True
    db.flush(timeout=PATIENCE)
    seen = orders(clean_etcd, "key", range(begun + 1, revision(clean_etcd) + 1))
    assert seen == sorted(seen)
    assert seen[-1] == "29"
    adds_up(db)


@pytest.mark.parametrize("way", ["freeze", "delay"])
def test_an_attempt_that_was_given_up_does_not_undo_what_was_delivered_since(
    proxy: FaultProxy, connect: Callable[..., DB], way: str
) -> None:
    """The first attempt hangs in a connection; a second one and the next message go through another."""
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=0.5, queue_batch=EAGER)
    db.write_message("key", "zero", backend=NAME)
    if way == "freeze":
        proxy.freeze()
    else:
        proxy.delay(to_server=1.5)
    first = db.write_queue_message("key", "first", backend=NAME, receipt=True)
    time.sleep(0.4)
    proxy.delay()
    assert first.wait(PATIENCE) is True
    second = db.write_queue_message("key", "second", backend=NAME, receipt=True)
    assert second.wait(PATIENCE) is True
    proxy.thaw()
    time.sleep(0.3 if way == "freeze" else 1.5)
    assert db.read_message("key", backend=NAME) == "second"
    assert db.stats()[NAME]["retried"] > 0


def test_a_direct_write_waits_for_the_queued_one_before_it(
    proxy: FaultProxy, connect: Callable[..., DB]
) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT, queue_batch=EAGER)
    proxy.refuse()
    for at in range(3):
        db.write_queue_message("key", f"queued {at}", backend=NAME)
    time.sleep(0.2)
    threading.Timer(0.5, proxy.pass_through).start()
    assert db.write_message("key", "direct", backend=NAME)
    db.flush(timeout=PATIENCE)
    assert db.read_message("key", backend=NAME) == "direct"


def test_flush_and_stop_end_during_an_outage(proxy: FaultProxy, connect: Callable[..., DB]) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT, queue_batch=EAGER)
    proxy.black_hole()
    for at in range(10):
        db.write_queue_message(f"key-{at}", "value", backend=NAME)
    with within(0.5), pytest.raises(FlushTimeout):
        db.flush(timeout=0.5)
    with within(0.5), pytest.raises(DeliveryError) as caught:
        db.stop(timeout=0.5)
    assert sorted(key for key, *_ in caught.value.failed) == [f"key-{at}" for at in range(10)]
    proxy.pass_through()
    for key, value, backend, _ in caught.value.failed:
        assert isinstance(value, str)
        db.write_queue_message(key, value, backend=backend)
    db.flush(timeout=PATIENCE)
    assert len(db.list_keys(page_size=100, backend=NAME)["keys"]) == 10


@pytest.mark.parametrize(("fault", "kind"), [("refuse", Unavailable), ("black_hole", OperationTimeout)])
def test_what_cannot_be_delivered_is_given_up_in_the_end(
    proxy: FaultProxy, connect: Callable[..., DB], fault: str, kind: type[Exception]
) -> None:
    given_up: list[str] = []

    def on_error(key: str, *_: object) -> None:
        given_up.append(key)

    db = connect(
        {"host": "127.0.0.1", "port": proxy.port},
        timeout=0.5,
        queue_batch={"retry": {"initial": 0.05, "max": 0.1, "give_up_after": 1.0}},
        on_error=on_error,
    )
    getattr(proxy, fault)()
    for at in range(5):
        db.write_queue_message(f"key-{at}", "value", backend=NAME)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=PATIENCE)
    assert {type(error) for *_, error in caught.value.failed} == {kind}
    assert all(proxy.address in str(error) for *_, error in caught.value.failed)
    assert db.stats()[NAME]["failed"] == 5
    adds_up(db)
    proxy.pass_through()
    db.write_queue_message("key-0", "later", backend=NAME)
    db.flush(timeout=PATIENCE)
    assert db.read_message("key-0", backend=NAME) == "later"
    db.stop()
    assert sorted(given_up) == [f"key-{at}" for at in range(5)]


def test_a_server_that_stands_still_blocks_no_other_backend(
    proxy: FaultProxy, connect: Callable[..., DB]
) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT)
    proxy.black_hole()
    for at in range(100):
        db.write_queue_message(f"key-{at}", "value", backend=NAME)
        db.write_queue_message(f"key-{at}", "value")
    deadline = time.monotonic() + PATIENCE
    while db.stats()["local"]["delivered"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert db.stats()[NAME]["delivered"] == 0
    proxy.drop_all()
    proxy.pass_through()
    db.flush(timeout=PATIENCE)
    assert db.stats()[NAME]["delivered"] == 100
