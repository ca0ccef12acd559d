"""A service that is down, silent, or loses connections: told in time, and forgotten once it is back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import AnswerLate, CutAnswer, Drop, DynamoDBStub, Hold
from TetherDB import BackendError, OperationTimeout, Unavailable

from .support import (
    DELETES,
    NAME,
    TABLE,
    TIMEOUT,
    VERBS,
    every_repeatable_verb,
    every_verb,
    failure,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynamodb_stub.faults import Fault
    from fault_proxy import FaultProxy
    from TetherDB import DB


@pytest.fixture
def far(proxy: FaultProxy, connect: Callable[..., DB]) -> DB:
    """A handle whose way to the stub can be broken."""
    return connect(f"http://{proxy.address}")


def all_work(db: DB) -> None:
    for verb in VERBS.values():
        verb(db)


@every_verb
@pytest.mark.parametrize("connected", [False, True], ids=["at-first", "later"])
def test_a_service_that_is_down(
    proxy: FaultProxy, far: DB, verb: Callable[[DB], object], connected: bool
) -> None:
    if connected:
        far.ping(NAME)
    proxy.refuse()
    proxy.drop_all()
    error = failure(verb, far, Unavailable, names=f"http://{proxy.address}")
    assert "refused" in str(error)
    assert error.retryable is True
    assert isinstance(error, ConnectionError)
    proxy.pass_through()
    all_work(far)


@every_verb
def test_a_service_that_falls_silent(proxy: FaultProxy, far: DB, verb: Callable[[DB], object]) -> None:
    far.ping(NAME)
    proxy.half_open(new=False)
    error = failure(verb, far, OperationTimeout, names=f"http://{proxy.address}")
    assert "no answer" in str(error)
    assert f"{TIMEOUT:.0f} s" in str(error)
    assert isinstance(error, TimeoutError)
    proxy.pass_through()
    all_work(far)


@pytest.mark.parametrize("create_table", [False, True])
def test_a_service_that_answers_nothing_from_the_beginning(
    proxy: FaultProxy, connect: Callable[..., DB], create_table: bool
) -> None:
    proxy.black_hole()
    far = connect(f"http://{proxy.address}", create_table=create_table)
    for name in ("write_message", "list_keys", "delete_messages"):
        error = failure(VERBS[name], far, OperationTimeout, names=f"http://{proxy.address}")
        assert "no answer" in str(error)
    proxy.pass_through()
    all_work(far)


def test_an_iteration_ends_in_time_too(proxy: FaultProxy, connect: Callable[..., DB]) -> None:
    """Its timeout is larger than what is left to a busy machine."""
    far = connect(f"http://{proxy.address}", timeout=4)
    proxy.black_hole()
    failure(VERBS["iter_messages"], far, OperationTimeout, timeout=4)


def test_an_iteration_goes_on_page_by_page_after_a_failure(stub: DynamoDBStub, db: DB) -> None:
    stub.seed(TABLE, *({"key": {"S": f"k{at:03}"}, "value": {"S": "v"}} for at in range(300)))
    messages = db.iter_messages(backend=NAME, page_size=100)
    keys = [next(messages)[0] for _ in range(100)]
    broken = stub.inject(Drop(), times=None)
    with pytest.raises(Unavailable):
        next(messages)
    broken.cancel()
    stub.clear_records()
    keys += [key for key, _ in messages]
    assert len(keys) == len(set(keys)) == 300
    assert len(stub.requests("Scan")) < 10


@pytest.mark.parametrize("name", ["write_message", "read_messages", "delete_message"])
def test_connections_that_went_silent_cost_one_call(
    proxy: FaultProxy, stub: DynamoDBStub, far: DB, name: str
) -> None:
    """A write that gets no answer may still be done, so it has all the time; the next has others."""
    stub.service_time = 0.05
    far.write_messages({f"k{number}": "v" for number in range(200)}, backend=NAME)
    assert proxy.open > 1
    proxy.half_open()
    failure(VERBS[name], far, OperationTimeout, names=f"http://{proxy.address}")
    for _ in range(3):
        all_work(far)


@every_verb
def test_a_service_that_resets_every_connection(
    proxy: FaultProxy, far: DB, verb: Callable[[DB], object]
) -> None:
    proxy.reset_new()
    failure(verb, far, Unavailable, names=f"http://{proxy.address}")
    proxy.pass_through()
    all_work(far)


@every_verb
def test_idle_connections_that_the_service_closed(
    stub: DynamoDBStub,
    db: DB,
    eventually: Callable[[Callable[[], object]], None],
    verb: Callable[[DB], object],
) -> None:
    for _ in range(5):
        db.ping(NAME)
        stub.drop_connections()
        eventually(lambda: stub.connections_open == 0)
        verb(db)


LOSSES: dict[str, Fault] = {
    "before": Drop(),
    "before-by-reset": Drop(reset=True),
    "after": Drop(applied=True),
    "after-by-reset": Drop(applied=True, reset=True),
    "in-the-head": CutAnswer(after=20),
    "in-the-body": CutAnswer(),
    "in-the-body-by-reset": CutAnswer(reset=True),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@each_loss
@every_repeatable_verb
def test_an_answer_that_is_lost_once(
    stub: DynamoDBStub, db: DB, loss: Fault, verb: Callable[[DB], object]
) -> None:
    stub.seed(TABLE, {"key": {"S": "key"}, "value": {"S": "old"}})
    whole = verb(db)
    rule = stub.inject(loss)
    again = verb(db)
    # A round trip takes what it takes.
    assert again == whole or isinstance(whole, float)
    assert rule.used == 1


@each_loss
@pytest.mark.parametrize("name", ["write_message", "read_messages"])
def test_answers_that_are_always_lost(stub: DynamoDBStub, db: DB, loss: Fault, name: str) -> None:
    stub.inject(loss, times=None)
    failure(VERBS[name], db, Unavailable, names=stub.endpoint)
    stub.clear_faults()
    all_work(db)


def test_a_lost_acknowledgement_of_a_write(stub: DynamoDBStub, db: DB) -> None:
    stub.inject(Drop(applied=True))
    assert db.write_message("k", "first", backend=NAME)
    assert db.write_message("k", "second", backend=NAME)
    # Sent twice at most, and never the first behind the second.
    assert values_of(stub, "k") == ["first", "first", "second"]


@pytest.mark.parametrize("verb", DELETES.values(), ids=DELETES)
def test_a_lost_acknowledgement_of_a_delete_is_never_told_wrongly(
    stub: DynamoDBStub, db: DB, verb: Callable[[DB], object]
) -> None:
    stub.seed(TABLE, {"key": {"S": "key"}, "value": {"S": "old"}})
    stub.inject(Drop(applied=True), operation="DeleteItem")
    error = failure(verb, db, Unavailable)
    assert "may have been done" in str(error)
    assert "key" not in stub.items(TABLE)


def test_a_queued_message_whose_acknowledgement_is_lost(stub: DynamoDBStub, db: DB) -> None:
    stub.inject(Drop(applied=True), operation="BatchWriteItem", times=2)
    for number in range(10):
        db.write_queue_message(f"k{number}", "v", backend=NAME)
    db.flush(timeout=30)
    assert len(stub.texts(TABLE)) == 10
    assert all(1 <= len(values_of(stub, f"k{number}")) <= 3 for number in range(10))


@every_verb
def test_an_answer_within_the_timeout_is_not_too_late(
    stub: DynamoDBStub, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    db = connect(stub.endpoint, timeout=1.5)
    db.ping(NAME)
    # Each request takes its time; the timeout allows for one.
    stub.inject(AnswerLate(0.8), times=None)
    verb(db)


def test_an_answer_that_comes_after_the_client_gave_up(stub: DynamoDBStub, db: DB) -> None:
    for number in range(5):
        stub.seed(TABLE, {"key": {"S": f"k{number}"}, "value": {"S": f"v{number}"}})
    hold = Hold(applied=True)
    stub.inject(hold, times=None)
    failure(lambda db: db.read_message("k0", backend=NAME), db, OperationTimeout, names=stub.endpoint)
    hold.release()
    stub.clear_faults()
    # Each call gets its own answer.
    for number in range(5):
        assert db.read_message(f"k{number}", backend=NAME) == f"v{number}"


def test_a_write_that_was_given_up_may_have_been_done(stub: DynamoDBStub, db: DB) -> None:
    hold = Hold(applied=True)
    stub.inject(hold, times=None)
    failure(lambda db: db.write_message("k", "v", backend=NAME), db, OperationTimeout)
    hold.release()
    stub.clear_faults()
    assert stub.texts(TABLE) == {"k": "v"}
    assert db.write_message("k", "w", backend=NAME)
    assert db.read_message("k", backend=NAME) == "w"


def test_the_queue_outlasts_a_service_that_is_down(
    proxy: FaultProxy, stub: DynamoDBStub, connect: Callable[..., DB], eventually: Callable[..., None]
) -> None:
    db = connect(f"http://{proxy.address}", queue_batch={"retry": {"initial": 0.05, "max": 0.2}})
    proxy.refuse()
    for number in range(100):
        db.write_queue_message(f"k{number}", "v", backend=NAME)
    eventually(lambda: db.stats()[NAME]["retried"] > 0)
    assert db.stats()[NAME]["last_error"]
    proxy.pass_through()
    db.flush(timeout=30)
    assert len(stub.texts(TABLE)) == 100
    assert db.stats()[NAME]["failed"] == 0


def test_other_calls_go_on_while_one_waits(stub: DynamoDBStub, connect: Callable[..., DB]) -> None:
    db = connect(stub.endpoint, timeout=20)
    hold = Hold()
    stub.inject(hold, when=lambda request: (TABLE, "slow") in request.keys)
    errors: list[BackendError] = []

    def slow() -> None:
        try:
            db.write_message("slow", "v", backend=NAME)
        except BackendError as error:
            errors.append(error)

    thread = threading.Thread(target=slow)
    thread.start()
    hold.wait()
    for number in range(20):
        assert db.write_message(f"k{number}", "v", backend=NAME)
    hold.release()
    thread.join(30)
    assert errors == []
    assert "slow" in stub.texts(TABLE)
