"""The fence: transactions of many keys that were given up are not done later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from TetherDB import OperationTimeout

from .support import NAME, PATIENCE, TIMEOUT, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

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
