"""Receipts: how one queued message ended."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError, OperationTimeout, Receipt

from .place import IMPATIENT, LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend
    from .place import Place

    Outage = Callable[[], AbstractContextManager[None]]

HOUR = 3600


@pytest.fixture
def slow(open_db: Callable[..., DB]) -> DB:
    """Nothing is sent before it is flushed."""
    return open_db(queue_batch={"size": 1000, "timeout": HOUR})


def test_receipt_true_gives_a_receipt(slow: DB, backend: Backend) -> None:
    assert type(slow.write_queue_message("k", "v", backend=backend.name, receipt=True)) is Receipt
    assert slow.write_queue_message("k", "v", backend=backend.name, receipt=False) is True


def test_a_receipt_tells_that_its_message_is_not_delivered_yet(slow: DB, backend: Backend) -> None:
    receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
    assert receipt.done() is False
    assert receipt.exception() is None
    assert receipt.wait(timeout=0) is False
    assert receipt.wait(0.05) is False


def test_a_receipt_tells_that_its_message_is_delivered(slow: DB, backend: Backend) -> None:
    receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
    slow.flush()
    assert receipt.done() is True
    assert receipt.exception() is None
    assert receipt.wait(timeout=0) is True
    assert receipt.wait() is True


@pytest.mark.parametrize("verb", ["flush", "stop"])
def test_receipts_are_done_when_flush_or_stop_returns(
    verb: str, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db()
    for number in range(50):
        receipt = db.write_queue_message("k", str(number), backend=backend.name, receipt=True)
        getattr(db, verb)()
        assert receipt.done() is True


def test_a_receipt_can_be_waited_for_while_the_worker_delivers(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db()
    receipt = db.write_queue_message("k", "v", backend=backend.name, receipt=True)
    assert receipt.wait() is True
    assert db.read_message("k", backend=backend.name) == "v"


def test_a_receipt_can_be_waited_for_from_many_threads(slow: DB, backend: Backend) -> None:
    receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(receipt.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    slow.flush()
    for thread in threads:
        thread.join()
    assert results == [True] * 8


@pytest.mark.usefixtures("refuse_large")
def test_a_receipt_raises_why_its_message_was_given_up(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(), backend.name
    good = db.write_queue_message("good", "v", backend=on, receipt=True)
    bad = db.write_queue_message("bad", LARGE, backend=on, receipt=True)
    with pytest.raises(place.refusal, match=place.refusal_says) as caught:
        bad.wait()
    assert bad.done() is True
    exception = bad.exception()
    assert type(exception) is place.refusal
    assert str(exception) == str(caught.value)
    with pytest.raises(place.refusal):
        bad.wait(timeout=0)
    assert good.wait() is True
    # That a receipt told of it does not hide it from flush.
    with pytest.raises(DeliveryError):
        db.flush()


def test_a_receipt_raises_an_operation_timeout_that_is_told_from_its_own_timeout(
    outage: Outage, open_db: Callable[..., DB], backend: Backend
) -> None:
    retry = {"initial": 0.01, "max": 0.02, "give_up_after": IMPATIENT / 2}
    db = open_db(queue_batch={"retry": retry})
    db.write_message("before", "v", backend=backend.name)
    with outage():
        receipt = db.write_queue_message("k", "v", backend=backend.name, receipt=True)
        assert receipt.wait(timeout=0.01) is False
        with pytest.raises(OperationTimeout) as caught:
            receipt.wait(timeout=60)
    assert caught.value.backend == backend.name


def test_a_receipt_tells_of_a_message_that_stop_handed_back(
    outage: Outage, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db()
    db.write_message("before", "v", backend=backend.name)
    with outage():
        receipt = db.write_queue_message("k", "v", backend=backend.name, receipt=True)
        with pytest.raises(DeliveryError) as caught:
            db.stop(timeout=0)
        assert receipt.done() is True
        assert str(receipt.exception()) == str(caught.value.failed[0][3])


def test_each_receipt_is_of_its_own_message_also_within_one_key(slow: DB, backend: Backend) -> None:
    first = slow.write_queue_message("k", "1", backend=backend.name, receipt=True)
    slow.flush()
    second = slow.write_queue_message("k", "2", backend=backend.name, receipt=True)
    assert (first.done(), second.done()) == (True, False)


@pytest.mark.parametrize("timeout", [-1, float("nan")], ids=repr)
def test_a_timeout_that_is_no_time_is_a_value_error(timeout: float, slow: DB, backend: Backend) -> None:
    with pytest.raises(ValueError, match="timeout"):
        slow.write_queue_message("k", "v", backend=backend.name, receipt=True).wait(timeout)


def test_a_receipt_can_be_awaited(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()

    async def run() -> bool:
        return await db.write_queue_message("k", "v", backend=backend.name, receipt=True)

    assert asyncio.run(run()) is True
    assert db.read_message("k", backend=backend.name) == "v"


def test_a_receipt_that_is_done_can_be_awaited_again_and_in_another_loop(slow: DB, backend: Backend) -> None:
    receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
    slow.flush()

    async def run() -> list[bool]:
        return [await receipt, await receipt]

    assert asyncio.run(run()) == [True, True]
    assert asyncio.run(run()) == [True, True]


@pytest.mark.usefixtures("refuse_large")
def test_awaiting_raises_why_the_message_was_given_up(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()

    async def run() -> None:
        await db.write_queue_message("bad", LARGE, backend=backend.name, receipt=True)

    with pytest.raises(place.refusal, match=place.refusal_says):
        asyncio.run(run())


@pytest.mark.usefixtures("refuse_large")
def test_many_receipts_can_be_awaited_at_once(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(queue_batch={"size": 7}), backend.name

    async def run() -> list[Any]:
        receipts = [
            db.write_queue_message(str(number), "v" if number % 10 else LARGE, backend=on, receipt=True)
            for number in range(200)
        ]
        return await asyncio.gather(*receipts, return_exceptions=True)

    outcomes = asyncio.run(run())
    assert [type(outcome) for outcome in outcomes[::10]] == [place.refusal] * 20
    assert outcomes.count(True) == 180


def test_the_loop_goes_on_while_a_receipt_is_awaited(slow: DB, backend: Backend) -> None:
    async def run() -> tuple[int, bool]:
        receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
        waiting = asyncio.ensure_future(asyncio.wait_for(receipt, timeout=60))
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.001)
            turns += 1
        assert not waiting.done()
        await asyncio.to_thread(slow.flush)
        return turns, await waiting

    assert asyncio.run(run()) == (20, True)


def test_an_await_can_be_cancelled_and_the_message_is_delivered_all_the_same(
    slow: DB, backend: Backend
) -> None:
    async def run() -> Receipt:
        receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receipt, timeout=0.02)
        return receipt

    receipt = asyncio.run(run())
    assert receipt.done() is False
    slow.flush()
    assert receipt.wait() is True
    assert slow.read_message("k", backend=backend.name) == "v"


def test_a_receipt_that_nobody_keeps_changes_nothing(slow: DB, backend: Backend) -> None:
    for number in range(100):
        slow.write_queue_message(f"{number:03}", "v", backend=backend.name, receipt=True)
    gc.collect()
    slow.flush()
    assert slow.stats()[backend.name]["delivered"] == 100


def test_a_receipt_outlives_its_handle(path: Path, backend: Backend, place: Place) -> None:
    db = DB({"local": {"filepath": str(path)}, **place.config, "queue_batch": {"timeout": HOUR}})
    receipt = db.write_queue_message("k", "v", backend=backend.name, receipt=True)
    del db
    gc.collect()
    assert receipt.wait(timeout=60) is True
    assert place.everything() == {"k": "v"}


def test_a_receipt_cannot_be_made_by_hand() -> None:
    make: Any = Receipt
    with pytest.raises(TypeError):
        make()


def test_repr_of_a_receipt_tells_its_state(slow: DB, backend: Backend) -> None:
    receipt = slow.write_queue_message("k", "v", backend=backend.name, receipt=True)
    assert "pending" in repr(receipt)
    slow.flush()
    assert "delivered" in repr(receipt)
