"""The fence: transactions of many keys that were given up are not done later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from servers.etcdctl import User
from TetherDB import FlushTimeout, OperationTimeout

from .support import NAME, PATIENCE, TIMEOUT, freeze, in_threads, within, works_soon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fault_proxy import FaultProxy
    from servers.etcd import EtcdServer
    from TetherDB import DB

FENCE = "TetherDB/fence"


@pytest.fixture
def db(proxy: FaultProxy, connect: Callable[..., DB]) -> DB:
    return connect({"endpoints": [proxy.address]}, timeout=TIMEOUT)


def give_up(proxy: FaultProxy, db: DB, text: str) -> None:
    """Writes two keys into a connection that freezes, and that `thaw` brings to life."""
    proxy.freeze()
    with pytest.raises(OperationTimeout):
        db.write_messages({"deleted": text, "written": text, "queued": text}, backend=NAME)
    proxy.delay()


def test_many_that_were_given_up_do_not_undo_what_comes_later(
    proxy: FaultProxy, db: DB, etcd: EtcdServer
) -> None:
    for round_number in range(3):
        db.write_messages({"deleted": "zero", "written": "zero", "queued": "zero"}, backend=NAME)
        give_up(proxy, db, f"first {round_number}")
        assert db.delete_message("deleted", backend=NAME)
        db.write_message("written", f"second {round_number}", backend=NAME)
        for key in ("queued", "queued-too"):
            db.write_queue_message(key, f"third {round_number}", backend=NAME)
        db.flush(timeout=PATIENCE)
        proxy.thaw()
        time.sleep(0.3)
        assert etcd.etcdctl.get("deleted") is None
        assert etcd.etcdctl.get("written") == f"second {round_number}".encode()
        assert etcd.etcdctl.get("queued") == f"third {round_number}".encode()


def test_there_is_a_fence_only_after_trouble_and_no_list_shows_it(
    proxy: FaultProxy, db: DB, etcd: EtcdServer
) -> None:
    db.write_messages({"a": "1", "b": "2"}, backend=NAME)
    db.write_queue_message("c", "3", backend=NAME)
    db.flush(timeout=PATIENCE)
    assert set(etcd.etcdctl.everything()) == {"a", "b", "c"}
    give_up(proxy, db, "late")
    db.write_message("d", "4", backend=NAME)
    assert FENCE in etcd.etcdctl.everything()
    expected = {"a", "b", "c", "d"} | set(etcd.etcdctl.everything()) - {FENCE}
    assert set(db.list_keys(page_size=100, backend=NAME)["keys"]) == expected
    assert set(dict(db.iter_messages(backend=NAME, page_size=1))) == expected


def test_a_fence_that_another_program_raises_or_removes_delays_nobody(
    clean_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    etcd = clean_etcd
    db, other = connect(etcd.section()), connect(etcd.section())
    work = {f"key-{at}": "value" for at in range(300)}
    running = True

    def disturb() -> None:
        while running:
            etcd.etcdctl.put(FENCE, "")
            etcd.etcdctl.delete(FENCE)

    def write() -> None:
        nonlocal running
        try:
            for _ in range(10):
                assert db.write_messages(work, backend=NAME) == len(work)
                assert other.delete_messages(list(work), backend=NAME) == len(work)
        finally:
            running = False

    in_threads(disturb, write)


def test_the_fence_is_no_key_of_users(clean_etcd: EtcdServer, connect: Callable[..., DB]) -> None:
    db = connect(clean_etcd.section())
    for verb in (
        lambda: db.write_message(FENCE, "mine", backend=NAME),
        lambda: (
            db.write_queue_message("fence", "mine", bucket="x", backend=NAME)
            and db.write_queue_message(FENCE, "mine", backend=NAME)
        ),
        lambda: db.delete_messages(["a", FENCE], backend=NAME),
        lambda: db.read_message(FENCE, backend=NAME),
    ):
        with pytest.raises(ValueError, match="TetherDB's own"):
            verb()
    assert db.write_message(FENCE, "mine") is True


def test_a_page_with_only_the_fence_behind_it_is_the_last(
    proxy: FaultProxy, db: DB, clean_etcd: EtcdServer
) -> None:
    db.write_messages({"deleted": "zero", "written": "zero"}, backend=NAME)
    give_up(proxy, db, "late")
    db.write_message("A", "1", backend=NAME)
    db.write_message("B", "2", backend=NAME)
    assert FENCE in clean_etcd.etcdctl.everything()
    db.delete_messages(["deleted", "written", "queued"], backend=NAME)
    page = db.list_keys(page_size=2, backend=NAME)
    assert page == {"keys": ["A", "B"], "next_marker": None}
    db.write_message("z", "3", backend=NAME)
    page = db.list_keys(page_size=2, backend=NAME)
    assert page == {"keys": ["A", "B"], "next_marker": "B"}
    assert db.list_keys(page_size=2, start_after="B", backend=NAME) == {"keys": ["z"], "next_marker": None}


def test_who_waits_for_the_fence_waits_no_longer_than_for_a_call(
    own_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    db = connect(own_etcd.section(), timeout=TIMEOUT)
    db.write_messages({"a": "1", "b": "2"}, backend=NAME)
    freeze(own_etcd)
    with pytest.raises(OperationTimeout):
        db.write_messages({"a": "1", "b": "2"}, backend=NAME)

    def write(number: int) -> None:
        with within(2 * TIMEOUT), pytest.raises(OperationTimeout):
            db.write_message(f"key-{number}", "value", backend=NAME)

    in_threads(*(lambda number=number: write(number) for number in range(10)))
    own_etcd.resume()
    works_soon(db)


def test_a_right_to_the_fence_can_be_taken_away(
    etcd_auth_simple: EtcdServer, connect: Callable[..., DB]
) -> None:
    etcdctl = etcd_auth_simple.etcdctl
    user = User("fenced", "the-fenced-password")
    etcdctl.add_role("fenced", "readwrite", "mine:")
    etcdctl.run("role", "grant-permission", "fenced", "readwrite", FENCE)
    etcdctl.add_user(user, "fenced")
    try:
        db = connect(etcd_auth_simple.section(user))
        assert db.write_messages({"a": "1", "b": "2"}, bucket="mine", backend=NAME) == 2
        etcdctl.run("role", "revoke-permission", "fenced", FENCE)
        assert db.write_messages({"a": "3", "b": "4"}, bucket="mine", backend=NAME) == 2
        assert db.read_messages(["a", "b"], bucket="mine", backend=NAME) == {"a": "3", "b": "4"}
    finally:
        etcdctl.delete_user(user.name)
        etcdctl.run("role", "delete", "fenced")
        etcdctl.clear("mine:")


def test_what_an_owner_of_the_journal_had_sent_does_not_undo_what_the_next_one_writes(
    proxy: FaultProxy, clean_etcd: EtcdServer, connect: Callable[..., DB], tmp_path: Path
) -> None:
    queue = {"journal": str(tmp_path / "journal"), "size": 10}
    before = connect({"endpoints": [proxy.address]}, timeout=TIMEOUT, queue_batch=queue)
    before.write_messages({"a": "zero", "b": "zero"}, backend=NAME)
    proxy.freeze()
    for key in ("a", "b"):
        before.write_queue_message(key, "first", backend=NAME)
    deadline = time.monotonic() + PATIENCE
    while before.stats()[NAME]["in_flight"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    with pytest.raises(FlushTimeout):
        before.stop(timeout=0)
    # A living owner goes on with what is on its way until its timeout.
    time.sleep(TIMEOUT + 0.5)
    after = connect(clean_etcd.section(), queue_batch=queue)
    after.flush(timeout=PATIENCE)
    assert clean_etcd.etcdctl.get("a") == b"first"
    after.write_message("a", "second", backend=NAME)
    after.write_messages({"b": "second", "c": "second"}, backend=NAME)
    proxy.thaw()
    time.sleep(0.5)
    assert clean_etcd.etcdctl.get("a") == b"second"
    assert clean_etcd.etcdctl.get("b") == b"second"
